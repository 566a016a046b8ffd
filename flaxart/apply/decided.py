"""The accepted and changed values, by record and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise
from tfds_rijks.suggestions import DECIDED, Suggestion

Decided = dict[str, dict[str, list[Suggestion]]]  # record -> field -> values, each once


def by_record(rows: Sequence[Suggestion], *, path: Path) -> Decided:
  """The accepted and changed rows; all others stay where they are.

  Several pictures of a record may have the same value: the first row counts. Raises `UserError` for
  a decision about no record, and for a value that is both decided and rejected.
  """
  uri = _uris(rows)
  check_consistent(rows, path=path)
  found: Decided = {}
  for row in rows:
    if row.status not in DECIDED:
      continue
    if not (number := normalise(row.record_id)):
      raise UserError(
        f'{path}: {row.field} {row.value!r} of {row.image or "a row"} is {row.status} without a '
        'record_id; fill in the number of the record'
      )
    values = found.setdefault(number, {}).setdefault(normalise(row.field), [])
    if _about(row) not in map(_about, values):
      values.append(dataclasses.replace(row, value_uri=uri(row)))
  return found


def check_consistent(rows: Sequence[Suggestion], *, path: Path) -> None:
  """Raises `UserError` for a value of a record that is both decided and rejected."""
  rejected = {_about(row) for row in rows if row.status == 'rejected'}
  for row in rows:
    if row.status in DECIDED and _about(row) in rejected:
      raise UserError(
        f'{path}: {row.record_id or row.image}: {row.field} {row.value!r} is {row.status} in one '
        'row and rejected in another; give both rows one status'
      )


def _about(row: Suggestion) -> tuple[str, str, str]:
  """What a row says about which record, or picture without one, whatever blanks somebody typed."""
  return normalise(row.record_id) or row.image, normalise(row.field), normalise(row.value)


def _uris(rows: Sequence[Suggestion]) -> Callable[[Suggestion], str]:
  """The URI of a row's value.

  A person who changes a value may leave the URI of the suggested one beside it. So a changed row
  has the URI of other rows with its value, else its own unless that is known for another value.
  """
  known: dict[tuple[str, str], str] = {}
  for row in rows:
    if row.status != 'changed' and row.value_uri:
      known.setdefault((row.field, row.value), row.value_uri)
  taken = {(field, uri) for (field, _), uri in known.items()}

  def uri(row: Suggestion) -> str:
    if row.status != 'changed':
      return row.value_uri
    own = '' if (row.field, row.value_uri) in taken else row.value_uri
    return known.get((row.field, row.value), own)

  return uri
