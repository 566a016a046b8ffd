"""All processes of a run must start with the same; a difference is one line on each of them.

Otherwise another learning rate on one process would train on unnoticed, and another batch size end
in a stack trace of the collectives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import jax

import flaxart
from flaxart.machine import processes
from tfds_rijks.errors import UserError

PACKAGES = ('jax', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'tensorflow-datasets', 'numpy')
SHOWN = 3  # differing facts in the message


def packages() -> dict[str, str]:
  """The versions of the packages that results depend on."""
  return {name: version(name) for name in PACKAGES}


def installed() -> dict[str, Any]:
  """Versions and devices, which must be the same everywhere."""
  return {
    'flaxart': flaxart.__version__,
    **packages(),
    'number of devices': jax.local_device_count(),
    'kind of devices': jax.local_devices()[0].device_kind,
  }


def agree(what: str, facts: Mapping[str, Any], *, wait_s: int) -> None:
  """Compares `facts` (values for JSON) with those of all other processes of the run.

  `what` names them in messages, once per run. Raises `UserError` on every process if any differs
  from the first, or did not arrive here within `wait_s` seconds. Returns at once if this is the
  only process.
  """
  shared, count = processes.client(), jax.process_count()
  if shared is None or count == 1:
    return
  key = f'flaxart/agreement/{what}'
  shared.key_value_set(f'{key}/{jax.process_index()}', json.dumps(facts, sort_keys=True))
  found = []
  for number in range(count):
    try:
      text = shared.blocking_key_value_get(f'{key}/{number}', wait_s * 1000)
    except RuntimeError:
      raise UserError(
        f'process {number} of {count}: did not say its {what} within {wait_s} s; its own output '
        'says why'
      ) from None
    found.append(json.loads(text))
  for number, theirs in enumerate(found):
    if line := difference(found[0], theirs, number):
      raise UserError(f'{what} of the processes: {line}; start all of them with the same')


def difference(first: Mapping[str, Any], other: Mapping[str, Any], number: int) -> str:
  """`learning_rate is 0.1 on process 0 and 0.2 on process 1`; empty if nothing differs."""
  names = [name for name in sorted({*first, *other}) if first.get(name) != other.get(name)]
  shown = [
    f'{name} is {first.get(name)!r} on process 0 and {other.get(name)!r} on process {number}'
    for name in names[:SHOWN]
  ]
  more = [f'{len(names) - SHOWN} more'] if len(names) > SHOWN else []
  return ', '.join(shown + more)
