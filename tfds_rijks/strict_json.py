"""JSON as its standard has it (RFC 8259), read with limits and written without NaN.

Python's own reader takes NaN, keeps the last of two equal names, and follows any nesting. A file
from elsewhere with any of these is damaged or made to mislead.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

MAX_BYTES = 256 << 20  # of a file; the largest that flaxart writes have some 10 MB
MAX_DEPTH = 32
_HALF = re.compile(r'[\ud800-\udfff]')


def read(path: Path, *, nan_as_none: bool = False) -> Any:
  """The value in a file.

  Raises:
    ValueError: not JSON, or beyond the limits. OSError: not a file that can be read.
  """
  if not path.is_file() and path.exists():  # a pipe would be waited for
    raise ValueError('is not a regular file')
  with path.open('rb') as file:
    data = file.read(MAX_BYTES + 1)
  return parse(data, nan_as_none=nan_as_none)


def parse(data: bytes | str, *, nan_as_none: bool = False) -> Any:
  """The value of a JSON text; `nan_as_none` is for files of earlier versions, which had NaN.

  Raises:
    ValueError: not JSON, or not UTF-8; a name twice, nesting deeper than `MAX_DEPTH`, NaN, a number
    outside float64 and 64 bits, half a character; in a few words.
  """
  if len(data) > MAX_BYTES:
    raise ValueError(f'more than {MAX_BYTES:,} bytes')
  text = data.decode('utf-8') if isinstance(data, bytes) else data
  try:
    value = json.loads(
      text,
      object_pairs_hook=_unique,
      parse_int=_integer,
      parse_float=_none_or_finite if nan_as_none else _finite,
      parse_constant=_none if nan_as_none else _refuse,
    )
  except RecursionError:
    raise ValueError(f'nested deeper than {MAX_DEPTH} levels') from None
  _check(value)
  return value


def text(value: Any, *, indent: int | None = 1) -> str:
  """`value` as JSON, with null in place of NaN and infinity, and a line end."""
  plain = _without_nan(value)
  return json.dumps(plain, indent=indent, ensure_ascii=False, allow_nan=False) + '\n'


def _without_nan(value: Any) -> Any:
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, dict):
    return {key: _without_nan(one) for key, one in value.items()}
  if isinstance(value, list | tuple):
    return [_without_nan(one) for one in value]
  return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
    raise ValueError(f'the name {twice[:40]!r} occurs twice')
  return found


def _integer(digits: str) -> int:
  if len(digits) > 20 or not -(1 << 63) <= (value := int(digits)) < 1 << 64:
    raise ValueError(f'the number {digits[:20]}… has more than 64 bits')
  return value


def _finite(digits: str) -> float:
  value = float(digits)
  if not math.isfinite(value):
    raise ValueError(f'the number {digits[:20]} is too large')
  return value


def _none_or_finite(digits: str) -> float | None:
  value = float(digits)
  return value if math.isfinite(value) else None


def _none(constant: str) -> None:
  return None


def _refuse(constant: str) -> None:
  raise ValueError(f'{constant} is not JSON')


def _check(value: Any) -> None:
  """Raises `ValueError` for deep nesting and half characters; level by level, not recursively."""
  level = [value]
  for _ in range(MAX_DEPTH + 1):
    below: list[Any] = []
    for one in level:
      if isinstance(one, str):
        if not one.isascii() and _HALF.search(one):
          raise ValueError(f'{one[:40]!a} contains half a character')
      elif isinstance(one, dict):
        below += one.keys()
        below += one.values()
      elif isinstance(one, list):
        below += one
    if not below:
      return
    level = below
  raise ValueError(f'nested deeper than {MAX_DEPTH} levels')
