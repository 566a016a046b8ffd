"""Label Studio and Web Annotations: files that their own libraries take, and read back the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flaxart.apply.exchange import exchange, read_decisions
from flaxart.apply.to_table import apply
from tfds_rijks import suggestions
from tfds_rijks.errors import UserError
from tfds_rijks.suggestions import Suggestion, write

URL = 'https://museum.example/pictures'
MADE = {'generator': 'flaxart 1', 'model_sha256': 'ab' * 32, 'generated_at': '2026-11-28T12:00:00Z'}
# Reads `F.json` and `F.xml` as Label Studio does. (Its `validate_task` fails on tasks with
# predictions, in version 2.1.2, so these are checked one by one.)
OF_LABEL_STUDIO = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
page = LabelInterface(open(sys.argv[1]).read())
page.validate()
for task in json.load(open(sys.argv[2])):
  assert page.validate_task({'data': task['data']})
  for one in task['predictions']:
    assert page.validate_prediction(one) and not page.validate_prediction(one, True)
  for one in task.get('annotations', []):
    assert page.validate_annotation(one), one
"""
OF_IIIF = """
import json, sys
from iiif_prezi3 import AnnotationPage
made = json.load(open(sys.argv[1]))
page = AnnotationPage(**made)
assert json.loads(page.jsonld()) == made and len(page.items) == 2
"""


def row(record, field, value, status='suggested', **more):
  image = f'a b/{record}.jpg'
  return Suggestion(
    record_id=record, image=image, field=field, value=value, status=status, **MADE, **more
  )


ROWS = [
  row('1', 'type', 'bowl', rank=1, probability=0.9, threshold=0.8, value_uri='http://x/bowl'),
  row('1', 'type', 'coin & "x"', rank=2, probability=0.1, threshold=0.8),
  row('1', 'tag', 'sea', rank=1, probability=0.7, threshold=0.6),
  row('1', 'tag', 'ship', rank=2, probability=0.65, threshold=0.6),
  row('1', 'year', '1650', rank=1),
  row('2', 'type', 'bowl', 'unsure', rank=1, probability=0.3, threshold=0.8),
  row('3', 'type', 'bowl', 'accepted', reviewer='Ann', reviewed_at='2026-11-28T13:00+01:00',
      value_uri='http://x/bowl'),
  row('4', 'type', 'vase', 'changed', reviewer='Ann', reviewed_at='last week'),
  row('5', 'type', 'never', 'rejected'),
]  # fmt: skip


@pytest.fixture
def decisions(tmp_path):
  write(tmp_path / 'D.csv', ROWS)
  return tmp_path / 'D.csv'


def library(name, program, *files):
  """Runs a program in the environment of a library that flaxart does not depend on."""
  python = os.environ.get(f'FLAXART_TEST_{name.upper()}')
  if not python:
    pytest.skip(f'FLAXART_TEST_{name.upper()} is not the Python of an environment with {name}')
  subprocess.run([python, '-c', program, *map(str, files)], check=True)


def result(field, kind, **value):
  return {'id': 'x1', 'from_name': field, 'to_name': 'image', 'type': kind, 'value': value}


def annotated(tasks):
  """The tasks as somebody left them, in an export."""
  first, second = tasks
  said = [
    result('type', 'choices', choices=['coin & "x"']),
    result('tag', 'choices', choices=['sea']),
    result('tag_other', 'textarea', text=['harbour']),
    result('year', 'number', number=1651),
  ]
  old = [result('type', 'choices', choices=['bowl'])]
  by = {'completed_by': {'id': 3, 'email': 'ann@museum.example'}}
  first['annotations'] = [
    {'id': 8, 'result': old, **by, 'updated_at': '2026-11-27T10:00:00Z'},
    {'id': 9, 'result': said, **by, 'updated_at': '2026-11-28T10:00:00Z'},
    {'id': 10, 'result': old, **by, 'updated_at': '2026-11-29T10:00:00Z', 'was_cancelled': True},
  ]
  second['annotations'] = []
  return tasks


def test_label_studio_gets_undecided_suggestions_and_gives_decisions(decisions, tmp_path):
  tasks = tmp_path / 'tasks.json'
  exchange(decisions, tasks, format='label-studio', images_url=f'{URL}/')
  made = json.loads(tasks.read_text(encoding='utf-8'))
  assert [one['data']['image'] for one in made] == [f'{URL}/a%20b/1.jpg', f'{URL}/a%20b/2.jpg']
  chosen = {one['from_name']: one['value'] for one in made[0]['predictions'][0]['result']}
  assert chosen == {
    'type': {'choices': ['bowl']},
    'tag': {'choices': ['sea', 'ship']},
    'year': {'number': 1650},
  }
  assert made[0]['predictions'][0]['score'] == 0.7
  assert [one.status for one in read_decisions(tasks)] == ['suggested'] * 6
  before = tasks.read_bytes()
  exchange(decisions, tasks, format='label-studio', images_url=URL)  # its own file
  assert tasks.read_bytes() == before
  export, back = tmp_path / 'export.json', tmp_path / 'back.csv'
  export.write_text(json.dumps(annotated(made)), encoding='utf-8')
  exchange(export, back, format='decisions')
  found = {(one.field, one.value): one for one in suggestions.read(back) if one.record_id == '1'}
  assert {key: one.status for key, one in found.items()} == {
    ('type', 'bowl'): 'rejected',
    ('type', 'coin & "x"'): 'accepted',
    ('tag', 'sea'): 'accepted',
    ('tag', 'ship'): 'rejected',
    ('tag', 'harbour'): 'changed',
    ('year', '1650'): 'rejected',
    ('year', '1651'): 'changed',
  }
  assert {one.reviewer for one in found.values()} == {'ann@museum.example'}
  assert {one.reviewed_at for one in found.values()} == {'2026-11-28T10:00:00Z'}
  assert {one.model_sha256 for one in found.values()} == {'ab' * 32}
  # The export is also read by itself.
  (tmp_path / 'E.csv').write_text('id,type\n1,\n', encoding='utf-8')
  apply(export, tmp_path / 'E.csv', tmp_path / 'F.csv')
  assert ',"coin & ""x""",' in (tmp_path / 'F.csv').read_text(encoding='utf-8')


def test_web_annotations_say_who_decided_and_which_program_suggested(decisions, tmp_path):
  exchange(decisions, tmp_path / 'P.json', format='web-annotations', images_url=URL)
  page = json.loads((tmp_path / 'P.json').read_text(encoding='utf-8'))
  assert (page['id'], page['type']) == (f'{URL}/P.json', 'AnnotationPage')
  accepted, changed = page['items']
  assert accepted['motivation'] == changed['motivation'] == 'tagging'
  assert accepted['target'] == f'{URL}/a%20b/3.jpg' and accepted['label'] == {'none': ['type']}
  text, uri = accepted['body']
  assert text['value'] == 'bowl' and text['creator'] == accepted['generator']
  assert uri == {'type': 'SpecificResource', 'source': 'http://x/bowl', 'purpose': 'tagging'}
  assert accepted['generator']['type'] == 'Software'
  assert accepted['creator'] == {'type': 'Person', 'name': 'Ann'} == changed['body']['creator']
  assert accepted['created'] == '2026-11-28T12:00:00Z' and 'created' not in changed
  assert 'never' not in str(page) and 'sea' not in str(page)


def test_the_library_of_iiif_takes_the_page(decisions, tmp_path):
  exchange(decisions, tmp_path / 'P.json', format='web-annotations', images_url=URL)
  library('iiif_prezi3', OF_IIIF, tmp_path / 'P.json')


def test_the_library_of_label_studio_takes_tasks_and_annotations(decisions, tmp_path):
  exchange(decisions, tmp_path / 'T.json', format='label-studio', images_url=URL)
  made = json.loads((tmp_path / 'T.json').read_text(encoding='utf-8'))
  (tmp_path / 'X.json').write_text(json.dumps(annotated(made)), encoding='utf-8')
  for name in ('T.json', 'X.json'):
    library('label_studio_sdk', OF_LABEL_STUDIO, tmp_path / 'T.xml', tmp_path / name)


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    (['--format=label-studio', '--output=T.json'], 'needs --images_url'),
    (['--format=label-studio', '--output=T.csv', '--images_url=u'], 'ends in .json'),
    (['--format=decisions', '--output=T.csv', '--images_url=u'], 'does not use --images_url'),
    (['--format=decisions', '--output=D.csv'], 'would replace'),
    (['--format=label-studio', '--output=D.json', '--images_url=u'], 'would replace'),
    (['--format=label-studio', '--output=other.json', '--images_url=u'], 'was not written by'),
    (['--format=web-annotations', '--output=other.json', '--images_url=u'], 'was not written by'),
    (['--format=web-annotations', '--output=no/P.json', '--images_url=u'], 'does not exist'),
    (['--format=decisions', '--output=T.csv', '--fill'], 'leave the options of --table out'),
    (['--output=F.csv'], "expected the museum's export, or --format"),
    (['--output=F.csv', '--table=D.csv', '--images_url=u'], '--images_url: is for --format'),
    (['--format=decisions', '--output=T.csv', '--decisions=other.json'], 'is not an export of'),
    (['--format=decisions', '--output=T.csv', '--decisions=broken.json'], 'is not JSON'),
    (['--format=decisions', '--output=T.csv', '--decisions=odd.json'], 'task 1 is not as Label'),
  ],
)
def test_bad_options_and_files_are_one_line(options, said, decisions, tmp_path, call):
  for name, text in (
    ('other.json', '[1]'),
    ('broken.json', '['),
    ('D.json', '{}'),
    ('odd.json', '[{"data": {"suggestions": [{"field": "type"}]}}]'),
  ):
    (tmp_path / name).write_text(text, encoding='utf-8')
  before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
  paths = [
    option if '=' not in option or 'format' in option or 'url' in option
    else option.replace('=', f'={tmp_path}{os.sep}')
    for option in [f'--decisions={Path(decisions).name}', *options]
  ]  # fmt: skip
  code, _, error = call('flaxart.apply.__main__', *paths)
  assert code == 2 and said in error and error.count('\n') == 1
  assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
  ('where', 'wrong', 'said'),
  [
    (('data', 'record_id'), 1, r'task 1 is not .*record_id is 1, expected a text'),
    (('data', 'record_id'), None, r'task 1 is not .*record_id is None, expected a text'),
    (('data', 'suggestions', 0, 'value'), 5, r'task 1 is not .*value is 5, expected a text'),
    (('data', 'suggestions', 0, 'value_uri'), None, r'task 1 is not .*value_uri is None'),
    (('data', 'suggestions', 0, 'rank'), 'x', r"task 1 is not .*rank is 'x', expected a number"),
    (('data',), None, 'is not an export of tasks'),
  ],
)
def test_tasks_with_other_types_are_refused(where, wrong, said, decisions, tmp_path):
  exchange(decisions, tmp_path / 'T.json', format='label-studio', images_url=URL)
  made = json.loads((tmp_path / 'T.json').read_text(encoding='utf-8'))
  inside = made[0]
  for key in where[:-1]:
    inside = inside[key]
  inside[where[-1]] = wrong
  (tmp_path / 'X.json').write_text(json.dumps(made), encoding='utf-8')
  with pytest.raises(UserError, match=said):
    read_decisions(tmp_path / 'X.json')


def test_a_value_that_is_also_rejected_is_not_published(tmp_path):
  rows = [row('1', 'type', 'bowl', 'accepted'), row('1', 'type', 'bowl ', 'rejected')]
  write(tmp_path / 'D.csv', rows)
  with pytest.raises(UserError, match="1: type 'bowl' is accepted in one row and rejected in"):
    exchange(tmp_path / 'D.csv', tmp_path / 'P.json', format='web-annotations', images_url=URL)
  assert not (tmp_path / 'P.json').exists()


def test_an_annotation_needs_a_picture(tmp_path):
  write(tmp_path / 'D.csv', [Suggestion('1', '', 'type', 'bowl', status='accepted')])
  with pytest.raises(UserError, match='is accepted without an image'):
    exchange(tmp_path / 'D.csv', tmp_path / 'P.json', format='web-annotations', images_url=URL)
  assert sys.modules.get('iiif_prezi3') is None
