"""Decided values as W3C Web Annotations on the pictures, in an annotation page that IIIF viewers
read: https://www.w3.org/TR/annotation-model/, https://iiif.io/api/presentation/3.0/.

The person who decided is the creator of the annotation. The creator of its body, the value, is the
program for an accepted value and the person for a changed one. The generator is the program.
"""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flaxart.apply.label_studio import url_of
from tfds_rijks.errors import UserError
from tfds_rijks.suggestions import DECIDED, Suggestion

CONTEXT = ['http://www.w3.org/ns/anno.jsonld', 'http://iiif.io/api/presentation/3/context.json']
TYPE = 'AnnotationPage'


def annotation_page(
  rows: Sequence[Suggestion], *, images_url: str, name: str, path: Path
) -> dict[str, Any]:
  """The page, to be published beside the pictures as `name`; `path` is that of the decisions."""
  address = url_of(name, images_url)
  items: dict[str, dict[str, Any]] = {}
  for row in rows:
    if row.status not in DECIDED:
      continue
    if not row.image:
      raise UserError(
        f'{path}: {row.record_id}: {row.field} {row.value!r} is {row.status} without an image, to '
        'which an annotation could point; fill it in'
      )
    one = _annotation(row, url_of(row.image, images_url), page=address)
    items.setdefault(one['id'], one)
  return {
    '@context': CONTEXT,
    'id': address,
    'type': TYPE,
    'items': list(items.values()),
  }


def _annotation(row: Suggestion, target: str, *, page: str) -> dict[str, Any]:
  about = '\n'.join([target, row.record_id, row.field, row.value])
  program = _program(row)
  person = {'type': 'Person', 'name': row.reviewer} if row.reviewer else None
  author = program if row.status == 'accepted' else person
  body: list[dict[str, Any]] = [
    {'type': 'TextualBody', 'value': row.value, 'purpose': 'tagging', 'format': 'text/plain'}
  ]
  if row.value_uri:
    body.append({'type': 'SpecificResource', 'source': row.value_uri, 'purpose': 'tagging'})
  if author:
    body[0]['creator'] = author
  known = {
    'creator': person,
    'created': _instant(row.reviewed_at),
    'generator': program,
    'generated': _instant(row.generated_at),
  }
  return {
    'id': f'{page}#{uuid.uuid5(uuid.NAMESPACE_URL, about)}',  # equal for equal decisions
    'type': 'Annotation',
    'motivation': 'tagging',
    'label': {'none': [row.field]},
    'body': body if len(body) > 1 else body[0],
    'target': target,
    **{name: value for name, value in known.items() if value},
  }


def _program(row: Suggestion) -> dict[str, str]:
  """The software agent; its id names the model by hash (RFC 6920), if that is known."""
  agent = {'type': 'Software', 'name': row.generator or 'flaxart'}
  try:
    digest = bytes.fromhex(row.model_sha256)
  except ValueError:
    return agent
  named = base64.urlsafe_b64encode(digest).decode().rstrip('=')
  return {'id': f'ni:///sha-256;{named}', **agent} if len(digest) == 32 else agent


def _instant(text: str) -> str:
  """A time as the standard wants it; '' for one in other words, such as 'last week'."""
  try:
    found = datetime.datetime.fromisoformat(text)
  except ValueError:
    return ''
  if found.tzinfo is None:
    found = found.replace(tzinfo=datetime.UTC)
  return found.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')


def is_ours(found: Any) -> bool:
  """Whether a JSON value is such a page."""
  return isinstance(found, dict) and found.get('type') == TYPE and found.get('@context') == CONTEXT
