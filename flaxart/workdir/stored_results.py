"""The `results.json` of a finished run, as it is read: strict JSON in a known form.

A score that is not a number is null. Earlier versions wrote NaN there, which is read as null.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flaxart.machine import form
from flaxart.machine.files import read_object

FILE = 'results.json'
_SCORES = form.each(
  form.each(
    lambda value, at: (
      form.listed(form.scalar)(value, at)
      if isinstance(value, list)
      else form.maybe(form.number)(value, at)
    )
  )
)
_SPLIT = form.fields({'records': form.count, 'sha256': form.name})
_TRAIN = form.fields(
  {'steps': form.count, 'epochs': form.number, 'seconds': form.number},
  {
    'images_seen': form.maybe(form.count),
    'images_per_second': form.maybe(form.number),
    'settings_tried': form.count,
    'setting': form.maybe(form.name),
    'settings': form.listed(
      form.fields({'name': form.name}, dict.fromkeys(('val', 'val_loss'), form.maybe(form.number)))
    ),
    'features': form.fields({}, {'seconds': form.maybe(form.number)}),
    'best_step': form.maybe(form.count),
    'goodput': form.maybe(form.number),
  },
)
_PROVENANCE = form.fields(
  {
    'dataset': form.name,
    'dataset_version': form.name,
    'version': form.name,
    'splits': form.each(_SPLIT),
    'grouping_rule': form.name,
  },
  {
    'commit': form.maybe(form.name),
    'weights': form.maybe(form.each(form.scalar)),
    'hardware': form.each(form.scalar),
    'packages': form.each(form.maybe(form.name)),
    'config': form.each(form.anything),
  },
)
FORM = form.fields(
  {'train': _TRAIN, 'provenance': _PROVENANCE},
  {'val': _SCORES, 'test': _SCORES, 'calibration': form.each(form.each(form.maybe(form.number)))},
)


def read_results(workdir: Path) -> dict[str, Any]:
  """The results of a run.

  Raises `UserError` if the file is damaged, `FileNotFoundError` if it does not exist.
  """
  return read_object(workdir / FILE, form=FORM, nan_as_none=True)
