"""What the benchmarks share: sides that take turns, and the file that they leave.

A side is one way to do a piece of work. All sides of a comparison are built first, each does its
work once unmeasured (that is where it compiles), and then they take turns, A B A B, so that all of
them see the same machine. Rates are medians over the rounds; the spread stands beside them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flaxart.config import MODELS
from tfds_rijks.command import Parser
from tfds_rijks.errors import UserError
from tfds_rijks.report import write_json

PACKAGES = ('flaxart', 'jax', 'flax', 'optax', 'numpy', 'torch', 'torchvision', 'timm', 'keras',
            'grain', 'pillow', 'simplejpeg')  # fmt: skip


@dataclasses.dataclass
class Side:
  """`work()` does `pictures` pictures of it and returns when they are done.

  `ahead`: how often it can do so at once by what it has prepared while it was not its turn; that is
  used up before the clock starts.
  """

  work: Callable[[], Any]
  pictures: int
  ahead: int = 0
  first_s: float = 0.0  # the unmeasured first time: it holds the compilation
  rates: list[float] = dataclasses.field(default_factory=list)

  def take_turn(self, seconds: float) -> None:
    """Works for at least so long, once at the least, and notes the rate."""
    for _ in range(self.ahead):
      self.work()
    began, done = time.monotonic(), 0
    while not done or time.monotonic() - began < seconds:
      self.work()
      done += self.pictures
    self.rates.append(done / (time.monotonic() - began))

  @property
  def rate(self) -> float:
    """Pictures a second, median."""
    return statistics.median(self.rates)

  @property
  def spread(self) -> list[float]:
    """The slowest and the fastest round, pictures a second."""
    return [round(min(self.rates), 2), round(max(self.rates), 2)]


def in_turns(sides: Mapping[str, Side], *, rounds: int, seconds: float = 2.0) -> None:
  """One turn of each, `rounds` times over."""
  for side in sides.values():
    began = time.monotonic()
    side.work()
    side.first_s = time.monotonic() - began
    side.work()  # some peers trace or tune once more
  for _ in range(rounds):
    for side in sides.values():
      side.take_turn(seconds)


def compared(model: str, mode: str, sides: Mapping[str, Side], **about: Any) -> list[dict]:
  """The entries of `results` for `sides['ours']` against each of the others; printed, too."""
  ours, entries = sides['ours'], []
  for peer, side in sides.items():
    if peer == 'ours':
      continue
    # Of the same round, because the machine changes in between.
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
        'rounds': len(ours.rates),
        **about,
      }
    )
    print(json.dumps(entries[-1]), flush=True)
  return entries


def parser(name: str, doc: str | None, *, peers: Sequence[str], default: str) -> Parser:
  """`--models --peers --rounds --output`, as every benchmark has them."""
  found = Parser(
    prog=f'python -m benchmarks.{name}',
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  found.add_argument('--models', default='resnet50', help=f'of {", ".join(MODELS)}')
  found.add_argument('--peers', default=default, help=f'of {", ".join(peers)}; empty for none')
  found.add_argument('--rounds', type=int, default=5)
  found.add_argument('--output', required=True, type=Path, help='JSON file')
  return found


def chosen(text: str, allowed: Sequence[str], *, flag: str) -> list[str]:
  """A list with commas, every name of which exists."""
  names = [name for name in text.split(',') if name]
  for name in names:
    if name not in allowed:
      raise UserError(f'{flag}: found {name!r}, expected {", ".join(allowed)}')
  return names


def save(path: Path, results: Sequence[Mapping[str, Any]], *, command: str) -> None:
  """Writes `{hardware, versions, commit, command, results}`."""
  write_json(path, {**about_here(), 'command': command, 'results': list(results)})


def about_here() -> dict[str, Any]:
  """Machine, versions and commit that figures belong to."""
  import jax

  from flaxart.pace import memory

  git = lambda *words: subprocess.run(  # noqa: E731
    ['git', *words], capture_output=True, text=True, check=False
  ).stdout.strip()
  changed = git('status', '--porcelain', '--untracked-files=no', '--', 'flaxart', 'tfds_rijks')
  return {
    'hardware': {
      'machine': platform.machine(),
      'processor': processor(),
      'cores': len(os.sched_getaffinity(0)),
      'device': jax.devices()[0].device_kind,
      'devices': jax.device_count(),
      'load': [round(x, 2) for x in os.getloadavg()],
    },
    'versions': {
      'python': platform.python_version(),
      **{package: installed(package) for package in PACKAGES},
    },
    'commit': git('rev-parse', 'HEAD') + ('+' if changed else ''),
    'peak_memory_gb': memory()['host_memory_gb'],
  }


def processor() -> str:
  """The processor's name, where the system tells."""
  try:
    lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
  except OSError:
    return platform.processor()
  names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
  return names[0] if names else platform.processor()


def installed(package: str) -> str | None:
  """Its version, or None."""
  try:
    return version(package)
  except PackageNotFoundError:
    return None


def told(argv: Sequence[str]) -> str:
  """The command line, as it would be typed again."""
  return ' '.join(['python', '-m', f'benchmarks.{Path(argv[0]).stem}', *argv[1:]])
