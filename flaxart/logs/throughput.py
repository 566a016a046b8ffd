"""Rate, waiting, memory and goodput of a run.

Goodput is the share of wall time since the first start that went into training steps whose result
was kept: not into evaluating, saving, compiling, waiting for input, downtime between a stop and the
next start, or repeating steps after a crash.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import jax

from flaxart.logs.metric_writer import MetricWriter
from flaxart.machine import form
from tfds_rijks import strict_json

STARTS = 'starts.jsonl'


def note_start(workdir: Path, step: int) -> list[float]:
  """Adds this start to `starts.jsonl` and returns when the run was started, seconds since 1970.

  One JSON object per line: `time`, `step` (the one it continues after), `processes`, `devices`.
  Skips a half-written line. Process 0 only; the others get an empty list.
  """
  if jax.process_index():
    return []
  path = workdir / STARTS
  entry = {
    'time': round(time.time(), 3),
    'step': step,
    'processes': jax.process_count(),
    'devices': jax.device_count(),
  }
  before = path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''
  with path.open('a', encoding='utf-8') as file:
    file.write(
      ('\n' if before and not before.endswith('\n') else '') + strict_json.text(entry, indent=None)
    )
  return [*_times(before), entry['time']]


def _times(text: str) -> list[float]:
  times = []
  for line in text.splitlines():
    try:
      entry = strict_json.parse(line)
      form.fields({'time': form.number})(entry, '')
      times.append(float(entry['time']))
    except ValueError:
      continue  # the machine went down while writing the line
  return times


class Throughput:
  """The seconds of a run over all its starts, and the metrics made from them."""

  def __init__(self, writer: MetricWriter, starts: list[float]):
    self.seconds = writer.train_seconds
    self.waited = writer.input_wait_seconds
    self.starts = starts

  def line(self, *, pictures: int, steps: int, seconds: float, waited: float = 0.0) -> dict:
    """Numbers for `metrics.jsonl` after `steps` more steps on `pictures` in `seconds`, of which the
    devices waited for input for `waited`.

    `images_per_second`, `step_s`, `input_wait` (share of time), `train_s`, `input_wait_s` (sums
    over all starts), `goodput`, `device_memory_gb` (the peak of any local device, if the backend
    reports it), `host_memory_gb` (the peak of this process).
    """
    seconds = max(seconds, 1e-9)
    self.seconds += seconds
    self.waited += waited
    return {
      'images_per_second': round(pictures / seconds, 2),
      'step_s': round(seconds / steps, 5),
      'input_wait': round(min(1.0, waited / seconds), 4),
      'train_s': round(self.seconds, 3),
      'input_wait_s': round(self.waited, 3),
      **self.summary(),
      **memory(),
    }

  def summary(self) -> dict[str, Any]:
    """`goodput`, if the first start is known."""
    if not self.starts:
      return {}
    wall = max(time.time() - self.starts[0], 1e-9)
    return {'goodput': round(min(1.0, max(0.0, self.seconds - self.waited) / wall), 4)}


def memory() -> dict[str, float]:
  """`device_memory_gb` (not on a CPU, whose backend does not report it) and `host_memory_gb`."""
  peaks = [(device.memory_stats() or {}).get('peak_bytes_in_use') for device in jax.local_devices()]
  known = [peak for peak in peaks if peak is not None]
  found = {'device_memory_gb': round(max(known) / 1e9, 3)} if known else {}
  return found | {'host_memory_gb': host_memory_gb()}


def host_memory_gb() -> float:
  """The peak memory of this process."""
  status = Path('/proc/self/status')  # unlike `ru_maxrss`, without the parent's on Linux
  peak = re.search(r'VmHWM:\s*(\d+) kB', status.read_text('utf-8')) if status.exists() else None
  if peak:
    return round(int(peak[1]) * 1024 / 1e9, 3)
  unit = 1 if sys.platform == 'darwin' else 1024  # bytes on macOS, KiB on Linux
  return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 3)
