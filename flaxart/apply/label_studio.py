"""Label Studio: undecided suggestions as tasks with predictions, and its annotations read back.

A task is a picture: https://labelstud.io/guide/task_format. What reading back needs is in the
task's `data`, which every export has.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tfds_rijks import strict_json
from tfds_rijks.errors import UserError
from tfds_rijks.suggestions import NUMBERS, Status, Suggestion

IMAGE, OTHER = 'image', '_other'  # controls of the labelling page: the picture, another value
UNDECIDED = ('suggested', 'unsure')
KEPT = (
  *('field', 'value', 'value_uri', 'rank', 'probability', 'threshold'),
  *('generator', 'model_sha256', 'generated_at'),
)
TYPES = {'choices': 'choices', 'number': 'number', 'textarea': 'text'}  # result -> its value's key


def tasks(rows: Sequence[Suggestion], *, images_url: str) -> list[dict[str, Any]]:
  """A task for each picture with undecided suggestions; `images_url` comes before its name."""
  numbers = number_fields(rows)
  pictures: dict[tuple[str, str], list[Suggestion]] = {}
  for row in rows:
    if row.status in UNDECIDED:
      pictures.setdefault((row.image, row.record_id), []).append(row)
  return [
    {
      'data': {
        IMAGE: url_of(image, images_url),
        'image_path': image,
        'record_id': record,
        'suggestions': [{name: getattr(row, name) for name in KEPT} for row in its],
      },
      'predictions': [_prediction(its, numbers)],
    }
    for (image, record), its in pictures.items()
  ]


def url_of(image: str, images_url: str) -> str:
  """The address of a picture."""
  from urllib.parse import quote

  return f'{images_url.rstrip("/")}/{quote(image)}'


def number_fields(rows: Sequence[Suggestion]) -> set[str]:
  """Fields of numbers: without probabilities, and every value is a number."""

  def number(text: str) -> bool:
    return text.lstrip('-').replace('.', '', 1).isdecimal()

  names = {row.field for row in rows}
  return names - {r.field for r in rows if r.probability is not None or not number(r.value)}


def _prediction(rows: Sequence[Suggestion], numbers: set[str]) -> dict[str, Any]:
  """What is chosen beforehand: values from their threshold on, else the likeliest of a field."""
  fields: dict[str, list[Suggestion]] = {}
  for row in sorted(rows, key=lambda row: row.rank or 1):
    fields.setdefault(row.field, []).append(row)
  result = []
  for field, its in fields.items():
    sure = [r for r in its if None not in (r.probability, r.threshold) and _passes(r)] or its[:1]
    value: dict[str, Any] = {'choices': [row.value for row in sure]}
    if field in numbers:
      value = {'number': float(sure[0].value)}
    name = f'{rows[0].image}\n{rows[0].record_id}\n{field}'
    entry: dict[str, Any] = {
      'id': uuid.uuid5(uuid.NAMESPACE_URL, name).hex[:10],
      'from_name': field,
      'to_name': IMAGE,
      'type': 'number' if field in numbers else 'choices',
      'value': value,
    }
    if sure[0].probability is not None:
      entry['score'] = sure[0].probability
    result.append(entry)
  scores = [entry['score'] for entry in result if 'score' in entry]
  made = {'model_version': f'{rows[0].generator} {rows[0].model_sha256[:12]}'.strip()}
  return made | ({'score': min(scores)} if scores else {}) | {'result': result}


def _passes(row: Suggestion) -> bool:
  return (row.probability or 0) >= (row.threshold or 0)


def page(rows: Sequence[Suggestion]) -> str:
  """The labelling configuration for these tasks: a control for each field, and one for another
  value.
  """
  numbers = number_fields(rows)
  values: dict[str, dict[str, None]] = {}
  for row in rows:
    values.setdefault(row.field, {})[row.value] = None
  lines = ['<View>', f'  <Image name="{IMAGE}" value="${IMAGE}"/>']
  for field, found in values.items():
    name, to = f'name={quoteattr(field)}', f'toName="{IMAGE}"'
    lines.append(f'  <Header value={quoteattr(field)}/>')
    if field in numbers:
      lines.append(f'  <Number {name} {to}/>')
      continue
    lines.append(f'  <Choices {name} {to} choice="multiple" showInline="true">')
    lines += [f'    <Choice value={quoteattr(value)}/>' for value in sorted(found)]
    lines.append('  </Choices>')
    other = f'name={quoteattr(field + OTHER)} {to} placeholder={quoteattr("another " + field)}'
    lines.append(f'  <TextArea {other} rows="1"/>')
  return '\n'.join([*lines, '</View>', ''])


def is_ours(found: Any) -> bool:
  """Whether a JSON value is tasks that `tasks` made."""
  return (
    isinstance(found, list)
    and bool(found)
    and all(isinstance(one, dict) and isinstance(one.get('data'), dict) for one in found)
    and all('suggestions' in one['data'] for one in found)
  )


def read(path: Path) -> list[Suggestion]:
  """The rows of Label Studio's JSON export of such tasks, with what people annotated.

  In a field with a result, suggestions that somebody chose are accepted, the others rejected, and
  other values are `changed` rows. A field without a result, and a skipped task, stay undecided.
  """
  try:
    found = strict_json.read(path)
  except (ValueError, OSError) as error:
    raise UserError(f'{path}: is not JSON ({error}); export it from Label Studio again') from None
  if not is_ours(found):
    raise UserError(
      f'{path}: is not an export of tasks that flaxart apply --format=label-studio made; export '
      'the project as JSON'
    )
  rows: list[Suggestion] = []
  for number, task in enumerate(found, start=1):
    try:
      rows += _rows(task)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
      raise UserError(
        f'{path}: task {number} is not as Label Studio writes it ({type(error).__name__}: {error})'
      ) from None
  return rows


def _rows(task: Mapping[str, Any]) -> list[Suggestion]:
  data = task['data']
  suggested = [
    _checked(
      Suggestion(
        record_id=data['record_id'],
        image=data['image_path'],
        **{name: one[name] for name in KEPT},
      )
    )
    for one in data['suggestions']
  ]
  done = [one for one in task.get('annotations') or [] if not one.get('was_cancelled')]
  if not done:
    return suggested
  last = max(done, key=lambda one: (_time(one), one.get('id') or 0))
  person = last.get('completed_by') or ''
  if isinstance(person, dict):
    reviewer = str(person.get('email') or person.get('id'))
  else:
    reviewer = f'Label Studio user {person}'.strip()
  said = _values(last['result'])
  rows = []
  for one in suggested:
    if one.field in said:
      status: Status = 'accepted' if one.value in said[one.field] else 'rejected'
      one = dataclasses.replace(one, status=status, reviewer=reviewer, reviewed_at=_time(last))
    rows.append(one)
  for field, values in said.items():
    of_field = [one for one in rows if one.field == field]
    blank = dataclasses.replace(
      of_field[0], status='changed', value_uri='', rank=None, probability=None, threshold=None
    )
    new = [value for value in values if value not in [one.value for one in of_field]]
    rows += [dataclasses.replace(blank, value=value) for value in new]
  return rows


def _checked(row: Suggestion) -> Suggestion:
  """The row; raises `TypeError` for a number instead of a text and the like, as a script may have
  left them.
  """
  for name, value in dataclasses.asdict(row).items():
    number = name in NUMBERS
    right = value is None or _is_number(value) if number else isinstance(value, str)
    if not right:
      raise TypeError(f'{name} is {value!r}, expected a {"number" if number else "text"}')
  return row


def _time(annotation: Mapping[str, Any]) -> str:
  return str(annotation.get('updated_at') or annotation.get('created_at') or '')


def _values(result: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
  """Field -> the values that an annotation gives it."""
  said: dict[str, list[str]] = {}
  for one in result:
    if one['type'] not in TYPES:
      continue  # of a control that somebody added
    field = one['from_name'].removesuffix(OTHER) if one['type'] == 'textarea' else one['from_name']
    found = one['value'][TYPES[one['type']]]
    texts = found if isinstance(found, list) else [f'{found:g}' if _is_number(found) else found]
    said.setdefault(field, []).extend(text for text in map(str.strip, texts) if text)
  return said


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)
