"""Prepares the dataset of a config if it does not exist yet, so that one command is enough."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from flaxart.data.source import find


def prepare_if_missing(config: ConfigDict, *, dry_run: bool = False) -> bool:
  """Draws the synthetic museum and prepares the dataset if `config.data` asks for it.

  Returns False if a dry run ends here because the dataset is not prepared.
  """
  data = config.data
  if not data.manual_dir:
    return True  # prepared by its own command, or opening it says what to do
  from tfds_rijks.prepare import prepare

  manual_dir = Path(data.manual_dir).expanduser()
  if data.synthetic_objects:
    from tfds_rijks.rijksmuseum.synthetic import draw_museum

    # A museum drawn with the same arguments is reused.
    draw_museum(manual_dir, objects=data.synthetic_objects, seed=0)
  missing = find(data.dataset, data.data_dir) is None
  prepare(
    data.dataset,
    manual_dir=manual_dir,
    data_dir=Path(data.data_dir).expanduser(),
    dry_run=dry_run,
  )
  return not (dry_run and missing)
