"""A prediction that was stopped, wherever it was, continues: no row twice, none lost."""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import flaxart
from flaxart.evaluation import calibration
from flaxart.prediction import files, run
from flaxart.prediction.journal import Journal
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import Dialect, journal_of
from flaxart.prediction.request import Options
from flaxart.prediction.run import predict
from tfds_rijks import suggestions
from tfds_rijks.errors import UserError
from tfds_rijks.images import encode_jpeg

BATCH = 4


class Stopped(BaseException):
  """The process ends here."""


@pytest.fixture(scope='module')
def net(trunk):
  """Decides: the thresholds of so few records would be none."""
  net = flaxart.load(trunk)
  net.calibration = {
    name: {**entry, 'threshold': 0.6, 'precision': 0.9} for name, entry in net.calibration.items()
  }
  return net


@pytest.fixture
def loaded(net, monkeypatch):
  """No test loads the run again."""
  monkeypatch.setattr(run, 'load', lambda workdir: copy.copy(net))


@pytest.fixture(scope='module')
def scans(tmp_path_factory):
  """Objects with one to three pictures, a broken one and one that is not a picture among them."""
  folder = tmp_path_factory.mktemp('scans')
  for i in range(14):
    noise = np.random.default_rng(i).integers(0, 256, (40, 48, 3), np.uint8)
    name = f'{i // 2:04d}{"_verso" * (i % 2)}.jpg'
    (folder / name).write_bytes(encode_jpeg(noise // 2 if i % 3 else noise))
  (folder / '0003.jpg').write_bytes(b'')
  (folder / 'notes.txt').write_text('x')
  return folder


STEM = RecordNumbers(match='stem')


def ask(trunk, scans, output, **options):
  return predict(
    trunk, scans, output, numbers=STEM, options=Options(**{'batch_size': BATCH, **options})
  )


def contents(folder):
  """All files but for the time."""
  found = {}
  for path in folder.iterdir():
    text = path.read_bytes()
    found[path.name] = json.loads(text) | {'generated_at': ''} if path.suffix == '.json' else text
  return found


@pytest.fixture(scope='module')
def stops():
  """Where a prediction may end: (object, its function, after how many calls of it)."""
  return [(Journal, 'add', n) for n in range(4)] + [
    (Journal, '_write', 0), (run, '_rows', 0), (run, 'write_text', 0), (files, 'write_bytes', 0),
    (Journal, 'remove', 0),
  ]  # fmt: skip


@pytest.mark.parametrize('per', ['picture', 'object'])
def test_any_stop_continues_to_the_same_table(loaded, trunk, scans, stops, tmp_path, per, capsys):
  whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
  whole.mkdir()
  rows = ask(trunk, scans, whole / 'T.csv', per=per)
  assert len(rows) == (14 if per == 'picture' else 7) + 1
  assert set(contents(whole)) == {'T.csv', 'T.json'}
  asked = run.work.predict_pictures
  for owner, name, after in stops:
    stopped.mkdir()
    pictures: list[str] = []

    def counting(net, folder, paths, *, pictures=pictures, **options):
      for batch in asked(net, folder, paths, **options):
        pictures += [path for path, _ in batch]
        yield batch

    calls = 0
    was = getattr(owner, name)

    def ending(*given, was=was, after=after, **options):
      nonlocal calls
      calls += 1
      if calls > after:
        raise Stopped
      return was(*given, **options)

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(run.work, 'predict_pictures', counting)
      patch.setattr(owner, name, ending)
      with pytest.raises(Stopped):
        ask(trunk, scans, stopped / 'T.csv', per=per)
      assert (stopped / 'T.csv').exists() == (name == 'remove')  # nothing half-written
      patch.setattr(owner, name, was)
      ask(trunk, scans, stopped / 'T.csv', per=per)
    assert contents(stopped) == contents(whole), (name, after)
    if name == 'add':  # batches in the journal are not asked again
      assert len(pictures) <= 14 + 2 * BATCH
    elif owner is not Journal or name == 'remove':
      assert len(pictures) == 14
    shutil.rmtree(stopped)


def test_ctrl_c_says_what_is_kept(loaded, trunk, scans, tmp_path, monkeypatch, capsys):
  def interrupted(net, folder, paths, **options):
    yield from itertools.islice(asked(net, folder, paths, **options), 2)
    raise KeyboardInterrupt

  asked = run.work.predict_pictures
  with monkeypatch.context() as patch:
    patch.setattr(run.work, 'predict_pictures', interrupted)
    with pytest.raises(KeyboardInterrupt):
      ask(trunk, scans, tmp_path / 'T.csv')
  assert '9 of 14 rows are kept: the same command continues' in capsys.readouterr().out
  ask(trunk, scans, tmp_path / 'T.csv')
  assert 'T.csv.journal: continues after 9 of 14 rows' in capsys.readouterr().out


def test_something_else_does_not_continue(loaded, trunk, scans, tmp_path):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(run, '_rows', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      ask(trunk, scans, tmp_path / 'T.csv')
  before = contents(tmp_path)
  for options, line in (
    ({'per': 'object'}, '--per=picture, now object'),
    ({'form': 'long'}, '--form=wide, now long'),
    ({'dialect': Dialect(';', ',')}, "--decimal='.', now ','"),
  ):
    with pytest.raises(UserError, match=f'T.csv.journal: belongs to .*, with {line}; continue it'):
      ask(trunk, scans, tmp_path / 'T.csv', **options)
  with pytest.raises(UserError, match='with --match=stem, now None'):
    predict(trunk, scans, tmp_path / 'T.csv', options=Options(batch_size=BATCH))
  assert contents(tmp_path) == before
  ask(trunk, scans, tmp_path / 'T.csv', batch_size=3)  # no answer depends on it
  assert set(contents(tmp_path)) == {'T.csv', 'T.json'}


def test_a_dry_run_estimates_and_writes_nothing(loaded, trunk, scans, tmp_path, capsys):
  inside = shutil.copytree(scans, tmp_path / 'inside')
  assert (
    predict(trunk, inside, inside / 'T.xlsx', options=Options(batch_size=2), dry_run=True) == []
  )
  out = capsys.readouterr().out
  assert 'estimate: 14 pictures, about 0:0' in out and ' MB for the table and its journal' in out
  assert 'dry run: nothing was written; 0 of 14 rows are done' in out
  assert {path.name for path in inside.iterdir()} == {path.name for path in scans.iterdir()}
  rows = predict(trunk, inside, inside / 'T.xlsx')
  assert 'T.xlsx' not in {row['image'] for row in rows}  # nor the next time
  assert predict(trunk, inside, inside / 'T.xlsx') == rows


def test_numbers_of_scans_that_have_no_row_yet(loaded, trunk, scans, tmp_path):
  rows = ask(trunk, scans, tmp_path / 'T.csv', per='object', form='long')
  assert {row['record_id'] for row in rows} == {f'{i:04d}' for i in range(7)}
  found = suggestions.read(tmp_path / 'T.csv')
  assert {one.record_id for one in found} == {f'{i:04d}' for i in range(7)}
  about = json.loads((tmp_path / 'T.json').read_text())
  assert about['pictures_without_suggestion'] == 0 and about['files_passed_over'] == 1
  assert {one.model_sha256 for one in found} == {about['model_sha256']}
  manifest = Path(trunk) / 'checkpoints' / str(about['model']['step']) / 'manifest.json'
  digest = subprocess.run(['sha256sum', manifest], capture_output=True, text=True, check=True)
  assert about['model_sha256'] == digest.stdout.split()[0]


def test_each_task_says_how_many_decisions_or_why_none(loaded, net, trunk, scans, tmp_path, capsys):
  rows = ask(trunk, scans, tmp_path / 'T.csv')
  said = {name: one['sentence'] for name, one in _about(tmp_path)['decisions'].items()}
  decided = sum(bool(row.get('artist_decision')) for row in rows)
  assert decided > 0 and said['artist'].startswith(f'artist: {decided} of 13 have a decision')
  assert said['year'] == 'year: a number without a decision'
  out = capsys.readouterr().out
  assert all(one in out for one in said.values())
  for entry, line in (
    ({'threshold': 1.5}, 'no decision, because the highest probability is '),
    (
      {'threshold': None},
      'no decision, because no threshold makes 90 % of at least 20 names right',
    ),
    (None, 'no probability and no decision, because the run has no calibration'),
  ):
    with pytest.MonkeyPatch.context() as patch:
      other = copy.copy(net)
      other.calibration = {'artist': {**net.calibration['artist'], **entry}} if entry else {}
      patch.setattr(run, 'load', lambda workdir, other=other: copy.copy(other))
      rows = ask(trunk, scans, tmp_path / 'T.csv')
    sentence = _about(tmp_path)['decisions']['artist']['sentence']
    assert line in sentence and sentence in capsys.readouterr().out
    assert all((row.get('artist_1_p') is None) == (not entry) for row in rows if 'artist_1' in row)
  assert _about(tmp_path)['probabilities']['artist'] == {'calibrated': False, 'written': False}


def _about(folder):
  return json.loads((folder / 'T.json').read_text())


def test_another_precision_gives_other_decisions(copied, scans, tmp_path):
  """From answers on val that are stored with the checkpoint."""
  step = flaxart.load(copied).about['step']
  fitted = calibration.read(copied, step=step)
  answers = {
    name: {'p': np.linspace(1, 0.4, 50).tolist(), 'right': '1' * 25 + '10' * 12 + '0'}
    for name in fitted
  }
  calibration.write(copied, fitted, step=step, beside={'val_answers.json': answers})
  for precision, threshold in ((0.8, 1 - 0.6 * 40 / 49), (0.9, None)):
    ask(copied, scans, tmp_path / 'T.csv', precision=precision)
    entry = _about(tmp_path)['calibration']['artist']
    right = answers['artist']['right']
    if threshold:
      named = next(n for n in range(50, 0, -1) if right[:n].count('1') / n >= precision)
      assert entry['threshold'] == pytest.approx(1 - 0.6 * (named - 1) / 49)
      assert entry['val_names'] == named and entry['precision'] == 0.8
    else:
      assert entry == fitted['artist']  # as trained
  for precision in (0, 1.5):
    with pytest.raises(UserError, match=f'--precision: found {precision}, expected a frac'):
      ask(copied, scans, tmp_path / 'T.csv', precision=precision)


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('class;shown as;identifier\nAnna;A.;u:a\nbowl;b;t:1\n', {'Anna': 'u:a', 'bowl': 't:1'}),
    ('field,class,identifier\ntype,Anna,x\nartist,Anna,y\n', {'Anna': 'y'}),
    ('class,identifier\nAnna,x\nAnna,y\n', "line 3: 'Anna' of artist has the identifiers x and y"),
    ('class,identifier\nNemo,x\n', 'none of its 1 classes is a class of artist, type, year'),
    ('name,uri\nAnna,x\n', 'has the columns name, uri; expected class, shown as, identifier'),
    (None, 'N.csv is not a file; give a table of class, identifier'),
  ],
)  # fmt: skip
def test_identifiers_of_classes(loaded, trunk, scans, tmp_path, text, expected):
  if text:
    (tmp_path / 'N.csv').write_text(text)
  options = {'form': 'long', 'names': tmp_path / 'N.csv'}
  if isinstance(expected, str):
    with pytest.raises(UserError, match=expected):
      ask(trunk, scans, tmp_path / 'T.csv', **options)
    assert not (tmp_path / 'T.csv.journal').exists()
  else:
    rows = ask(trunk, scans, tmp_path / 'T.csv', **options)
    assert {row['value']: row['value_uri'] for row in rows if row.get('value_uri')} == expected


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import toy_network
from flaxart import models
from flaxart.prediction.journal import Journal
models.NETWORKS = (*models.NETWORKS, toy_network.Toy)
add, added = Journal.add, []
def kill(self, rows):
  add(self, rows)
  added.append(rows)
  if len(added) == 2:
    os.kill(os.getpid(), signal.SIGKILL)
Journal.add = kill
from flaxart import predict
sys.argv = ['predict', *sys.argv[1:]]
predict.main()
"""


@pytest.mark.kill
def test_kill_9_loses_nothing(trunk, scans, tmp_path):
  output = tmp_path / 'T.csv'
  flags = [f'--workdir={trunk}', f'--images={scans}', f'--output={output}', f'--batch_size={BATCH}']
  script = KILLED.format(tests=str(Path(__file__).parents[1]))
  command = [sys.executable, '-c', script, *flags, '--match=stem']
  environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])}
  ended = subprocess.run(command, capture_output=True, env=environment, timeout=300)
  assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-500:]
  # The header, eight pictures, and the broken one among them.
  kept = journal_of(output).read_bytes()
  assert kept.count(b'\n') == 1 + 2 * BATCH + 1 and set(contents(tmp_path)) == {'T.csv.journal'}
  journal_of(output).write_bytes(kept + b'{"row": 9, "ans')  # as if while it wrote
  rows = ask(trunk, scans, output)
  assert len(rows) == len({row['image'] for row in rows}) == 15
  (tmp_path / 'whole').mkdir()
  assert ask(trunk, scans, tmp_path / 'whole' / 'T.csv') == rows
