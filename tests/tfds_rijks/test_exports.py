"""Exports of three museums as they are downloaded, through the dry run: docs/exports.md."""

from __future__ import annotations

import csv
import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tfds_rijks import prepare

ROOT = Path(__file__).parents[2]
EXPORTS = ROOT / '../shared/exports'
BECOMES = ('record', 'task', 'number', 'text', 'left out')


@pytest.mark.parametrize(
  ('table', 'number', 'pictures', 'counts', 'columns'),
  [
    (
      'met/met_objects_8868.csv',
      'Object Number',
      8829,
      {'record': 1, 'task': 18, 'number': 3, 'text': 16, 'left out': 16},
      {'Artist Display Name': 'task', 'Artist Begin Date': 'text', 'Object Date': 'number'},
    ),
    (
      'tate/artist_data.csv',
      'id',
      3532,
      {'record': 1, 'task': 4, 'text': 2, 'left out': 2},
      {'gender': 'task', 'placeOfBirth': 'task', 'yearOfBirth': 'text', 'name': 'left out'},
    ),
    (
      'walters/creators.csv',
      'id',
      4059,
      {'record': 1, 'task': 1, 'text': 2, 'left out': 4},
      {'gender': 'task', 'date': 'text', 'CreatorArt': 'left out'},
    ),
  ],
)
def test_what_each_column_of_an_export_becomes(
  tmp_path, capsys, monkeypatch, table, number, pictures, counts, columns
):
  source = EXPORTS / table
  if not source.exists():
    pytest.skip(f'needs ../shared/exports/{table}')
  folder = tmp_path / 'museum'
  folder.mkdir()
  (folder / source.name).symlink_to(source.resolve())
  Image.new('RGB', (8, 8)).save(tmp_path / 'one.png')
  with source.open(encoding='utf-8-sig') as file:
    names = {row[number].replace('/', '_') for row in csv.DictReader(file)}
  for name in names:
    os.link(tmp_path / 'one.png', folder / f'{name}.png')
  flags = [f'--metadata={source.name}', '--match=stem', '--dry_run']
  monkeypatch.setattr(
    sys,
    'argv',
    ['prepare', '--dataset=collection', f'--manual_dir={folder}', f'--data_dir={tmp_path}', *flags],
  )
  assert not prepare.main()
  out = capsys.readouterr().out
  assert f'{pictures:,} pictures belong to {pictures:,} of' in out
  rows = re.findall(rf'^(.+?)  +({"|".join(BECOMES)})(?:  +.*|)$', out, re.M)
  found = dict(rows[1:] if rows[0][0] == 'column' else rows)
  assert {kind: [*found.values()].count(kind) for kind in counts} == counts
  assert len(found) == sum(counts.values()) and found.items() >= columns.items()
  text = (ROOT / 'docs/exports.md').read_text()
  assert all(name in text for name in columns)
