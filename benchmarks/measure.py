"""What the benchmarks share: their command line and their output file."""

from __future__ import annotations

import functools
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.sides import Side
from flaxart.logs.throughput import host_memory_gb
from flaxart.models import cards
from tfds_rijks.build_report import write_json
from tfds_rijks.command import Parser
from tfds_rijks.errors import UserError

PACKAGES = ('flaxart', 'jax', 'flax', 'optax', 'numpy', 'torch', 'torchvision', 'timm', 'keras',
            'grain', 'pillow', 'simplejpeg', 'cykooz-resizer')  # fmt: skip


def compared(model: str, mode: str, sides: Mapping[str, Side], **about: Any) -> list[dict]:
  """The entries of `results` for `sides['ours']` against each of the others; also prints them."""
  ours, entries = sides['ours'], []
  for peer, side in sides.items():
    if peer == 'ours':
      continue
    # Within a round, because the machine's speed changes over time.
    ratio = statistics.median(a / b for a, b in zip(ours.rates, side.rates, strict=True))
    entries.append(
      {
        'model': model,
        'peer': peer,
        'mode': mode,
        'ratio': round(ratio, 3),
        'ours': round(ours.rate, 2),
        'theirs': round(side.rate, 2),
        'ours_spread': ours.spread,
        'theirs_spread': side.spread,
        'ours_first_s': round(ours.first_s, 2),
        'theirs_first_s': round(side.first_s, 2),
        'ours_memory_gb': round(ours.memory_gb, 2),
        'theirs_memory_gb': round(side.memory_gb, 2),
        'rounds': len(ours.rates),
        **about,
      }
    )
    print(json.dumps(entries[-1]), flush=True)
  return entries


def parser(name: str, doc: str | None, *, peers: Sequence[str], default: str) -> Parser:
  """A parser with the flags of every benchmark: `--models --peers --rounds --output`."""
  found = Parser(
    prog=f'python -m benchmarks.{name}',
    description=doc,
  )
  found.add_argument('--models', default='resnet50', help=f'of {", ".join(cards())}')
  found.add_argument('--peers', default=default, help=f'of {", ".join(peers)}; empty for none')
  found.add_argument('--rounds', type=int, default=5)
  found.add_argument('--output', required=True, type=Path, help='JSON file')
  return found


def chosen(text: str, allowed: Sequence[str], *, flag: str) -> list[str]:
  """Splits a comma-separated list; every name must be allowed."""
  names = [name for name in text.split(',') if name]
  for name in names:
    if name not in allowed:
      raise UserError(f'{flag}: found {name!r}, expected {", ".join(allowed)}')
  return names


def save(path: Path, results: Sequence[Mapping[str, Any]], *, command: str) -> None:
  """Writes `{hardware, versions, commit, command, results}`."""
  write_json(path, {**about_here(), 'command': command, 'results': list(results)})


def about_here() -> dict[str, Any]:
  """Machine, versions and commit behind the figures."""
  git = lambda *words: subprocess.run(  # noqa: E731
    ['git', *words], capture_output=True, text=True, check=False
  ).stdout.strip()
  kind, devices = devices_here()
  changed = git('status', '--porcelain', '--untracked-files=no', '--', 'flaxart', 'tfds_rijks')
  return {
    'hardware': {
      'machine': platform.machine(),
      'processor': processor(),
      'cores': len(os.sched_getaffinity(0)),
      'device': kind,
      'devices': devices,
      'load': [round(x, 2) for x in os.getloadavg()],
    },
    'versions': {
      'python': platform.python_version(),
      **{package: installed(package) for package in PACKAGES},
    },
    'commit': git('rev-parse', 'HEAD') + ('+' if changed else ''),
    'peak_memory_gb': host_memory_gb(),
  }


@functools.cache
def devices_here() -> tuple[str, int]:
  """Kind and number of JAX's devices, from a separate process: asking would take a TPU, or most of
  a GPU's memory, away from the sides to be measured.
  """
  ask = 'import jax; print(jax.devices()[0].device_kind); print(jax.device_count())'
  options = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
  done = subprocess.run(
    [sys.executable, '-c', ask], env=options, stdout=subprocess.PIPE, text=True, check=True
  )
  kind, count = done.stdout.splitlines()[-2:]
  return kind, int(count)


def processor() -> str:
  """The processor's name with family and model, where known: a virtual machine may say 'AMD EPYC'
  for several generations.
  """
  try:
    lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
  except OSError:
    return platform.processor()
  fields: dict[str, str] = {}
  for line in lines:
    key, _, value = line.partition(':')
    fields.setdefault(key.strip(), value.strip())
  name = fields.get('model name', platform.processor())
  if 'cpu family' in fields and 'model' in fields:
    name += f' (family {fields["cpu family"]}, model {fields["model"]})'
  return name


def installed(package: str) -> str | None:
  """The version of a package, or None."""
  try:
    return version(package)
  except PackageNotFoundError:
    return None


def told(argv: Sequence[str]) -> str:
  """The command line, to be typed again."""
  return ' '.join(['python', '-m', f'benchmarks.{Path(argv[0]).stem}', *argv[1:]])
