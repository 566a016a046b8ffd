"""`--mode=eval`: evaluates the best checkpoint of a run again from its workdir."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flaxart.data.source import Dataset, open_dataset
from flaxart.evaluation import calibration, results
from flaxart.machine.files import write_text
from flaxart.machine.sharding import create_mesh
from flaxart.tasks.kinds import tasks_from_features
from flaxart.tasks.task import Task
from flaxart.workdir import identity, run_folder
from flaxart.workdir.beside_trainer import of_best
from flaxart.workdir.class_names import by_class_name
from flaxart.workdir.restore import restore_network
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError


def evaluate_run(
  workdir: Path,
  *,
  split: str,
  config: ConfigDict | None = None,
  fallback: bool = False,
  remap_classes: bool = False,
) -> dict[str, Any]:
  """`{task: scores}` of `split`, printed and written to `eval_<split>.json`.

  Equal to the entry of `results.json`, digit for digit, on the same data and machine, or up to
  rounding for a frozen trunk, whose features were computed with BatchNorm folded in. `fallback`
  skips damaged checkpoints, `remap_classes` accepts other data and matches classes by name.
  """
  stored, tasks = run_folder.read_run(workdir)
  config = config or stored
  dataset = open_dataset(
    config.data.dataset, data_dir=config.data.data_dir, tasks=[task.name for task in tasks]
  )
  if remap_classes:
    dataset = by_class_name(dataset, tasks)
  else:
    identity.check_dataset(workdir, dataset)
    identity.check_labels(workdir, with_classes(tasks, dataset), dataset)
  step, (network, state) = of_best(
    workdir,
    lambda step: restore_network(workdir, step, config, tasks, mesh=create_mesh()),
    fallback=fallback,
  )
  assessed = results.assess(
    config,
    network,
    state,
    dataset,
    [dataset.split(split).name],
    stored=calibration.read(workdir, step=step),
  )
  scores = assessed.scores[split]
  write_text(
    workdir / f'eval_{split}.json',
    strict_json.text(
      {
        'split': split,
        'step': step,
        'scores': scores,
        'dataset_version': dataset.version,
        'sha256': dataset.split(split).sha256,
      }
    ),
  )
  about = {'invented': bool(dataset.build.get('drawn'))}
  print(results.table({split: scores, 'provenance': about}, tasks, split), flush=True)
  return scores


def with_classes(tasks: list[Task], dataset: Dataset) -> list[Task]:
  """The same tasks with the dataset's present classes."""
  missing = [task.name for task in tasks if task.name not in dataset.features]
  if missing:
    raise UserError(
      f'{dataset.path}: no feature {", ".join(missing)}; give the data that the run was trained on'
    )
  return tasks_from_features(dataset.features, {task.name: task.weight for task in tasks})
