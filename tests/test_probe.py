"""Off the shelf: the trunk runs once, the heads are those of an ordinary run, nothing is stale."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from trainer import TIMINGS

import flaxart
from flaxart import checkpoint, contest, feature_cache, features, heads, probe, workdirs
from flaxart.again import evaluate_again
from flaxart.config import default_config
from flaxart.data.decoded import data_sha256
from flaxart.data.loader import Decode
from flaxart.data.source import open_dataset
from flaxart.initial import initial_trunk
from flaxart.interrupt import StoppedError
from flaxart.net import restore_network
from flaxart.sharding import create_mesh
from flaxart.state import Network, TrainState, abstract_parts
from flaxart.sweep import read_settings
from flaxart.tasks import Task, tasks_from_features
from flaxart.train import check_labelled, train_and_evaluate
from tfds_rijks.errors import UserError

RECORDS = 160


def stored(workdir, step=None):
  """Everything in a checkpoint (the best one), as nested dictionaries of arrays."""
  from orbax.checkpoint import v1 as ocp

  step = checkpoint.best_on_disk(workdir) if step is None else step
  return ocp.load((workdir / 'checkpoints' / str(step)).resolve())


def metric_lines(workdir):
  lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  return [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]


def assert_close(a, b, **tolerance):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.fixture(scope='module')
def trunk(tmp_path_factory, collection):
  """A finished run with a trunk worth taking."""
  from conftest import tiny as make

  config = make.__wrapped__(collection)
  config.train.epochs = 4.0
  workdir = tmp_path_factory.mktemp('runs') / 'trunk'
  train_and_evaluate(config, workdir)
  return workdir


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  """One folder of features for the tests of this file."""
  return tmp_path_factory.mktemp('features')


@pytest.fixture
def frozen(tiny, trunk, cache):
  """An off-the-shelf run on that trunk: three heads, three epochs of eight steps."""
  tiny.init, tiny.trainable = str(trunk), 'heads'
  tiny.tasks = 'artist,type,year'
  tiny.train.epochs = 3.0
  tiny.probe.cache_dir = str(cache)
  return tiny


@pytest.fixture
def extracted(monkeypatch):
  """Counts the pictures that go through the trunk to become features."""
  count = SimpleNamespace(pictures=0)

  def forward(self, batch, forward=features.Extractor._forward):
    count.pictures += int(batch['mask'].sum())
    return forward(self, batch)

  monkeypatch.setattr(features.Extractor, '_forward', forward)
  return count


def everything_on(config):
  """Every part of the ordinary step that has a meaning for heads alone."""
  config.model.dropout, config.optim.weight_decay, config.optim.name = 0.2, 0.1, 'adamw'
  config.optim.label_smoothing, config.optim.clip_norm, config.optim.ema = 0.1, 5.0, 0.9
  config.train.class_weights, config.train.logit_adjustment = 'sqrt', 1.0
  config.train.task_weights, config.train.accumulate = 'learned', 2
  config.optim.schedule, config.optim.plateau_patience = 'plateau', 1


def test_heads_are_those_of_an_ordinary_run(frozen, tmp_path, monkeypatch):
  everything_on(frozen)
  train_and_evaluate(frozen, tmp_path / 'probe')

  def same_order(split, *, seed, batch_size, start_step, size, fit, **_):
    decode, first = Decode(split, size, fit), start_step * batch_size
    while True:
      order = heads.example_order(len(split), first=first, count=batch_size, seed=seed)
      examples = [decode(record) | {'draw': 0} for record in order]
      first += batch_size
      yield {key: np.stack([e[key] for e in examples]) for key in examples[0]}

  monkeypatch.setattr('flaxart.loop.train_batches', same_order)
  monkeypatch.setattr('flaxart.estimate.train_batches', same_order)
  monkeypatch.setattr('flaxart.probe.applies', lambda config: False)
  train_and_evaluate(frozen, tmp_path / 'plain')
  one, other = stored(tmp_path / 'probe', 24), stored(tmp_path / 'plain', 24)
  for part in ('params', 'batch_stats', 'raw', 'opt_state', 'watch'):
    assert_close(one[part], other[part], rtol=2e-3, atol=2e-4)
  ours, plain = (
    json.loads((tmp_path / run / 'results.json').read_text()) for run in ('probe', 'plain')
  )
  for split in ('val', 'test'):
    assert_close(ours[split], plain[split], rtol=1e-3)


def test_a_second_run_with_other_heads_extracts_nothing(frozen, tmp_path, monkeypatch, extracted):
  frozen.probe.cache_dir = str(tmp_path / 'features')
  train_and_evaluate(frozen, tmp_path / 'first')
  assert extracted.pictures == RECORDS  # train, val and test, each picture once
  frozen.tasks, frozen.optim.learning_rate = 'type', 1e-2

  def fail(*_, **__):
    raise AssertionError('the trunk was run')

  monkeypatch.setattr('flaxart.models.trunk.Trunk.feature_map', fail)
  summary = train_and_evaluate(frozen, tmp_path / 'second')
  assert extracted.pictures == RECORDS
  # What the features cost is told all the same.
  assert summary['train']['features']['pictures'] == RECORDS
  assert summary['train']['features']['seconds'] > 0


def test_what_comes_out_is_a_network_like_any_other(frozen, tmp_path, trunk):
  summary = train_and_evaluate(frozen, tmp_path / 'run')
  for split in ('val', 'test'):
    again = evaluate_again(tmp_path / 'run', split=split)
    assert_close(again, summary[split], rtol=1e-4)
  assert_close(stored(trunk)['params']['trunk'], stored(tmp_path / 'run')['params']['trunk'])
  assert_close(stored(trunk)['batch_stats'], stored(tmp_path / 'run')['batch_stats'])
  net = flaxart.load(tmp_path / 'run')
  split = open_dataset('collection', data_dir=frozen.data.data_dir, tasks=['artist']).split('test')
  answers = net(np.stack([net.square(split.picture(i)) for i in range(len(split))]))
  known = split.labels['artist'] >= 0
  right = answers['artist'].argmax(1)[known] == split.labels['artist'][known]
  assert right.mean() == pytest.approx(summary['test']['artist']['top1'])
  assert summary['train'].keys() >= {
    'steps',
    'epochs',
    'images_seen',
    'seconds',
    'images_per_second',
    'settings_tried',
    'best_step',
  }


@pytest.fixture(scope='module')
def swept(tmp_path_factory, collection, trunk, cache):
  """Four settings over one cache, one of which diverges."""
  from conftest import tiny as make

  config = frozen.__wrapped__(make.__wrapped__(collection), trunk, cache)
  config.train.epochs = 4.0
  config.probe.settings = 'sgd:1e30,sgd:1e-4,adam:3e-3,rmsprop:1e-4'
  config.log.profile = '3'
  workdir = tmp_path_factory.mktemp('runs') / 'swept'
  return workdir, config, train_and_evaluate(config, workdir)


def test_a_sweep_gives_what_each_setting_gives_alone(swept, tmp_path):
  workdir, config, summary = swept
  named = {entry['name']: entry['val'] for entry in summary['train']['settings']}
  assert list(named) == config.probe.settings.split(',')
  assert named['sgd:1e30'] is None and summary['train']['settings_tried'] == 4
  alone = {}
  for name in ('adam:3e-3', 'sgd:1e-4'):
    one = config.copy_and_resolve_references()
    one.probe.settings = name
    single = train_and_evaluate(one, tmp_path / name)
    alone[name] = [v for k, v in checkpoint.steps_on_disk(tmp_path / name).items()]
    assert max(alone[name]) == pytest.approx(named[name], rel=1e-6)
    if name == summary['train']['setting']:
      assert_close(stored(workdir)['params'], stored(tmp_path / name)['params'], rtol=1e-5)
      assert_close(summary['test'], single['test'], rtol=1e-5)


def test_the_setting_that_is_best_on_val_is_tested_and_kept(swept):
  workdir, _, summary = swept
  scores = {entry['name']: entry['val'] for entry in summary['train']['settings']}
  best = max(score for score in scores.values() if score is not None)
  assert scores[summary['train']['setting']] == best
  val = [line for line in metric_lines(workdir) if line['split'] == 'val']
  first = next(line for line in val if line[f'{summary["train"]["setting"]}/score'] == best)
  assert first['step'] == summary['train']['best_step'] == checkpoint.best_on_disk(workdir)
  again = evaluate_again(workdir, split='test')
  # A loss near 0 is a difference of float32 logits, which cannot be known better than this.
  assert_close(again, summary['test'], rtol=1e-4, atol=np.finfo(np.float32).eps)


def test_the_pass_with_the_chosen_step_is_traced(swept):
  assert len(list((swept[0] / 'profile').rglob('*.xplane.pb'))) == 1


def test_an_interrupted_sweep_goes_on_to_the_same_end(swept, tmp_path, monkeypatch):
  workdir, config, _ = swept

  class StopError(Exception):
    pass

  def stop(self, states, results, metrics, judge=contest.Contest.judge):
    if int(states[0].step) == 24:
      raise StopError
    return judge(self, states, results, metrics)

  with monkeypatch.context() as patch:
    patch.setattr(contest.Contest, 'judge', stop)
    with pytest.raises(StopError):
      train_and_evaluate(config, tmp_path / 'stopped')
  assert max(checkpoint.steps_on_disk(tmp_path / 'stopped')) in (8, 16)
  train_and_evaluate(config, tmp_path / 'stopped')
  assert metric_lines(tmp_path / 'stopped') == metric_lines(workdir)
  last = stored(workdir, 32)
  jax.tree.map(np.testing.assert_array_equal, last, stored(tmp_path / 'stopped', 32))


def test_early_stopping_ends_the_run(frozen, tmp_path):
  frozen.train.epochs, frozen.train.early_stop_patience = 8.0, 2
  frozen.optim.name, frozen.optim.learning_rate = 'sgd', 1e-30
  summary = train_and_evaluate(frozen, tmp_path / 'run')
  assert summary['train']['steps'] == 3 * 8  # one evaluation sets the mark, two do not beat it
  again = train_and_evaluate(frozen, tmp_path / 'run')
  assert again['train']['steps'] == 3 * 8  # a run that has stopped does not go on


def test_a_loss_that_is_no_number_stops_the_run(frozen, tmp_path):
  frozen.optim.name, frozen.optim.learning_rate = 'sgd', 1e30
  with pytest.raises(UserError, match=r'step \d+: the loss is (nan|inf)'):
    train_and_evaluate(frozen, tmp_path / 'run')
  frozen.probe.settings = 'sgd:1e30,sgd:1e31'
  with pytest.raises(
    UserError, match=r'loss of every setting is no number; .*config.probe.settings'
  ):
    train_and_evaluate(frozen, tmp_path / 'two')


@pytest.mark.parametrize('rule', ['skip', 'rollback'])
def test_a_step_without_a_number_is_passed_over_where_the_config_says_so(
  frozen, tmp_path, monkeypatch, rule
):
  frozen.train.on_nonfinite, frozen.checkpoint.every_steps = rule, 4
  poisoned = frozen.copy_and_resolve_references()

  def poison(records, *, first, count, order=heads.example_order, **options):
    found = order(records, first=first, count=count, **options)
    return np.where(np.arange(first, first + count) == 5 * 16, records, found)  # one of step 6

  def with_poison(split, rows, *, mesh, train_data=heads.train_data):
    bad = np.full((1, rows.shape[1]), np.nan, np.float32)
    labels = {k: np.concatenate([v, v[:1]]) for k, v in split.labels.items()}
    return train_data(SimpleNamespace(labels=labels), np.concatenate([rows, bad]), mesh=mesh)

  with monkeypatch.context() as patch:
    patch.setattr(heads, 'example_order', poison)
    patch.setattr(heads, 'train_data', with_poison)
    summary = train_and_evaluate(poisoned, tmp_path / 'run')
  assert summary['train']['steps'] == 24
  lines = [line for line in metric_lines(tmp_path / 'run') if line['split'] == 'train']
  assert [line.get('nonfinite', 0) for line in lines] == [0, 1, 0, 0, 0, 0]
  saved = stored(tmp_path / 'run', 24)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved['params']))
  # Adam counts the updates: one is left out, or those of the whole pass of four.
  assert sorted({int(x) for x in saved['opt_state'].values() if x.ndim == 0}) == [
    23 if rule == 'skip' else 20
  ]


def test_a_signal_stops_extraction_and_training_where_they_can_go_on(
  frozen, tmp_path, monkeypatch, extracted
):
  frozen.probe.cache_dir, frozen.eval.batch_size = str(tmp_path / 'features'), 16
  asked = []

  def requested(self, step):
    asked.append(step)
    return len(asked) in (3, 3 + 7 + 1)  # after the third batch of ten, and after the first pass

  monkeypatch.setattr('flaxart.interrupt.Interrupt.requested', requested)
  with pytest.raises(StoppedError, match=r'saved features of 48 of 128 pictures of train; to'):
    train_and_evaluate(frozen, tmp_path / 'run')
  assert extracted.pictures == 48
  with pytest.raises(StoppedError, match=r'saved step 8 of 24; to continue'):
    train_and_evaluate(frozen, tmp_path / 'run')
  assert extracted.pictures == RECORDS and list(checkpoint.steps_on_disk(tmp_path / 'run')) == [8]
  assert train_and_evaluate(frozen, tmp_path / 'run')['train']['steps'] == 24


def test_a_dry_run_leaves_no_trace(frozen, tmp_path):
  frozen.probe.cache_dir = str(tmp_path / 'features')
  assert train_and_evaluate(frozen, tmp_path / 'run', dry_run=True) is None
  assert list(tmp_path.iterdir()) == []


def some_key(**changed):
  return {'model': 'resnet50', 'dataset': 'a/b', 'split': 'val', 'trunk_sha256': 'abc'} | changed


def written(folder, key, rows):
  """Features put into the cache in two parts."""
  feature_cache.make_folder(folder)
  with feature_cache.Part(folder, key, records=len(rows), width=rows.shape[1]) as part:
    for some in np.split(rows, [2]):
      part.append(some)
    return part.finish()


ROWS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def test_features_are_read_as_they_were_written(tmp_path):
  folder, key = tmp_path / 'features', some_key()
  assert feature_cache.read(folder, key) is None
  np.testing.assert_array_equal(written(folder, key, ROWS).rows, ROWS)
  found = feature_cache.read(folder, key).rows
  assert isinstance(found, np.memmap)
  np.testing.assert_array_equal(found, ROWS)
  assert feature_cache.read(folder, some_key(trunk_sha256='abd')) is None
  assert folder.stat().st_mode & 0o077 == 0
  assert sorted(p.suffix for p in folder.iterdir()) == ['.json', '.npy']


@pytest.mark.parametrize('damage', ['bit', 'cut', 'gone', 'json', 'other weights', 'other size'])
def test_damaged_or_foreign_features_are_put_aside_with_a_line(tmp_path, caplog, damage):
  key = some_key()
  written(tmp_path, key, ROWS)
  data = tmp_path / f'{feature_cache.stem(key)}.npy'
  about, content = data.with_suffix('.json'), bytearray(data.read_bytes())
  if damage == 'bit':
    content[-3] ^= 1
    data.write_bytes(content)
  elif damage == 'cut':
    data.write_bytes(content[:-4])
  elif damage == 'gone':
    data.unlink()
  elif damage == 'json':
    about.write_text('{"key": ')
  else:  # features of something else under this name
    changed = {'trunk_sha256': 'xyz'} if damage == 'other weights' else {'image_size': 96}
    entry = json.loads(about.read_text())
    about.write_text(json.dumps(entry | {'key': key | changed}))
  assert feature_cache.read(tmp_path, key) is None
  line = {
    'bit': 'content changed',
    'cut': 'cannot be read',
    'gone': 'cannot be read',
    'json': 'cannot be read',
    'other size': "something else (image_size: '96' there",
    'other weights': "cached features of other weights (trunk_sha256: 'xyz' there, 'abc' here)",
  }[damage]
  assert line in caplog.text and 'extracted again' in caplog.text
  assert not about.exists() and not data.exists()


def test_an_interrupted_extraction_goes_on_where_it_was(frozen, tmp_path, monkeypatch, extracted):
  frozen.probe.cache_dir, frozen.eval.batch_size = str(tmp_path / 'features'), 16

  class StopError(Exception):
    pass

  def stop(self, rows, append=feature_cache.Part.append):
    if self.done == 64:
      raise StopError
    append(self, rows)

  with monkeypatch.context() as patch:
    patch.setattr(feature_cache.Part, 'append', stop)
    with pytest.raises(StopError):
      train_and_evaluate(frozen, tmp_path / 'run')
  before = extracted.pictures
  train_and_evaluate(frozen, tmp_path / 'run')
  assert extracted.pictures - before == RECORDS - 64
  # The same features as without the interruption, which batches of another size computed.
  names = sorted(p.name for p in (tmp_path / 'features').glob('*.npy'))
  frozen.probe.cache_dir, frozen.eval.batch_size = str(tmp_path / 'whole'), 64
  train_and_evaluate(frozen, tmp_path / 'other')
  assert names == sorted(p.name for p in (tmp_path / 'whole').glob('*.npy')) and len(names) == 3
  for name in names:
    one, other = np.load(tmp_path / 'features' / name), np.load(tmp_path / 'whole' / name)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_part_that_is_not_sound_is_begun_again(tmp_path):
  key = some_key()
  with feature_cache.Part(tmp_path, key, records=5, width=7) as part:
    part.append(ROWS[:3])
  content = bytearray(part.data.read_bytes())
  with feature_cache.Part(tmp_path, key, records=5, width=7) as part:
    assert part.done == 3
  content[-1] ^= 1
  part.data.write_bytes(content)
  with feature_cache.Part(tmp_path, key, records=5, width=7) as part:
    assert part.done == 0
    part.append(ROWS)
    part.finish()
  np.testing.assert_array_equal(feature_cache.read(tmp_path, key).rows, ROWS)


def test_a_second_run_waits_for_the_first(tmp_path, caplog):
  caplog.set_level('INFO')
  entered, key = [], some_key()

  def second():
    with feature_cache.locked(tmp_path, key):
      entered.append(True)

  with feature_cache.locked(tmp_path, key):
    thread = threading.Thread(target=second)
    thread.start()
    thread.join(timeout=0.3)
    assert not entered
  thread.join(timeout=10)
  assert entered and 'another run is extracting' in caplog.text


@pytest.mark.parametrize(
  'change',
  [
    {'model.width': 0.25},
    {'model.name': 'vgg19'},
    {'data.image_size': 48},
    {'data.fit': 'pad'},
    {'model.dtype': 'bfloat16'},
    {'data.pixels': 'zero_one'},
  ],
)
def test_the_key_holds_what_features_depend_on(tiny, change):
  tiny.trainable = 'heads'
  assert keys_of(tiny) == keys_of(tiny)
  other = tiny.copy_and_resolve_references()
  other.update_from_flattened_dict(change)
  ours, theirs = keys_of(tiny), keys_of(other)
  assert feature_cache.stem(ours) != feature_cache.stem(theirs)
  other.update_from_flattened_dict(
    {'optim.learning_rate': 1.0, 'model.dropout': 0.5, 'tasks': 'type'}
  )
  assert keys_of(other) == theirs  # and not what they do not depend on


def keys_of(config):
  """The key of the training split, for a trunk of zeros."""
  extractor = extractor_of(config)
  return extractor.key_of(extractor.dataset.split('train'))


def extractor_of(config):
  """An extractor around a trunk of zeros."""
  dataset = open_dataset('collection', data_dir=config.data.data_dir, tasks=['artist', 'type'])
  tasks = tasks_from_features(dataset.features, dict.fromkeys(config.tasks.split(','), 1.0))
  spec = initial_trunk(config, Path('/nowhere')).spec
  parts = abstract_parts(config, tasks, spec, nnx.Nothing(), nnx.Param, nnx.BatchStat)
  arrays = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), parts[1:])
  network = Network(parts[0], tuple(tasks), optax.identity())
  state = TrainState(np.int32(0), *arrays, ())
  return features.Extractor(config, network, state, dataset, mesh=create_mesh())


def test_a_run_that_waited_takes_what_the_other_one_extracted(
  tiny, tmp_path, monkeypatch, extracted
):
  tiny.probe.cache_dir = str(tmp_path)
  answers = iter([None, feature_cache.Features(ROWS, 1.0)])  # before the lock, and behind it
  monkeypatch.setattr(feature_cache, 'read', lambda *_: next(answers))
  assert extractor_of(tiny).features(['val'])['val'].rows is ROWS
  assert extracted.pictures == 0


def test_features_are_those_of_the_folded_trunk(tiny):
  extractor = extractor_of(tiny)
  batch = next(extractor._batches(extractor.dataset.split('val')))
  extractor._forward(batch)
  names = {path[-1] for path, _ in nnx.to_flat_state(extractor._apply.args[0])}
  assert 'kernel' in names and not names & {'mean', 'var', 'scale'}


def test_the_key_holds_weights_statistics_and_the_data(frozen, trunk, tmp_path):
  config, tasks = workdirs.read_run(trunk)
  state = restore_network(trunk, checkpoint.best_on_disk(trunk), config, tasks, mesh=create_mesh())[
    1
  ]
  before = features.trunk_sha256(state)
  for part in ('frozen', 'batch_stats'):
    tree = getattr(state, part)
    path, leaf = next(item for item in nnx.to_flat_state(tree) if item[0][0] == 'trunk')
    moved = nnx.from_flat_state([(path, leaf.replace(leaf[...] + 1e-3))])
    other = dataclasses.replace(state, **{part: nnx.merge_state(tree, moved)})
    assert features.trunk_sha256(other) != before
  head = next(item for item in nnx.to_flat_state(state.frozen) if item[0][0] == 'heads')
  moved = nnx.from_flat_state([(head[0], head[1].replace(head[1][...] + 1))])
  other = dataclasses.replace(state, frozen=nnx.merge_state(state.frozen, moved))
  assert features.trunk_sha256(other) == before
  for name in ('dataset_info.json', 'fingerprint.json'):
    (tmp_path / name).write_text('{}')
  first = data_sha256(tmp_path)
  (tmp_path / 'fingerprint.json').write_text('{"input": 1}')
  assert data_sha256(tmp_path) != first


def test_a_folder_that_cannot_be_written_is_one_line(frozen, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  frozen.probe.cache_dir = str(tmp_path / 'file' / 'features')
  with pytest.raises(UserError, match=r'config.probe.cache_dir: .*file/features cannot be written'):
    train_and_evaluate(frozen, tmp_path / 'run')
  frozen.probe.cache_dir = str(tmp_path / 'features')
  monkeypatch.setattr(feature_cache.shutil, 'disk_usage', lambda _: SimpleNamespace(free=50e6))
  monkeypatch.setattr('flaxart.estimate.LOGS_GB', 0.0)
  monkeypatch.setattr('flaxart.estimate.CHECKPOINTS', 0)
  with pytest.raises(UserError, match=r'has 0.05 GB free, the features need 0.00 GB'):
    train_and_evaluate(frozen, tmp_path / 'full')
  assert not (tmp_path / 'full').exists()


@pytest.mark.parametrize(
  ('change', 'expected'),
  [
    ({}, True),
    ({'model.bn': 'frozen'}, True),
    ({'model.bn': 'keras2_frozen'}, False),  # its statistics are those of each batch
    ({'trainable': 'all'}, False),
    ({'trainable': 'heads/.*|trunk/stage4/.*'}, False),
    ({'train.unfreeze': '0:heads/.*'}, False),
    ({'augment.flip': True}, False),
    ({'augment.zoom': 0.1}, False),
    ({'augment.randaugment': 1}, False),
    ({'augment.mixup': 0.2}, False),
  ],
)
def test_where_features_stay_the_same(change, expected):
  config = default_config()
  config.trainable = 'heads'
  config.update_from_flattened_dict(change)
  assert probe.applies(config) is expected
  config.probe.settings = 'adam:1e-3,adam:1e-4'
  if expected:
    assert probe.applies(config)
  else:
    (field,) = change
    with pytest.raises(UserError, match=f'needs features that stay the same.*{field}='):
      probe.applies(config)


@pytest.mark.parametrize(
  ('text', 'line'),
  [
    ('lion:1e-3', "found 'lion:1e-3', expected OPTIMIZER:LEARNING_RATE"),
    ('adam', "found 'adam', expected"),
    ('adam:-1', "found 'adam:-1', expected"),
    ('adam:nan', "found 'adam:nan', expected"),
    ('adam:1e-3, adam:1e-3', "names 'adam:1e-3' twice"),
  ],
)
def test_settings_that_are_none_are_one_line(text, line):
  config = default_config()
  config.probe.settings = text
  with pytest.raises(UserError, match=line):
    read_settings(config)


def test_settings_are_read_in_order_and_change_the_optimizer_alone():
  config = default_config()
  config.probe.settings = ' sgd:0.5 ,adam:1e-3'
  (one, first), (two, second) = read_settings(config)
  assert (one, first.optim.name, first.optim.learning_rate) == ('sgd:0.5', 'sgd', 0.5)
  assert (two, second.optim.name, second.optim.learning_rate) == ('adam:1e-3', 'adam', 1e-3)
  assert config.optim.learning_rate == default_config().optim.learning_rate


def test_several_settings_need_labels_to_choose_by():
  config = default_config()
  task = Task('artist', 'softmax', ('a', 'b'))
  val = SimpleNamespace(labels={'artist': np.array([-1, -1])})
  for splits, found in (({}, 'no val split'), ({'val': val}, 'a val split without labels')):
    dataset = SimpleNamespace(name='museum', splits=splits)
    with pytest.raises(UserError, match=found):
      contest.check_choice(config, ['a', 'b'], [task], dataset)
  val.labels['artist'][0] = 1
  museum = SimpleNamespace(name='museum', splits={'val': val})
  contest.check_choice(config, ['a', 'b'], [task], museum)
  config.train.on_nonfinite = 'rollback'
  with pytest.raises(UserError, match='rollback takes one setting back'):
    contest.check_choice(config, ['a', 'b'], [task], museum)


def test_the_order_of_examples_is_a_function_of_seed_and_epoch():
  def order(first, count, seed=3, **options):
    return heads.example_order(10, first=first, count=count, seed=seed, **options).tolist()

  whole = order(0, 35)
  assert order(13, 22) == whole[13:] and order(10, 10) == whole[10:20]
  assert sorted(whole[:10]) == sorted(whole[10:20]) == list(range(10))
  assert whole[:10] != whole[10:20] and order(0, 10, seed=4) != whole[:10]
  assert order(8, 4, shuffle=False) == [8, 9, 0, 1]


def test_a_split_without_a_label_is_one_line(caplog):
  task = Task('artist', 'softmax', ('a', 'b'))
  known, none = ({'artist': np.array(values)} for values in ([0, 1], [-1, -1]))
  dataset = SimpleNamespace(
    splits={'train': SimpleNamespace(labels=known), 'val': SimpleNamespace(labels=none)}
  )
  check_labelled([task], dataset)
  assert caplog.messages == ['no record of the val split has a label for artist: no scores there']
  dataset.splits['train'].labels = none
  with pytest.raises(UserError, match="no record of the training split has a label for 'artist'"):
    check_labelled([task], dataset)


def test_heads_are_the_same_on_four_devices_and_cut_over_their_classes():
  line = [sys.executable, '-m', 'tests.heads_on_devices']
  done = subprocess.run(line, cwd=Path(__file__).parents[1], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-2000:]
  spec, difference = done.stdout.rsplit(maxsplit=1)
  assert spec == "(None, 'model')" and float(difference) < 1e-5
