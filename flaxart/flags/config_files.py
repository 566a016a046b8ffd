"""The files of `configs/`, by name."""

from __future__ import annotations

from pathlib import Path


def config_files() -> dict[str, Path]:
  """flaxart's own config files, by name."""
  beside = Path(__file__).parents[1] / 'configs'  # in the wheel; else this is a clone
  folder = beside if beside.is_dir() else beside.parents[1] / 'configs'
  return {path.stem: path for path in sorted(folder.glob('*.py'))}
