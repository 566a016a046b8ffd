"""Training: resume is exact, frozen is frozen, a workdir is one run."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx
from trainer import flat, stored

import flaxart
from flaxart.data.source import open_dataset
from flaxart.machine.sharding import create_mesh
from flaxart.network.state import all_params
from flaxart.tasks.softmax import Softmax
from flaxart.train import check_labelled, train_and_evaluate
from flaxart.workdir import checkpoint, run_folder
from flaxart.workdir.restore import restore_network
from tfds_rijks.errors import UserError


def assert_same_bits(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_results_have_the_promised_entries(finished):
  _, _, summary = finished
  for split in ('val', 'test'):
    for task in ('artist', 'type'):
      assert {'n', 'classes', 'loss', 'top1', 'top5', 'balanced_accuracy', 'floor'} <= summary[
        split
      ][task].keys()
    assert {'n', 'mae', 'rmse', 'within_50'} <= summary[split]['year'].keys()
  assert {'steps', 'epochs', 'seconds', 'images_per_second'} <= summary['train'].keys()
  assert {
    'version', 'commit', 'dataset', 'dataset_version', 'config', 'splits', 'weights', 'seed',
    'grouping_rule', 'hardware',
  } <= summary['provenance'].keys()  # fmt: skip
  # Colour and shape are obvious: only a network that learns nothing stays at the floor.
  for task in ('artist', 'type'):
    assert summary['test'][task]['top1'] > summary['test'][task]['floor'] + 0.15


@pytest.mark.parametrize('trainable', ['heads', r'heads/.*|trunk/body/.*'])
def test_frozen_parameters_stay_bit_for_bit_and_have_no_optimizer_slot(
  finished, tuned, tmp_path, trainable
):
  source, _, _ = finished
  tuned.trainable, tuned.model.bn = trainable, 'batch'
  tuned.optim.weight_decay, tuned.optim.name = 0.1, 'adamw'
  train_and_evaluate(tuned, tmp_path / 'run')
  before = stored(source, checkpoint.best_on_disk(source))
  after = stored(tmp_path / 'run', checkpoint.best_on_disk(tmp_path / 'run'))
  for stage in ['stem'] + ['body'] * (trainable == 'heads'):
    for part in ('params', 'batch_stats'):
      assert_same_bits(before[part]['trunk'][stage], after[part]['trunk'][stage])
  if trainable != 'heads':
    for part in ('params', 'batch_stats'):
      old, new = (flat(state[part]['trunk']['body']) for state in (before, after))
      # A bias before a norm of batch statistics has no gradient.
      moves = {path for path in old if '[norm]' in path or '[bias]' not in path}
      assert {path for path in old if (old[path] != new[path]).any()} == moves
  # Adam keeps two moments of every parameter that learns, and two counters.
  learning = [
    path
    for path, _ in jax.tree_util.tree_leaves_with_path(after['params'])
    if path[0].key == 'heads' or (trainable != 'heads' and path[1].key == 'body')
  ]
  assert len(after['opt_state']) == 2 * len(learning) + 2


def test_fine_tuning_starts_at_the_trunk_it_was_given(finished, tuned, tmp_path):
  source, _, _ = finished
  tuned.optim.learning_rate = 1e-12
  train_and_evaluate(tuned, tmp_path / 'run')
  before = stored(source, checkpoint.best_on_disk(source))
  after = stored(tmp_path / 'run', checkpoint.best_on_disk(tmp_path / 'run'))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
    before['params']['trunk'],
    after['params']['trunk'],
  )
  results = json.loads((tmp_path / 'run' / 'results.json').read_text())
  assert results['provenance']['weights']['source'] == (
    f'run finished, step {checkpoint.best_on_disk(source)}'
  )
  assert len(results['provenance']['weights']['sha256']) == 64


def test_load_gives_a_network_ready_to_call(finished, collection):
  workdir, config, _ = finished
  net = flaxart.load(workdir)
  split = open_dataset('collection', data_dir=collection, tasks=['artist']).split('test')
  images = np.stack([net.square(split.picture(i)) for i in range(5)])
  out = net(images)
  assert net.labels == {'artist': ('Anna', 'Bert', 'Cleo'), 'type': ('bowl', 'coin'), 'year': ()}
  assert out['artist'].shape == (5, 3) and out['type'].shape == (5, 2) and out['year'].shape == (5,)
  np.testing.assert_allclose(out['artist'].sum(1), 1, rtol=1e-5)
  assert net.features(images).shape == (5, 16)
  # The same numbers as the evaluation gives.
  network, state = restore_network(
    workdir, checkpoint.best_on_disk(workdir), config, list(net.tasks), mesh=create_mesh()
  )
  logits = network.merge(state.trainable, state.frozen, state.batch_stats)(images, train=False)
  np.testing.assert_allclose(jax.nn.softmax(logits['artist']), out['artist'], rtol=1e-4, atol=1e-6)
  with pytest.raises(UserError, match=r'images: found float32 .* expected uint8'):
    net(images.astype(np.float32))
  with pytest.raises(UserError, match='needs at least 8'):
    net(images[:, :4])


def test_a_folder_that_is_not_a_run_is_left_alone(tiny, tmp_path):
  (tmp_path / 'thesis.txt').write_text('years of work')
  with pytest.raises(UserError, match=r'is not empty and does not hold a run'):
    train_and_evaluate(tiny, tmp_path)
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


@pytest.mark.parametrize(
  ('change', 'line'),
  [
    ({'data.dataset': 'colection'}, "'colection' is not prepared in .*found: collection"),
    (
      {'tasks': 'artist,colour'},
      "'colour' is no such feature in the dataset; its labels are artist",
    ),
    ({'trainable': 'trunk/stage9/.*'}, 'matches none of'),
    ({'trainable': 'trunk/body/.*'}, r'leaves heads/artist/\w+ frozen at its random start'),
    ({'init': 'nowhere'}, "config.init: 'nowhere' is not scratch"),
  ],
)
def test_bad_settings_are_one_line_and_start_nothing(tiny, tmp_path, change, line):
  tiny.update_from_flattened_dict(change)
  with pytest.raises(UserError, match=line):
    train_and_evaluate(tiny, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_a_workdir_of_another_network_is_refused_as_init(tuned, tmp_path):
  tuned.model.width = 0.25
  with pytest.raises(UserError, match=r'holds model.width=0.125, this run has 0.25'):
    train_and_evaluate(tuned, tmp_path / 'run')


def test_the_state_is_split_as_trainable_says(finished, tiny):
  import optax

  from flaxart.network.classifier import InitialTrunk
  from flaxart.network.state import count_parameters, create_train_state
  from flaxart.settings import read_settings

  tiny.trainable = 'heads'
  tasks = run_folder.read_run(finished[0])[1]
  settings = read_settings(tiny)
  _, state = create_train_state(
    tiny, settings, tasks, optax.sgd(0.1), mesh=create_mesh(), trunk=InitialTrunk()
  )
  counts = count_parameters(state)
  assert counts['all'][0] == (3 + 2 + 1) * (16 + 1)
  frozen = sum(leaf.size for leaf in jax.tree.leaves(state.frozen))
  assert counts['trunk'] == (0, frozen) and counts['all'][1] == frozen
  assert len(nnx.to_flat_state(all_params(state))) == 4 * 2 + 2 * 3


def test_a_run_that_cannot_fit_on_the_disk_does_not_begin(tiny, tmp_path, monkeypatch):
  monkeypatch.setattr(
    'flaxart.training.estimate.shutil.disk_usage', lambda path: SimpleNamespace(free=10_000_000)
  )
  with pytest.raises(UserError, match=r'has 0.01 GB free, the run needs 0.0\d GB'):
    train_and_evaluate(tiny, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_a_whole_run_does_not_import_tensorflow(finished):
  flaxart.load(finished[0])
  assert not {'tensorflow', 'clu'} & set(sys.modules)


def test_a_split_without_a_label_is_one_line(caplog):
  task = Softmax('artist', ('a', 'b'))
  known, none = ({'artist': np.array(values)} for values in ([0, 1], [-1, -1]))
  dataset = SimpleNamespace(
    splits={'train': SimpleNamespace(labels=known), 'val': SimpleNamespace(labels=none)}
  )
  check_labelled([task], dataset)
  assert caplog.messages == ['no record of the val split has a label for artist: no scores there']
  dataset.splits['train'].labels = none
  with pytest.raises(UserError, match="no record of the training split has a label for 'artist'"):
    check_labelled([task], dataset)
