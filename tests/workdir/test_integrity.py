"""Files are read as written: bit flips, missing files, other classes, other formats."""

from __future__ import annotations

import json
import random
import shutil
import sys

import numpy as np
import pytest
from tiny_museum import tiny_config
from trainer import arrays

import flaxart
from flaxart.tasks.kinds import labels_json
from flaxart.train import train_and_evaluate
from flaxart.verify import verify
from flaxart.workdir import checkpoint, manifest, run_folder
from flaxart.workdir.read_back import missing_arrays
from tfds_rijks.errors import UserError


@pytest.fixture(scope='module')
def trained(tmp_path_factory, collection):
  """A run of two epochs whose first evaluation was the better one, so that both are kept."""
  config = tiny_config(collection)
  config.train.epochs = 2.0
  workdir = tmp_path_factory.mktemp('runs') / 'trained'
  scores = iter([0.9, 0.1])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr('flaxart.training.validation.main_score', lambda *_: next(scores))
    train_and_evaluate(config, workdir)
  assert set(checkpoint.steps_on_disk(workdir)) == {8, 16}
  return workdir, config


@pytest.fixture
def run(trained, tmp_path):
  shutil.copytree(trained[0], tmp_path / 'run')
  return tmp_path / 'run'


def files_of(run):
  return sorted(p for p in (run / 'checkpoints').rglob('*') if p.is_file() and p.stat().st_size)


def flip_a_bit(path, rng):
  content = bytearray(path.read_bytes())
  content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
  path.write_bytes(content)


def damage_latest(run):
  """Flips one bit of the newest checkpoint's weights."""
  data = max((run / 'checkpoints' / '16').rglob('*'), key=lambda p: p.stat().st_size)
  flip_a_bit(data, random.Random(0))


def test_each_of_500_flipped_bits_is_found(run):
  rng = random.Random(0)
  found = 0
  for _ in range(500):
    path = rng.choice(files_of(run))  # small files as often as large ones, the manifest too
    before = path.read_bytes()
    flip_a_bit(path, rng)
    step = path.relative_to(run / 'checkpoints').parts[0]
    try:
      manifest.check(run / 'checkpoints' / step)
    except UserError:
      found += 1
    path.write_bytes(before)
  assert found == 500
  assert verify(run) == {8: [], 16: []}


def test_every_bit_of_a_manifest_counts(tmp_path):
  (tmp_path / 'weights').write_bytes(b'1')
  manifest.seal(tmp_path)
  path = tmp_path / manifest.FILE
  content = path.read_bytes()
  for i in range(len(content)):
    for bit in range(8):
      path.write_bytes(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
      assert manifest.problems(tmp_path), (i, bit)
  path.write_bytes(content.replace(b'\n', b'\n '))  # what JSON itself would overlook
  assert manifest.problems(tmp_path)


@pytest.mark.parametrize(
  ('change', 'line'),
  [
    (lambda path: path.unlink(), 'missing'),
    (lambda path: path.write_bytes(b''), 'content changed'),
    (lambda path: path.write_bytes(path.read_bytes()[:-1]), 'content changed'),
    (lambda path: path.with_name('more').write_bytes(b'more'), 'not in the manifest'),
    (lambda path: path.rename(path.with_name('moved')), 'missing'),
  ],
)
def test_missing_truncated_and_extra_files_are_named(run, change, line):
  path = max((run / 'checkpoints/8/state').rglob('*'), key=lambda p: p.stat().st_size)
  change(path)
  with pytest.raises(UserError, match=f'{path.parent}.*: {line}'):
    flaxart.load(run, step=8)
  assert flaxart.load(run, step=16)
  with pytest.raises(UserError, match='1 of 2 checkpoints are damaged'):
    from flaxart.verify import main

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(sys, 'argv', ['verify', f'--workdir={run}'])
      main()


def test_a_save_that_orbax_cannot_read_again_is_not_sealed(collection, tmp_path, monkeypatch):
  monkeypatch.setattr(run_folder, 'PATTERN', '')  # else refused before the first step
  workdir = tmp_path / 'lr[0.1]'
  with pytest.raises(UserError, match=r'could not be written \(\d+ arrays cannot be read back'):
    train_and_evaluate(tiny_config(collection), workdir)
  assert not list(workdir.rglob('manifest.json'))


def test_a_newest_checkpoint_that_lacks_more_than_its_manifest_is_skipped(run):
  newest = run / 'checkpoints' / '16'
  assert missing_arrays(newest) == []
  shutil.rmtree(newest / 'optimizer' / 'd')
  (newest / 'optimizer' / 'manifest.ocdbt').unlink()
  manifest_of = newest / manifest.FILE
  manifest_of.unlink()
  assert missing_arrays(newest) == ['optimizer: all arrays']
  checkpoint.Checkpointer(run).close()
  assert not manifest_of.exists()
  checkpoint.Checkpointer(run, fallback=True).close()
  assert set(checkpoint.steps_on_disk(run)) == {8} and (run / 'checkpoints-damaged/16').exists()


def test_a_missing_or_broken_manifest_is_damage(run):
  (run / 'checkpoints/8/manifest.json').unlink()
  (run / 'checkpoints/16/manifest.json').write_text('{')
  assert [bool(lines) for lines in verify(run).values()] == [True, True]
  with pytest.raises(UserError, match='every checkpoint is damaged'):
    flaxart.load(run, fallback=True)


def test_a_damaged_checkpoint_stops_the_run_unless_fallback_is_given(run, trained, caplog):
  damage_latest(run)
  (run / 'results.json').unlink()
  with pytest.raises(UserError, match=r'content changed.* or give --fallback'):
    train_and_evaluate(trained[1], run)
  with caplog.at_level('INFO', 'flaxart'):
    train_and_evaluate(trained[1], run, fallback=True)
  assert 'step 16 is damaged' in caplog.text and 'moved to' in caplog.text
  assert 'continuing after step 8 of 16' in caplog.text
  assert [p.name for p in (run / 'checkpoints-damaged').iterdir()] == ['16']
  assert not any(verify(run).values())
  # Step 16 is again as before the damage: training is a function of the state.
  a, b = arrays(run, 16), arrays(trained[0], 16)
  assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_a_run_without_an_intact_checkpoint_does_not_start_again_in_its_place(run, trained):
  (run / 'results.json').unlink()
  for step in (8, 16):
    flip_a_bit(run / f'checkpoints/{step}/labels.json', random.Random(step))
  before = files_of(run)
  lines = (run / 'metrics.jsonl').read_text()
  with pytest.raises(UserError, match=r'every checkpoint is damaged; restore one from a copy'):
    train_and_evaluate(trained[1], run, fallback=True)
  assert files_of(run) == before and (run / 'metrics.jsonl').read_text() == lines


@pytest.mark.parametrize(
  ('name', 'content', 'line'),
  [
    ('run.json', '[1]', 'found list, expected an object'),
    ('trunk.json', '{}', "lacks 'spec'"),
    ('results.json', '{"tr', 'Unterminated'),
    ('calibration.json', '', 'Expecting value'),
    ('labels.json', '[]', 'found list, expected an object'),
  ],
)
def test_a_damaged_file_of_a_run_is_named(run, name, content, line):
  (run / name).write_text(content)
  with pytest.raises(UserError, match=rf'run/{name}: is damaged \({line}.*restore it from a copy'):
    flaxart.load(run)


def test_loading_falls_back_to_the_next_best_step(run, caplog):
  net = flaxart.load(run)
  assert net.about['step'] == 8 and net.calibration.keys() == {'artist', 'type'}
  flip_a_bit(run / 'checkpoints/8/labels.json', random.Random(1))
  with pytest.raises(UserError, match='content changed'):
    flaxart.load(run)
  net = flaxart.load(run, fallback=True)
  assert net.about['step'] == 16 and net.calibration == {}
  assert 'step 8 is damaged' in caplog.text and 'skipped' in caplog.text
  assert 'was fitted on step 8, not on step 16: no decisions' in caplog.text


def test_a_score_counts_only_if_it_is_what_was_written(run, trained):
  (run / 'results.json').unlink()
  path = run / 'checkpoints/16/_CHECKPOINT_METADATA'
  assert '"score": 0.1' in path.read_text()
  path.write_text(path.read_text().replace('"score": 0.1', '"score": 1.1'))
  for read in (lambda: flaxart.load(run), lambda: train_and_evaluate(trained[1], run)):
    with pytest.raises(UserError, match='16/_CHECKPOINT_METADATA: content changed'):
      read()
  assert flaxart.load(run, fallback=True).about['step'] == 8


def with_classes(run, task, classes):
  """Writes another class list into `labels.json`, with a hash that fits it."""
  _, tasks = run_folder.read_run(run)
  changed = [type(t)(t.name, classes, t.weight) if t.name == task else t for t in tasks]
  (run / 'labels.json').write_text(labels_json(changed))


@pytest.mark.parametrize(
  ('classes', 'line'),
  [
    (('Bert', 'Anna', 'Cleo'), "class 0 of artist was 'Anna' when it was saved and is 'Bert'"),
    (('Anna', 'Bert', 'Dora'), "class 2 of artist was 'Cleo' when it was saved and is 'Dora'"),
    (('Anna', 'Bert'), "class 2 of artist was 'Cleo' when it was saved and is nothing"),
  ],
)
def test_a_checkpoint_keeps_the_classes_it_was_trained_on(run, classes, line):
  with_classes(run, 'artist', classes)
  with pytest.raises(UserError, match=line):
    flaxart.load(run)


def test_a_checkpoint_keeps_its_preprocessing(run):
  trunk = json.loads((run / 'trunk.json').read_text())
  trunk['spec']['variant'] = 'torchvision'
  (run / 'trunk.json').write_text(json.dumps(trunk))
  with pytest.raises(UserError, match='variant was keras when it was saved and is torchvision in'):
    flaxart.load(run)


@pytest.mark.parametrize(
  ('name', 'old', 'new', 'line'),
  [
    ('config.json', '"fit": "squash"', '"fit": "crop"', 'config.data.fit was squash when it was'),
    ('calibration.json', '"precision": 0.9', '"precision": 0.1', 'precision of .* was 0.9 when'),
  ],
)
def test_predictions_use_sealed_files(run, name, old, new, line):
  text = (run / name).read_text()
  assert old in text
  (run / name).write_text(text.replace(old, new))
  with pytest.raises(UserError, match=line):
    flaxart.load(run)


def test_a_run_of_a_later_format_is_refused_by_the_version_that_reads_it(run, trained):
  entry = json.loads((run / 'run.json').read_text())
  (run / 'run.json').write_text(json.dumps({**entry, 'format': 3, 'flaxart': '3.1.0'}))
  for again in (lambda: flaxart.load(run), lambda: train_and_evaluate(trained[1], run)):
    with pytest.raises(UserError, match=r'has format 3, .* install flaxart 3.1.0 or later'):
      again()


def test_only_the_newest_checkpoint_is_sealed_late(run):
  """A run killed between a save and its manifest continues; an older gap is damage."""
  for step in (8, 16):
    (run / 'checkpoints' / str(step) / manifest.FILE).unlink()
  (run / 'checkpoints/16/optimizer' / manifest.FILE).unlink()  # it comes before the other one
  checkpoint.Checkpointer(run).close()
  assert [bool(lines) for lines in verify(run).values()] == [True, False]


def test_files_that_only_training_needs_may_be_damaged_otherwise(run, trained):
  (run / 'results.json').unlink()
  for step in (8, 16):
    flip_a_bit(run / f'checkpoints/{step}/optimizer/_METADATA', random.Random(step))
  assert flaxart.load(run).about['step'] == 8
  assert [len(lines) for lines in verify(run).values()] == [1, 1]
  with pytest.raises(UserError, match=r'16/optimizer/_METADATA: content changed'):
    train_and_evaluate(trained[1], run)


def test_the_manifest_that_makes_a_checkpoint_sealed_comes_last(run, monkeypatch):
  folder, written = run / 'checkpoints/16', []
  monkeypatch.setattr(manifest, 'write_text', lambda path, text: written.append(path))
  manifest.seal(folder)
  assert written == [folder / 'optimizer' / manifest.FILE, folder / manifest.FILE]
