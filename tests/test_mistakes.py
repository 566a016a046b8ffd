"""What newcomers get wrong: one line with what was found, what was expected, what to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PREPARE, TRAIN, PREDICT = 'tfds_rijks.prepare', 'flaxart.main', 'flaxart.predict'
REPORT, VERIFY, APPLY = 'flaxart.report.__main__', 'flaxart.verify', 'flaxart.apply.__main__'
CONVERT, DOWNLOAD = 'flaxart.weights.convert', 'flaxart.weights.download'
COLLECTION = '--dataset=collection --manual_dir={here}/pictures --data_dir={here}/out '
ON_DATA = (
  '--config=mtl --config.data.dataset=collection --config.data.data_dir={data} '
  '--config.model.name=toy --config.data.image_size=32 '
)
OUT = '--data_dir={here}/out '
NEW = '--workdir={here}/new '
AS_X = '--output={here}/x.safetensors '
APPLIED = '--table={here}/table.csv --output={here}/new.csv '
NAMES = '--workdir={run} --images={here}/pictures --output={here}/names.csv '
TABLE = 'image,artist,type\n' + ''.join(
  f'{i}.png,{"AB"[i % 2]}nna,{"bowl" if i % 3 else "coin"}\n' for i in range(6)
)

# A command, its arguments, and the words of its one line that matter.
MISTAKES = [
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/nowhere',
   'nowhere: no such folder; expected the folder with the source data'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/table.csv',
   'table.csv: is a file; expected the folder with the source data'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/empty',
   'empty: the folder is empty; expected the source data'),
  (PREPARE, '--dataset=collection --manual_dir={here}/pictures --data_dir={here}/table.csv',
   '--data_dir= ... table.csv: is a file; expected a folder or a new name'),
  (PREPARE, OUT + '--manual_dir={here}/pictures',
   'the following arguments are required: --dataset'),
  (PREPARE, OUT + '--dataset=colection --manual_dir={here}/pictures',
   '--dataset=colection: no such dataset; did you mean collection? expected rijksmuseum or'),
  (PREPARE, OUT + '--dataset=rijksmuseum --manual_dir={here}/pictures',
   'rijksmuseum: a config is missing; expected rijksmuseum/ and one of multitask, full'),
  (PREPARE, OUT + '--dataset=rijksmuseum/multitaks --manual_dir={here}/pictures',
   'rijksmuseum/multitaks: no such config; did you mean multitask? expected'),
  (PREPARE, OUT + '--dataset=rijksmuseum/multitask --manual_dir={here}/pictures',
   'pictures: holds 0.png, ... expected a folder jpg2 or jpg'),
  (PREPARE, COLLECTION + '--metadata=metdata.csv',
   '--metadata=metdata.csv: no such file in ... expected a table there'),
  (PREPARE, COLLECTION + '--labels=artst',
   "--labels: metadata.csv has no column 'artst'; did you mean 'artist'? its columns are"),
  (PREPARE, COLLECTION + '--image_column=file',
   "--image_column: metadata.csv has no column 'file'; its columns are image, artist, type"),
  (PREPARE, COLLECTION + '--min_per_class=10000',
   'no column has a value on 10000 or more pictures; lower --min_per_class'),
  (PREPARE, COLLECTION + '--min_per_class=0',
   '--min_per_class=0: expected 1 or more'),
  (PREPARE, COLLECTION + '--min_per_class=many',
   "--min_per_class: found 'many', expected a whole number"),
  (PREPARE, COLLECTION + '--fractions=80,10,10',
   '--fractions: found train 80, val 10, test 10; expected shares from 0 to 1 that sum to 1'),
  (PREPARE, COLLECTION + '--fractions=0.8',
   '--fractions=0.8: expected three shares such as 0.8,0.1,0.1'),
  (PREPARE, COLLECTION + '--copies=none',
   '--copies=none: expected equal, likely, doubtful'),
  (PREPARE, COLLECTION + '--match=name',
   '--match=name: no such rule; expected path, stem,'),
  (PREPARE, COLLECTION + '--match=stem --id_column=number',
   "--id_column: metadata.csv has no column 'number'; its columns are"),
  (PREPARE, COLLECTION + '--aliases=aliases.csv',
   '--aliases=aliases.csv: no such file; give'),
  (PREPARE, COLLECTION + '--sheet=Blad2',
   '--sheet=Blad2: ... has no sheets; leave the option out'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/no_table',
   'no_table: has no metadata.csv and no pictures in subfolders; expected'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/no_image --min_per_class=1',
   'metadata.csv: has the columns plaatje, artist, type; expected ... --image_column=plaatje;'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/moved --min_per_class=1',
   'none of the pictures in the table exists, such as 0.jpg; expected paths relative'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/only_a_header',
   'only_a_header/metadata.csv: the table has no rows; expected a header and one row per picture'),
  (PREPARE, OUT + '--dataset=collection --manual_dir={here}/workbook --min_per_class=1',
   'workbook'),
  (PREPARE, '--dataset=collection --manual_dir={source} --data_dir={data} --min_per_class=5',
   'was prepared from other input or options: ... min_per_class was 20, now 5; rebuild it'),
  (TRAIN, '',
   'give --config=FILE to train, or --workdir=FOLDER of a run'),
  (TRAIN, 'mtl',
   "'mtl' is not a flag; write --config=mtl?"),
  (TRAIN, '--config=mtll',
   '--config: mtll does not exist; did you mean mtl?'),
  (TRAIN, '--config=mtl --config.lr=1',
   '--config.lr: no such setting; did you mean config.optim.learning_rate?'),
  (TRAIN, ON_DATA + '--config.train.epochs=ten',
   "--config.train.epochs: found 'ten', expected a number"),
  (TRAIN, ON_DATA + '--config.train.epochs=0',
   'config.train.epochs: found 0.0, expected a finite number above 0'),
  (TRAIN, ON_DATA + '--config.train.batch_size=0',
   'config.train.batch_size: found 0, expected'),
  (TRAIN, ON_DATA + '--config.optim.learning_rate=-1',
   'config.optim.learning_rate: found -1.0, expected a finite number above 0'),
  (TRAIN, ON_DATA + '--config.optim.name=adamm',
   "config.optim.name: found 'adamm', did you mean adam? expected one of sgd, adam, adamw"),
  (TRAIN, ON_DATA + '--config.model.name=resnet',
   "config.model.name: found 'resnet', did you mean resnet50? expected one of"),
  (TRAIN, ON_DATA + NEW + '--config.tasks=Artst',
   "config.tasks: 'Artst' ... did you mean artist? its labels are artist, type, year"),
  (TRAIN, ON_DATA + NEW + '--config.tasks=',
   "config.tasks: found ''; expected different names of dataset features, such as artist,type"),
  (TRAIN, ON_DATA + NEW + '--config.tasks=artist,artist',
   "'artist' is named twice"),
  (TRAIN, ON_DATA + NEW + '--config.data.dataset=colection',
   "'colection' is not prepared in ... did you mean collection?"),
  (TRAIN, NEW + '--config=mtl --config.data.data_dir={here}/nowhere',
   "'rijksmuseum/multitask' is not prepared in ... run python -m tfds_rijks.prepare --dataset="),
  (TRAIN, ON_DATA + NEW + '--config.tasks=artist --config.init=resnet50.h5',
   "config.init: 'resnet50.h5' is not scratch, imagenet, a weights file or the workdir of a run"),
  (TRAIN, ON_DATA + NEW + '--config.tasks=artist --config.init={here}/table.csv',
   'table.csv'),
  (TRAIN, ON_DATA + '--config.tasks=artist --workdir={here}/table.csv',
   '--workdir: ... table.csv is a file; give a folder'),
  (TRAIN, ON_DATA + '--config.tasks=artist --workdir={here}/pictures',
   'pictures is not empty and does not hold a run (no config.json); give a new folder'),
  (TRAIN, ON_DATA + '--config.tasks=artist --workdir={run}',
   'was started with a different config ... use the same values to continue it, or another'),
  (TRAIN, ON_DATA + NEW + '--config.trainable=head --config.tasks=artist',
   "config.trainable: 'head' matches none of"),
  (TRAIN, '--mode=eval --workdir={here}/nowhere',
   'nowhere/config.json: not found; expected ... to be the folder of a run'),
  (TRAIN, '--mode=eval --workdir={run} --split=tset',
   "collection: no split 'tset'; its splits are train, val, test"),
  (TRAIN, '--mode=eval --workdir={begun}',
   'has no complete checkpoint; give the workdir of a run that was evaluated at least once'),
  (TRAIN, '--mode=test --workdir={run}',
   "--mode: found 'test', expected train or eval"),
  (PREDICT, '--workdir={here}/nowhere --images={here}/pictures --output={here}/names.csv',
   'nowhere/config.json: not found; expected ... to be the folder of a run'),
  (PREDICT, '--workdir={here}/pictures --images={here}/pictures --output={here}/names.csv',
   'pictures/config.json: not found; expected ... to be the folder of a run'),
  (PREDICT, '--workdir={begun} --images={here}/pictures --output={here}/names.csv',
   'has no complete checkpoint; give the workdir of a run that was evaluated at least once'),
  (PREDICT, '--workdir={run} --images={here}/nowhere --output={here}/names.csv',
   '--images: ... nowhere is not a folder; give the folder of the pictures'),
  (PREDICT, '--workdir={run} --images={here}/pictures/0.png --output={here}/names.csv',
   '--images: ... 0.png is not a folder; give the folder of the pictures'),
  (PREDICT, '--workdir={run} --images={here}/empty --output={here}/names.csv',
   '--images: ... empty has no picture ... give the folder of the pictures'),
  (PREDICT, '--workdir={run} --images={here}/pictures --output={here}/no/names.csv',
   '--output: the folder ... no does not exist; create it'),
  (PREDICT, '--workdir={run} --images={here}/pictures --output={here}/names.pdf',
   'names.pdf is not a table; give a file name that ends in .csv'),
  (PREDICT, '--workdir={run} --images={here}/pictures --output={here}/empty',
   '--output: ... empty is not a table; give a file name that ends in .csv'),
  (PREDICT, '--workdir={run} --images={here}/pictures --output={here}/table.csv',
   'table.csv exists and is not a table of predictions ... choose another name'),
  (PREDICT, NAMES + '--metadata={here}/nowhere.csv',
   '--metadata and --id_column go together'),
  (PREDICT, NAMES + '--metadata={here}/pictures/metadata.csv --id_column=nr',
   "--id_column: metadata.csv has no column 'nr'; its columns are image, artist, type"),
  (PREDICT, NAMES + '--per=object',
   '--per=object needs --metadata and --id_column, or --match'),
  (PREDICT, NAMES + '--per=work',
   "--per: found 'work', expected one of 'picture', 'object'"),
  (PREDICT, NAMES + '--precision=90',
   '--precision: found 90, expected a fraction above 0 and at most 1, such as 0.8'),
  (PREDICT, NAMES + '--batch_size=0',
   '--batch_size: found 0, expected 1 or more'),
  (REPORT, '--runs={here}/runs/* --output={here}/report',
   '--runs: no folder matches ... give a pattern such as'),
  (REPORT, '--runs={here}/pictures --output={here}/report',
   'matches 1 folder without a run (no config.json); give the folders of runs'),
  (REPORT, '--runs={run} --output={here}/table.csv',
   '--output: ... table.csv is a file; give a folder'),
  (REPORT, '--runs={run} --output={here}/report --samples=-1',
   '--samples: found -1, expected 0 or more'),
  (VERIFY, '',
   'give --workdir, the folder of a run, or --data_dir'),
  (VERIFY, '--workdir={here}/nowhere',
   'nowhere has no checkpoints; give the folder of a run'),
  (VERIFY, '--data_dir={here}/pictures',
   'pictures has no prepared dataset; give the folder of some'),
  (APPLY, APPLIED + '--decisions={here}/nowhere.csv',
   'nowhere.csv: is not a file; give a table of suggestions'),
  (APPLY, APPLIED + '--decisions={here}/table.csv',
   'has no column record_id, ... expected the columns of a table of suggestions'),
  (CONVERT, AS_X + '--model=resnet --source=keras --input={here}/x.h5',
   "--model: found 'resnet', did you mean resnet50? expected one of"),
  (CONVERT, AS_X + '--model=resnet50 --source=pytorch --input={here}/x',
   "--source: found 'pytorch', expected one of keras, torchvision, timm"),
  (CONVERT, AS_X + '--model=resnet50 --source=keras --input={here}/x.h5',
   'x.h5: no such file, expected a weights file'),
  (DOWNLOAD, AS_X + '--model=resnet101',
   "--model: found 'resnet101', did you mean resnet50? expected one of"),
  ('flaxart.__main__', 'predit',
   "found command 'predit'; did you mean 'predict'? expected one of train"),
]  # fmt: skip


@pytest.fixture(scope='module')
def begun(finished, tmp_path_factory):
  """A run that has saved nothing yet."""
  keep = ('config.json', 'labels.json', 'run.json', 'trunk.json')
  folder = tmp_path_factory.mktemp('runs') / 'begun'
  folder.mkdir()
  for name in keep:
    shutil.copy(finished[0] / name, folder / name)
  return folder


@pytest.fixture(scope='module')
def here(tmp_path_factory):
  """What a newcomer has: pictures with a table, and files that are in the way."""
  folder = tmp_path_factory.mktemp('here')
  rng = np.random.default_rng(0)
  tables = {
    'pictures': TABLE,
    'no_table': None,
    'no_image': TABLE.replace('image', 'plaatje', 1),
    'moved': TABLE.replace('.png', '.jpg'),
    'only_a_header': 'image,artist\n',
    'workbook': 'PK\x03\x04',
  }
  for name, table in tables.items():
    (folder / name).mkdir()
    for i in range(6):
      Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / name / f'{i}.png')
    if table is not None:
      (folder / name / 'metadata.csv').write_text(table)
  (folder / 'empty').mkdir()
  (folder / 'table.csv').write_text(TABLE)
  return folder


def no_run(*_):
  """A mistake that nobody noticed must not train for minutes."""
  raise AssertionError('the run would begin')


def tree(*folders):
  """Every file with its size and time."""
  return {
    path: (path.stat().st_size, path.stat().st_mtime_ns)
    for folder in folders
    for path in Path(folder).rglob('*')
    if path.name != '.lock'
  }


@pytest.mark.parametrize(('module', 'arguments', 'words'), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
  call, monkeypatch, here, begun, finished, collection, module, arguments, words
):
  at = {'here': here, 'run': finished[0], 'begun': begun, 'data': collection}
  at['source'] = collection.parent / 'source'
  before = tree(*at.values())
  filled = [one.format(**at) for one in arguments.split()]
  monkeypatch.setattr('flaxart.train.NetworkTrainer', no_run)
  code, _, said = call(module, *filled, folder=here)
  assert code == 2 and said.startswith('error: ') and said.count('\n') == 1, said
  assert tree(*at.values()) == before
  for word in words.split(' ... '):
    assert word in said
