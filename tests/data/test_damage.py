"""Prepared data truncated, flipped or removed: one line with the file and advice."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from flaxart import verify
from flaxart.data import source
from flaxart.data.loader import Decode
from flaxart.data.source import open_dataset
from flaxart.verify import verify_data
from tfds_rijks import images
from tfds_rijks.collection.collection_dataset_builder import Builder
from tfds_rijks.errors import UserError

SEQUENCE = 'tensorflow_datasets.core.features.sequence_feature.Sequence'


def cut(path):
  os.truncate(path, 1000)


def flip(share):
  def change(path):
    data = bytearray(path.read_bytes())
    at = int(len(data) * share)
    data[at : at + 8] = bytes(255 - byte for byte in data[at : at + 8])
    path.write_bytes(data)

  return change


@pytest.fixture
def folder(collection, tmp_path):
  """A copy of the prepared collection."""
  shutil.copytree(collection, tmp_path / 'data')
  return next((tmp_path / 'data').glob('collection/[0-9]*'))


@pytest.mark.parametrize(
  ('pattern', 'change'),
  [
    ('*-train.array_record*', cut),
    ('*-train.array_record*', flip(0.1)),
    ('*-train.array_record*', flip(0.3)),
    ('*-val.array_record*', flip(0.02)),
    ('*-test.array_record*', os.remove),
    ('dataset_info.json', cut),
    ('dataset_info.json', flip(0.5)),
    ('features.json', flip(0.5)),
    ('features.json', os.remove),
  ],
)
def test_damage_is_one_line_with_the_file(folder, pattern, change):
  (path,) = folder.glob(pattern)
  change(path)
  with pytest.raises(UserError, match='--overwrite') as error:
    open_dataset('collection', data_dir=folder.parents[1], tasks=['artist'])
  assert path.name in str(error.value) and '\n' not in str(error.value)


def open_folder(folder):
  return open_dataset('collection', data_dir=folder.parents[1], tasks=['artist'])


def unseal(folder, keep):
  """Leaves the fingerprint of an earlier version, which had `keep` of today's keys."""
  found = json.loads((folder / 'fingerprint.json').read_text())
  found = {key: found[key] for key in ('options', 'version', 'input', *keep)}
  (folder / 'fingerprint.json').write_text(json.dumps(found))


def replace(old, new):
  def change(path):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))

  return change


ALTERED = [
  ('artist.labels.txt', os.remove),
  ('artist.labels.txt', replace('Bert', 'Burt')),
  ('artist.labels.txt', replace('Bert', 'Bert\nDora')),
  ('features.json', replace('"numClasses": "3"', '"numClasses": "4"')),
  ('dataset_info.json', replace('128', '127')),
  ('build_report.json', replace('1', '2')),
  ('fingerprint.json', replace('"seed": 0', '"seed": 1')),
  ('fingerprint.json', replace('"bytes": 4', '"bytes": 5')),
  ('fingerprint.json', lambda path: path.write_text('{}')),
  ('fingerprint.json', lambda path: path.write_text('[' * 100_000)),
  ('dataset_info.json', lambda path: (path.unlink(), os.mkfifo(path))),
  ('more.labels.txt', lambda path: path.write_text('Ann')),
]


@pytest.mark.parametrize(('name', 'change'), ALTERED)
def test_an_altered_file_is_one_line(folder, name, change):
  change(folder / name)
  with pytest.raises(UserError, match='--overwrite') as error:
    open_folder(folder)
  assert f'is damaged: {name} ' in str(error.value)
  with pytest.raises(UserError, match=f'is damaged: {name}'):
    Builder(data_dir=folder.parents[1])  # as `tfds.load` makes it
  assert any(name in line for line in verify_data(folder.parents[1])[folder])


@pytest.mark.parametrize('keep', [(), ('files',)])
def test_a_version_from_before_hashes_is_read_and_said_to_be_unsealed(
  folder, keep, caplog, capsys, monkeypatch
):
  open_folder(folder)
  assert 'unsealed' not in caplog.text
  unseal(folder, keep)
  assert len(open_folder(folder).split('train')) == 128
  assert f'{folder}: is unsealed' in caplog.text
  monkeypatch.setattr('sys.argv', ['verify', f'--data_dir={folder}'])
  assert verify.main() == 0 and 'readable, but unsealed' in capsys.readouterr().out
  (folder / 'artist.labels.txt').unlink()  # a run would have classes "0", "1", "2"
  with pytest.raises(UserError, match=r'artist\.labels\.txt is missing'):
    open_folder(folder)


@pytest.mark.parametrize(
  ('name', 'text'), [('build_report.json', '5'), ('dataset_info.json', '{}')]
)
def test_other_json_in_a_version_from_before_hashes(folder, name, text):
  unseal(folder, [])
  (folder / name).write_text(text)
  with pytest.raises(UserError, match=rf'{name}: is damaged or|is damaged: {name}'):
    open_folder(folder).build  # noqa: B018


@pytest.mark.parametrize('sealed', [True, False])
def test_verify_reads_records_too(folder, sealed, capsys, monkeypatch):
  monkeypatch.setattr('sys.argv', ['verify', f'--data_dir={folder.parents[1]}'])
  if not sealed:
    unseal(folder, ['files'])
  assert verify.main() == 0
  assert ('intact' if sealed else 'unsealed') in capsys.readouterr().out
  (records,) = folder.glob('*-train.array_record*')
  flip(0.3)(records)
  with pytest.raises(UserError, match=rf'is damaged: {records.name} .*--overwrite'):
    verify.main()


@pytest.mark.parametrize(
  'feature',
  [
    {'pythonClassName': 'outside.Feature', 'text': {}},
    {'python_class_name': 'outside.Feature', 'text': {}},
    {'pythonClassName': SEQUENCE, 'jsonFeature': {'json': '{"type": "outside.Feature"}'}},
    {'type': 'outside.Feature', 'content': {}},
  ],
)
def test_a_module_outside_tfds_is_not_imported(folder, tmp_path, monkeypatch, feature):
  (tmp_path / 'outside.py').write_text('raise SystemExit("imported")')
  monkeypatch.syspath_prepend(tmp_path)
  content = json.loads((folder / 'features.json').read_text())
  content['featuresDict']['features']['group'] = feature
  (folder / 'features.json').write_text(json.dumps(content))
  unseal(folder, [])
  for read in (open_folder, lambda folder: Builder(data_dir=folder.parents[1])):
    with pytest.raises(UserError, match=r"features\.json names 'outside\.Feature', which"):
      read(folder)
  if 'type' in feature:
    (folder / 'features.json').write_text(json.dumps(feature))
    with pytest.raises(UserError, match=r"names 'outside\.Feature'"):
      open_folder(folder)


@pytest.mark.parametrize('number', [-2, 3])
@pytest.mark.parametrize('several', [False, True])
def test_a_label_that_is_not_a_class(number, several):
  label = tfds.features.ClassLabel(num_classes=3)
  feature = tfds.features.Sequence(label) if several else label
  good, bad = ([[0], [2]], [[0], [number]]) if several else ([-1, 2], [0, number])
  assert len(source._label_array(feature, good)) == 2
  with pytest.raises(ValueError, match='there are 3 classes'):
    source._label_array(feature, bad)


def test_later_damage_names_file_and_record(folder):
  split = open_dataset('collection', data_dir=folder.parents[1], tasks=['artist']).split('train')
  decode = Decode(split, images.Square(32, 'pad'))
  records = np.arange(len(split))
  decode(records[:2])
  (path,) = folder.glob('*-train.array_record*')
  os.truncate(path, 100)
  with pytest.raises(UserError, match=rf'{path.name}: is damaged.*record .*\.png.*--overwrite'):
    decode(records)
