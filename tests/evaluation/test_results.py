"""Files of a finished run: scores that follow from its records, and decisions if it is sure.

One run over an awkward collection: a maker that training never saw, makers too rare to be a class,
a task without labels on val, several labels per record, a column that is not a task.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as oracle
from tiny_museum import tiny_config
from trainer import flags

import flaxart
from flaxart.data.source import open_dataset
from flaxart.evaluate_run import evaluate_run
from flaxart.evaluation import calibration, results
from flaxart.evaluation.evaluate import evaluate
from flaxart.machine.sharding import create_mesh
from flaxart.prediction.run import predict
from flaxart.train import train_and_evaluate
from flaxart.workdir import checkpoint
from flaxart.workdir.restore import restore_network
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare

COLOURS = {'Anna': (200, 40, 40), 'Bert': (40, 160, 60), 'Cleo': (50, 60, 200)}


def draw_awkward_collection(folder):
  """96 pictures in train, 40 in val, 40 in test; the artist is the colour."""
  rng = np.random.default_rng(0)
  folder.mkdir(parents=True)
  rows = ['image,artist,style,tags,place,year,split']
  for i in range(176):
    split = 'train' if i < 96 else 'val' if i < 136 else 'test'
    artist = list(COLOURS)[i % 3]
    colour = COLOURS[artist]
    if split == 'test' and i % 4 == 0:
      artist, colour = 'Dora', (120, 120, 120)  # never in train
    elif i % 16 == 1:
      artist, colour = f'Rare {i}', (120, 120, 120)  # too few works to be a class
    elif i % 16 == 2:
      artist = ''  # simply not known
    style = '' if split == 'val' else ('flat', 'round')[i % 2]
    tags = '|'.join(['all'] + ['odd'] * (i % 2) + ['red'] * (i % 3 == 0))
    year = 1600 + 60 * (i % 3)
    picture = np.clip(np.array(colour) + rng.integers(-30, 30, (40, 40, 3)), 0, 255)
    Image.fromarray(picture.astype(np.uint8)).save(folder / f'{i:03d}.png')
    rows.append(f'{i:03d}.png,{artist},{style},{tags},{artist[:1]} town,{year},{split}')
  (folder / 'metadata.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
  return folder


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """Workdir, config, summary and log lines of one run over that collection."""
  folder = tmp_path_factory.mktemp('awkward')
  source = draw_awkward_collection(folder / 'source')
  prepare(
    'collection', manual_dir=source, data_dir=folder / 'prepared', min_per_class=8, copies='equal'
  )
  config = tiny_config(folder / 'prepared')
  config.tasks, config.train.epochs = 'artist,style,tags,year', 8.0
  config.train.eval_every_epochs = 4.0
  config.eval.baselines = True
  lines = []
  handler = logging.Handler()
  handler.emit = lambda record: lines.append(record.getMessage())
  logging.getLogger('flaxart').addHandler(handler)
  try:
    summary = train_and_evaluate(config, folder / 'run')
  finally:
    logging.getLogger('flaxart').removeHandler(handler)
  return folder / 'run', config, summary, lines


def arrays(workdir, split):
  with np.load(workdir / f'predictions_{split}.npz', allow_pickle=False) as file:
    return dict(file)


def opened(config):
  return open_dataset('collection', data_dir=config.data.data_dir, tasks=config.tasks.split(','))


@pytest.mark.parametrize('split', ['val', 'test'])
def test_scores_follow_from_the_records(run, split):
  workdir, config, summary, _ = run
  kept, scores, data = arrays(workdir, split), summary[split], opened(config).split(split)
  assert kept['ids'].tolist() == data.ids and kept['groups'].tolist() == data.groups
  for task in config.tasks.split(','):
    np.testing.assert_array_equal(kept[f'{task}/label'], data.labels[task])
  label, top, p = kept['artist/label'], kept['artist/top'], kept['artist/p']
  known = label >= 0
  assert top.shape == p.shape == (40, 4) and top.dtype == np.int32 and p.dtype == np.float32
  np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
  assert (np.diff(p, axis=1) <= 0).all()
  assert scores['artist']['top1'] == (top[known, 0] == label[known]).mean()
  trained = opened(config).split('train').labels['artist']
  assert (
    scores['artist']['floor']
    == (label[known] == np.bincount(trained[trained >= 0]).argmax()).mean()
  )
  assert scores['tags']['map'] == pytest.approx(
    oracle.average_precision_score(kept['tags/label'], kept['tags/p'], average='macro'), abs=1e-6
  )
  error = np.abs(kept['year/value'] - kept['year/label'])
  assert scores['year']['mae'] == pytest.approx(error.mean(), rel=1e-5)
  # The tables agree.
  table = json.loads((workdir / 'tables.json').read_text())[split]
  assert set(table) == {'artist', 'style', 'tags'} and 'confusion' not in table['tags']
  right = sum(n for true, answer, n in table['artist']['confusion'] if true == answer)
  assert right / known.sum() == scores['artist']['top1']
  assert [row['class'] for row in table['artist']['per_class']] == ['Anna', 'Bert', 'Cleo', 'Dora']
  assert table['artist']['per_class'][0]['n'] == (label == 0).sum()


def test_results_have_the_promised_entries(run):
  workdir, _, summary, _ = run
  assert json.loads((workdir / 'results.json').read_text()) == json.loads(json.dumps(summary))
  beside = {'decided_coverage', 'decided_precision'}
  softmax = beside | {
    'f1_macro', 'f1_micro', 'balanced_top5', 'mca', 'ece', 'unknown_auroc', 'unknown_n',
    'pixels16_top1', 'pixels16_balanced_accuracy', 'label_only_top1',
    'label_only_balanced_accuracy',
  }  # fmt: skip
  for split in ('val', 'test'):
    assert softmax <= summary[split]['artist'].keys()
    assert beside | {'image_map', 'f1_macro'} <= summary[split]['tags'].keys()
  assert json.loads((workdir / 'calibration.json').read_text()) == summary['calibration']
  # `place` is not a task, but gives the artist away; the labels of Dora and the rare ones do not.
  assert summary['val']['artist']['label_only_top1'] == 1.0


def test_eval_reproduces_every_digit(run):
  workdir, _, summary, _ = run
  for split in ('val', 'test'):
    assert evaluate_run(workdir, split=split) == summary[split]


def test_data_that_moved_are_evaluated_with_the_config_of_the_run(run, tmp_path, call):
  workdir, config, summary, _ = run
  moved = config.copy_and_resolve_references()
  moved.data.data_dir = str(tmp_path / 'moved')
  again = [*flags(moved, workdir, tmp_path), '--mode=eval', '--split=val']
  Path(config.data.data_dir).rename(f'{config.data.data_dir}.away')
  try:
    Path(moved.data.data_dir).symlink_to(f'{config.data.data_dir}.away')
    code, _, said = call('flaxart.main', *again)
    assert code == 0, said
    assert json.loads((workdir / 'eval_val.json').read_text())['scores'] == summary['val']
    code, _, said = call('flaxart.main', *again, '--config.optim.learning_rate=0.5')
    assert code == 2 and 'different config (config.optim.learning_rate' in said
  finally:
    Path(f'{config.data.data_dir}.away').rename(config.data.data_dir)


def test_makers_that_training_never_saw_are_logged_and_count_as_unknown(run):
  workdir, config, summary, lines = run
  said = [line for line in lines if 'without a training record' in line]
  assert said == [
    'artist: 1 class of the test split without a training record (Dora): 10 records that cannot '
    'be right, and count as unknown'
  ]
  kept, dataset = arrays(workdir, 'test'), opened(config)
  label, top = kept['artist/label'], kept['artist/p'][:, 0]
  rare = dataset.contexts['test'].rare['artist']
  assert (label[rare] == -1).all() and rare.sum() >= 2 and (label == -1).sum() > rare.sum()
  unknown, known = rare | (label == 3), (label >= 0) & (label < 3)
  scores = summary['test']['artist']
  assert scores['unknown_n'] == unknown.sum() == rare.sum() + 10
  expected = oracle.roc_auc_score(known[known | unknown], top[known | unknown])
  assert scores['unknown_auroc'] == pytest.approx(expected, abs=1e-9)
  assert summary['test']['style']['unknown_n'] == 0
  assert summary['test']['style']['unknown_auroc'] is None


def test_a_split_without_a_label_of_a_task_has_no_number(run):
  _, _, summary, _ = run
  scores = dict(summary['val']['style'])
  assert scores.pop('n') == scores.pop('unknown_n') == 0 and scores.pop('classes') == 2
  assert set(scores.values()) == {None}
  assert summary['calibration']['style']['threshold'] is None
  assert summary['test']['style']['top1'] is not None
  assert summary['test']['style']['decided_coverage'] is None


def test_another_batch_size_changes_no_count(run):
  workdir, config, summary, _ = run
  dataset, mesh = opened(config), create_mesh()
  tasks = flaxart.workdir.run_folder.read_run(workdir)[1]
  step = summary['train']['best_step']
  network, state = restore_network(workdir, step, config, tasks, mesh=mesh)
  other = config.copy_and_resolve_references()
  other.eval.batch_size = 7
  scores = evaluate(network, state, dataset.split('test'), other)
  for task in ('artist', 'style', 'tags'):
    for name in ('n', 'top1', 'mca', 'f1_macro', 'f1_micro'):
      assert scores[task].get(name) == summary['test'][task].get(name)


def test_a_candidate_of_a_grid_never_looks_at_test(run, tmp_path):
  workdir, config, summary, _ = run
  dataset, mesh = opened(config), create_mesh()
  tasks = flaxart.workdir.run_folder.read_run(workdir)[1]
  best = summary['train']['best_step']
  network, state = restore_network(workdir, best, config, tasks, mesh=mesh)
  other = config.copy_and_resolve_references()
  other.eval.test = False
  collected = results.collect(other, network, state, dataset, workdir=tmp_path)
  assert 'test' not in collected and not (tmp_path / 'predictions_test.npz').exists()
  assert collected['val']['artist']['top1'] == summary['val']['artist']['top1']
  assert (tmp_path / 'predictions_val.npz').exists()
  why, _, rest = results.table(collected, tasks).partition('\n\n')
  assert why == 'no scores of test: there is no such split, or config.eval.test=False'
  assert rest == results.table(collected, tasks, 'val') and 'artist' in rest


def test_the_table_fits_a_terminal_and_keeps_every_score(run, monkeypatch):
  workdir, _, summary, _ = run
  tasks = flaxart.workdir.run_folder.read_run(workdir)[1]
  texts = {}
  for columns in (60, 80, 200):
    monkeypatch.setenv('COLUMNS', str(columns))
    texts[columns] = results.table(summary, tasks)
    assert max(map(len, texts[columns].splitlines())) <= columns
  head, _, artist = texts[200].splitlines()[1:4]
  assert 'label-only' in head and 'decided' in head
  assert results.percent(summary['test']['artist']['label_only_top1']) in artist
  for columns in (60, 80):
    assert set(texts[columns].split()) >= {word for word in texts[200].split() if '--' not in word}


def test_predict_decides_by_the_stored_thresholds(run, tmp_path):
  workdir = shutil.copytree(run[0], tmp_path / 'run')
  folder = tmp_path / 'pictures'
  folder.mkdir()
  for name, colour in COLOURS.items():
    Image.new('RGB', (40, 40), colour).save(folder / f'{name}.png')
  entry = {'temperature': 1.0, 'precision': 0.9, 'n': 40}

  def decisions(threshold):
    fitted = {t: entry | {'threshold': threshold} for t in ('artist', 'tags')}
    calibration.write(workdir, fitted, step=checkpoint.best_on_disk(workdir))
    return predict(workdir, folder, tmp_path / 'out.csv')

  for row in decisions(0.0):
    assert row['artist_decision'] == row['artist_1'] != ''
    assert row['tags_decision'] == 'all|odd|red'
    assert row['style_decision'] == '' and row.get('year_decision', '') == ''
  for row in decisions(0.5):
    assert bool(row['artist_decision']) == (float(row['artist_1_p']) >= 0.5)
  for row in decisions(1.1) + decisions(None):
    assert row['artist_decision'] == row['tags_decision'] == ''
  about = json.loads((tmp_path / 'out.json').read_text())
  assert about['calibration']['artist']['threshold'] is None
  (workdir / calibration.FILE).write_text('half')
  with pytest.raises(UserError, match=r'calibration.json: is damaged'):
    flaxart.load(workdir)


def test_predictions_of_a_split_are_written_whole(run):
  workdir = run[0]
  assert set(arrays(workdir, 'val')) == {
    'ids', 'groups', 'artist/label', 'artist/top', 'artist/p', 'style/label', 'style/top',
    'style/p', 'tags/label', 'tags/p', 'year/label', 'year/value',
  }  # fmt: skip
  assert not list(workdir.glob('.*.tmp'))
