"""The form of a stored JSON value: what fields it has, and what they hold.

A run may come from elsewhere. A form is a function of a value and its place in the file, and raises
`ValueError` in a few words; these build forms from forms.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

Form = Callable[[Any, str], None]
LARGEST = 1e15  # of a count; a float64 still counts by ones there


def _wrong(value: Any, at: str, expected: str) -> ValueError:
  shown = repr(value)
  return ValueError(f'{at or "it"} is {shown[:40]}{"…" * (len(shown) > 40)}, expected {expected}')


def anything(value: Any, at: str) -> None:
  """Any value."""


def number(value: Any, at: str) -> None:
  """A number."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise _wrong(value, at, 'a number')


def positive(value: Any, at: str) -> None:
  """A number above 0."""
  number(value, at)
  if value <= 0:
    raise _wrong(value, at, 'a number above 0')


def count(value: Any, at: str) -> None:
  """A whole number of at least 0."""
  if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
    raise _wrong(value, at, 'a whole number')


def text(value: Any, at: str) -> None:
  """A text."""
  if not isinstance(value, str):
    raise _wrong(value, at, 'a text')


def name(value: Any, at: str) -> None:
  """A text in one line, without control characters: it is printed and drawn."""
  text(value, at)
  if any(unicodedata.category(c) == 'Cc' for c in value):
    raise _wrong(value, at, 'a name without control characters')


def scalar(value: Any, at: str) -> None:
  """A text, a number, true, false or null."""
  if isinstance(value, dict | list):
    raise _wrong(value, at, 'a text or a number')


def maybe(form: Form) -> Form:
  """Null, or of this form."""

  def check(value: Any, at: str) -> None:
    if value is not None:
      form(value, at)

  return check


def listed(form: Form) -> Form:
  """A list of such values."""

  def check(value: Any, at: str) -> None:
    if not isinstance(value, list):
      raise _wrong(value, at, 'a list')
    for i, one in enumerate(value):
      form(one, f'{at}[{i}]')

  return check


def each(form: Form) -> Form:
  """An object with such values under any names."""

  def check(value: Any, at: str) -> None:
    if not isinstance(value, dict):
      raise _wrong(value, at, 'an object')
    for key, one in value.items():
      name(key, f'a name in {at}' if at else 'a name')
      form(one, f'{at}.{key}' if at else key)

  return check


def fields(required: Mapping[str, Form], optional: Mapping[str, Form] | None = None) -> Form:
  """An object with these fields, and any others."""
  known = {**required, **(optional or {})}

  def check(value: Any, at: str) -> None:
    if not isinstance(value, dict):
      raise _wrong(value, at, 'an object')
    for key in required:
      if key not in value:
        raise ValueError(f'{f"{at} " if at else ""}lacks {key!r}')
    for key, form in known.items():
      if key in value:
        form(value[key], f'{at}.{key}' if at else key)

  return check
