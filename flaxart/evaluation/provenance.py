"""The provenance of a run's numbers: code, data, weights, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

import flaxart
from flaxart.data.source import Dataset
from flaxart.machine.agreement import packages


def provenance(config: ConfigDict, dataset: Dataset, weights: Mapping[str, Any]) -> dict[str, Any]:
  """Everything that identifies the origin of a score."""
  build = dataset.build
  return {
    'version': flaxart.__version__,
    'commit': commit(),
    'dataset': dataset.name,
    'dataset_version': dataset.version,
    'invented': bool(build.get('drawn')),
    'complete': bool(build.get('complete')),
    'config': config.to_dict(),
    'splits': {name: {'records': len(s), 'sha256': s.sha256} for name, s in dataset.splits.items()},
    'grouping_rule': build.get('split_rule') or build.get('rule') or 'not stated by the dataset',
    'weights': dict(weights),
    'seed': config.seed,
    'hardware': hardware(),
    'packages': packages(),
  }


def commit() -> str | None:
  """The commit of flaxart's clone, with `+` if files differ; None if there is none."""
  folder = Path(flaxart.__file__).parent
  git = ['git', '-C', str(folder)]
  try:
    head = subprocess.run([*git, 'rev-parse', 'HEAD'], capture_output=True, text=True, timeout=10)
    # A package installed inside another repository does not have that repository's commit.
    ours = subprocess.run(
      [*git, 'ls-files', '--error-unmatch', '__init__.py'], capture_output=True, timeout=10
    )
    if head.returncode or ours.returncode:
      return None
    changed = subprocess.run(
      [*git, 'status', '--porcelain', '--untracked-files=no'],
      capture_output=True,
      text=True,
      timeout=30,
    ).stdout.strip()
  except (OSError, subprocess.TimeoutExpired):
    return None
  return head.stdout.strip() + ('+' if changed else '')


def hardware() -> dict[str, Any]:
  """Devices as JAX names them, processor, cores."""
  devices = jax.devices()
  return {
    'backend': jax.default_backend(),
    'devices': len(devices),
    'device_kind': devices[0].device_kind,
    'processes': jax.process_count(),
    'cores': os.cpu_count(),
    'machine': platform.machine(),
    'system': platform.system(),
    'python': platform.python_version(),
  }
