"""Several optimizers over one set of features: each as if alone, and the best on val is kept."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tiny_museum import off_the_shelf_config
from trainer import assert_close, stored, untimed_lines

from flaxart.config import default_config
from flaxart.evaluate_run import evaluate_again
from flaxart.off_the_shelf import selection
from flaxart.tasks.softmax import Softmax
from flaxart.train import train_and_evaluate
from flaxart.workdir import checkpoint
from tfds_rijks.errors import UserError


@pytest.fixture(scope='module')
def swept(tmp_path_factory, collection, trunk, cache):
  """Four settings over one cache, one of which diverges."""
  config = off_the_shelf_config(collection, trunk, cache)
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
  val = [line for line in untimed_lines(workdir) if line['split'] == 'val']
  first = next(line for line in val if line[f'{summary["train"]["setting"]}/score'] == best)
  assert first['step'] == summary['train']['best_step'] == checkpoint.best_on_disk(workdir)
  again = evaluate_again(workdir, split='test')
  # A loss near 0 is a difference of float32 logits, which cannot be known better than this.
  assert_close(again, summary['test'], rtol=1e-4, atol=np.finfo(np.float32).eps)


def test_the_pass_with_the_chosen_step_is_traced(swept):
  assert len(list((swept[0] / 'profile').rglob('*.xplane.pb'))) == 1


class StopError(Exception):
  """Instead of the evaluation after step 24."""


def train_to_step_24(config, workdir):
  def stop(self, states, results, metrics, judge=selection.Contest.judge):
    if int(states[0].step) == 24:
      raise StopError
    return judge(self, states, results, metrics)

  with pytest.MonkeyPatch.context() as patch, pytest.raises(StopError):
    patch.setattr(selection.Contest, 'judge', stop)
    train_and_evaluate(config, workdir)


def test_an_interrupted_sweep_goes_on_to_the_same_end(swept, tmp_path):
  workdir, config, _ = swept

  train_to_step_24(config, tmp_path / 'stopped')
  assert max(checkpoint.steps_on_disk(tmp_path / 'stopped')) in (8, 16)
  train_and_evaluate(config, tmp_path / 'stopped')
  assert untimed_lines(tmp_path / 'stopped') == untimed_lines(workdir)
  last = stored(workdir, 32)
  jax.tree.map(np.testing.assert_array_equal, last, stored(tmp_path / 'stopped', 32))


def test_a_setting_that_leaves_out_too_many_updates_drops_out(swept, tmp_path, caplog):
  config = swept[1].copy_and_resolve_references()
  config.train.on_nonfinite, config.train.max_skipped = 'skip', 20
  config.probe.settings = 'sgd:1e30,adam:3e-3'

  train_to_step_24(config, tmp_path / 'run')
  # Eight a pass: the third is too much, counted over both starts.
  train_and_evaluate(config, tmp_path / 'run')
  assert caplog.text.count('sgd:1e30: 8 updates up to step 24 were left out') == 2
  assert '(config.train.max_skipped=20)' in caplog.text
  lines = untimed_lines(tmp_path / 'run')
  assert [x['sgd:1e30/nonfinite'] for x in lines if x['split'] == 'train'] == [8, 8, 8, 8]
  assert not any('adam:3e-3/nonfinite' in x and x['adam:3e-3/nonfinite'] for x in lines)
  scores = [x['sgd:1e30/score'] for x in lines if x['split'] == 'val']
  assert None not in scores[:2] and scores[2:] == [None, None]
  config.train.max_skipped, config.probe.settings = 3, 'sgd:1e30,sgd:1e31'
  line = r'step 8: every setting has left out more .*max_skipped=3 \(at least 8\)'
  with pytest.raises(UserError, match=line):
    train_and_evaluate(config, tmp_path / 'none')


def test_several_settings_need_labels_to_choose_by():
  config = default_config()
  task = Softmax('artist', ('a', 'b'))
  val = SimpleNamespace(labels={'artist': np.array([-1, -1])})
  for splits, found in (({}, 'no val split'), ({'val': val}, 'a val split without labels')):
    dataset = SimpleNamespace(name='museum', splits=splits)
    with pytest.raises(UserError, match=found):
      selection.check_choice(config, ['a', 'b'], [task], dataset)
  val.labels['artist'][0] = 1
  museum = SimpleNamespace(name='museum', splits={'val': val})
  selection.check_choice(config, ['a', 'b'], [task], museum)
