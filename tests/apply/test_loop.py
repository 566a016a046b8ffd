"""The whole way round: a museum's table and scans, suggestions, decisions, the table again, and the
next network.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest
from tiny_museum import draw_collection, tiny_config

from flaxart.data.source import open_dataset
from flaxart.train import train_and_evaluate
from tfds_rijks import build_report, suggestions

OLD, NEW = 60, 20  # objects with labels, and new scans


@pytest.fixture
def museum(tmp_path):
  """`scans`, of which `new` are the last ones, `export.csv` as the collection system writes it, and
  what the new scans show.
  """
  drawn = draw_collection(tmp_path / 'drawn', objects=OLD + NEW, seed=4)
  rows = list(csv.DictReader(io.StringIO((drawn / 'metadata.csv').read_text(encoding='utf-8'))))
  truth, lines = {}, ['Object number;artist;type;year;Remarks']
  for folder in ('scans', 'new'):
    (tmp_path / folder).mkdir()
  for i, row in enumerate(rows):
    number, written = (f'M-{i}',) * 2
    if i == OLD:
      number, written = '=7', "'=7"  # a spreadsheet would calculate it
    picture = (drawn / row['image']).read_bytes()
    (tmp_path / 'scans' / f'{number}.png').write_bytes(picture)
    known = f'{row["artist"]};{row["type"]};{row["year"]}'
    if i >= OLD:
      (tmp_path / 'new' / f'{number}.png').write_bytes(picture)
      truth[number] = {'artist': row['artist'] or 'Anna', 'type': row['type'] or 'coin'}
      known = ';;'
    lines.append(f'{written};{known};"kept ""so"""')
  export = '\ufeff' + '\r\n'.join(lines) + '\r\n'
  (tmp_path / 'scans' / 'export.csv').write_bytes(export.encode('utf-8'))
  return tmp_path, truth


def labels_of(data_dir):
  """Number -> the split of a prepared record, and its labels as names."""
  dataset = open_dataset('collection', data_dir=data_dir, tasks=['artist', 'type'])
  return {
    number: {'split': name}
    | {
      field: dataset.features[field].int2str(int(label)) if label >= 0 else ''
      for field in ('artist', 'type')
      for label in [split.labels[field][i]]
    }
    for name, split in dataset.splits.items()
    for i, number in enumerate(split.ids)
  }


def decide(path, truth):
  """What a cataloguer does in the table of suggestions, with an eye on the pictures."""
  decided, by = [], {'reviewer': 'Ann', 'reviewed_at': '2026-11-28'}
  for row in suggestions.read(path):
    right = truth[row.record_id].get(row.field)
    if row.field == 'year':
      row = dataclasses.replace(row, status='unsure', **by)
    elif row.value == right:
      row = dataclasses.replace(row, status='accepted', **by)
    elif row.rank == 1 and row.field == 'type':
      row = dataclasses.replace(row, status='rejected', **by)
    decided.append(row)
  first = next(row for row in decided if row.field == 'artist' and row.status == 'accepted')
  decided[decided.index(first)] = dataclasses.replace(first, value='Dora', status='changed')
  suggestions.write(path.with_name('decisions.csv'), decided)
  return {
    (row.record_id, row.field): row.value for row in decided if row.status in suggestions.DECIDED
  }


def test_from_suggestions_to_the_museum_and_into_the_next_network(museum, trunk, call):
  folder, truth = museum
  export, output = folder / 'scans' / 'export.csv', folder / 'applied.csv'

  def run(module, *options):
    code, out, error = call(module, *options)
    assert code == 0, error
    return out

  numbers = (f'--metadata={export}', '--id_column=Object number', '--match=stem')
  images, suggested = folder / 'new', folder / 'suggestions.csv'
  options = (f'--workdir={trunk}', f'--images={images}', f'--output={suggested}', '--form=long')
  run('flaxart.predict', *options, *numbers)
  decided = decide(suggested, truth)
  artists = [number for number, field in decided if field == 'artist']
  assert {'=7', *artists} <= truth.keys() and len(artists) > NEW / 2

  # Back into the museum's table: the decided cells, and not a byte of the rest.
  decisions = folder / 'decisions.csv'
  apply = (f'--decisions={decisions}', '--id_column=Object number')
  run('flaxart.apply.__main__', *apply, f'--table={export}', f'--output={output}')
  before, after = export.read_bytes().split(b'\r\n'), output.read_bytes().split(b'\r\n')
  assert all(new.startswith(old) for old, new in zip(before, after, strict=True))
  rows = csv.DictReader(
    io.StringIO(output.read_text(encoding='utf-8-sig'), newline=''), delimiter=';'
  )
  found = {
    (row['Object number'].removeprefix("'"), field): row[f'{field}_suggested']
    for row in rows
    for field in ('artist', 'type')
    if row[f'{field}_suggested']
  }
  assert found == decided and b'year_suggested' not in after[0]
  run('flaxart.apply.__main__', *apply, f'--table={output}', f'--output={folder / "again.csv"}')
  assert (folder / 'again.csv').read_bytes() == output.read_bytes()

  # What `apply` wrote describes decisions, not objects: a museum that keeps it gets no tasks.
  kept = folder / 'scans' / 'kept.csv'
  kept.write_bytes(output.read_bytes())
  options = (f'--manual_dir={folder / "scans"}', f'--data_dir={folder / "kept"}', '--match=stem')
  columns = ('--metadata=kept.csv', '--id_column=Object number', '--min_per_class=1', '--dry_run')
  said = run('tfds_rijks.prepare', '--dataset=collection', *options, *columns).splitlines()
  becomes = {tuple(line.split()[:2]) for line in said}
  new = [name for name in after[0].decode('utf-8').split(';') if '_suggested' in name]
  assert len(new) == 14 and {(name, 'text') for name in new} <= becomes
  assert {('artist', 'task'), ('type', 'task')} <= becomes
  kept.unlink()

  # Into the next training.
  def prepared(name, *more):
    options = (f'--manual_dir={folder / "scans"}', f'--data_dir={folder / name}', '--match=stem')
    columns = ('--metadata=export.csv', '--id_column=Object number', '--labels=artist,type')
    few = ('--min_per_class=1', '--processes=1', '--copies=equal')
    run('tfds_rijks.prepare', '--dataset=collection', *options, *columns, *few, *more)
    return next((folder / name / 'collection').glob('*.*.*'))

  prepared('plain')
  plain = labels_of(folder / 'plain')
  path = prepared('data', f'--decisions={decisions}', '--decisions_weight=0.5')
  learned = 0
  for number, one in labels_of(folder / 'data').items():
    was = plain[number]
    assert one['split'] == was['split']
    for field in ('artist', 'type'):
      label = was[field]
      if one['split'] == 'train' and (number, field) in decided:
        label, learned = decided[number, field], learned + 1
      assert one[field] == label
  assert learned == sum(build_report.read(path)['decisions']['labels'].values()) > NEW / 2

  config = tiny_config(folder / 'data', 'toy')
  config.train.epochs = 2.0
  train_and_evaluate(config, folder / 'next')
  assert 'Dora' in json.loads((folder / 'next' / 'labels.json').read_text())['artist']['classes']
  train = open_dataset('collection', data_dir=folder / 'data', tasks=['artist', 'type']).split(
    'train'
  )
  assert sum((rows == 0.5).sum() for rows in train.weights.values()) == learned
