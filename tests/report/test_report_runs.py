"""Reading runs, grouping them into experiments, never mixing data."""

from __future__ import annotations

import json

import pytest
from fake_runs import CLASSES, figure1_grid, settings, write_run

from flaxart.report.figures.figure1 import caption
from flaxart.report.figures.figure2 import matches
from flaxart.report.html.methods import paragraphs
from flaxart.report.html.score_tables import rows_of
from flaxart.report.numbers import compare
from flaxart.report.numbers.answers import common, read_answers
from flaxart.report.numbers.experiments import sections
from flaxart.report.numbers.runs import read_runs
from tfds_rijks.errors import UserError


def read(folder):
  runs, left_out = read_runs(str(folder / '*'))
  return sections(runs), left_out


def test_seeds_of_one_setting_are_one_experiment(tmp_path):
  for seed in (0, 1, 2):
    write_run(tmp_path / f's{seed}', config=settings(tasks=['artist'], seed=seed))
  config = settings(tasks=['artist'], seed=0, optim__learning_rate=0.1)
  write_run(tmp_path / 'z_rate', config=config)
  ((section,), _) = read(tmp_path)
  assert [e.label for e in section.experiments] == [
    'ResNet50, fine-tuned, optim.learning_rate=0.001',
    'ResNet50, fine-tuned, optim.learning_rate=0.1',
  ]
  assert section.experiments[0].seeds == [0, 1, 2]


def test_networks_are_in_the_order_of_their_table_and_unknown_ones_last(tmp_path):
  models = ['vit', 'resnet50', 'convnext', 'vgg19']
  figure1_grid(tmp_path, models=models, tasks=['artist'], seeds=[0])
  ((section,), _) = read(tmp_path)
  shown = ['VGG19', 'ResNet50', 'convnext', 'vit']
  modes = ['fine-tuned', 'off the shelf', 'from scratch']
  assert [e.label for e in section.experiments] == [f'{n}, {m}' for n in shown for m in modes]
  assert 'after each epoch: ResNet50, VGG19, convnext, vit;' in caption(
    [section], show_published='no'
  )


def test_a_second_run_of_a_seed_is_not_counted(tmp_path):
  for name in ('a', 'b'):
    write_run(tmp_path / name, config=settings(tasks=['artist']))
  ((section,), _) = read(tmp_path)
  assert section.experiments[0].seeds == [0] and [r.name for r in section.repeated] == ['b']


def test_other_training_data_make_an_experiment_but_another_folder_does_not(tmp_path):
  write_run(tmp_path / 'a', config=settings(tasks=['artist'], data__data_dir='/here'))
  write_run(tmp_path / 'b', config=settings(tasks=['artist'], seed=1, data__data_dir='/there'))
  config = settings(tasks=['artist'], seed=2)
  results = write_run(tmp_path / 'c', config=config) / 'results.json'
  changed = json.loads(results.read_text())
  changed['provenance']['splits']['train'] = {'records': 500, 'sha256': '0' * 64}
  results.write_text(json.dumps(changed))
  ((section,), _) = read(tmp_path)
  assert [e.seeds for e in section.experiments] == [[0, 1], [2]]
  assert 'train split 00000000 (500 records)' in section.experiments[1].label


def test_data_without_a_val_split_is_named_so(tmp_path):
  write_run(tmp_path / 'a', config=settings(tasks=['artist']))
  results = write_run(tmp_path / 'b', config=settings(tasks=['artist'])) / 'results.json'
  changed = json.loads(results.read_text())
  del changed['provenance']['splits']['val'], changed['val']
  results.write_text(json.dumps(changed))
  ((section,), _) = read(tmp_path)
  with_val, without = (e.label.split('fine-tuned, ')[1] for e in section.experiments)
  assert with_val.startswith('val split') and without == 'no val split'


def test_trunks_of_each_runs_own_seed_count_as_one_start(tmp_path):
  for seed in (0, 1):
    config = settings(tasks=['artist'], seed=seed)
    config.init = f'runs/first_s{seed}'
    write_run(tmp_path / f's{seed}', config=config)
  ((section,), _) = read(tmp_path)
  assert [e.seeds for e in section.experiments] == [[0, 1]]


def test_other_test_objects_are_in_another_section_and_never_subtracted(tmp_path):
  write_run(tmp_path / 'a', config=settings(tasks=['artist']))
  write_run(tmp_path / 'b', config=settings(tasks=['artist'], mode='scratch'), ids=['x', 'y', 'z'])
  write_run(tmp_path / 'c', config=settings(tasks=['artist'], mode='scratch'), version='2.0.0')
  found, _ = read(tmp_path)
  assert len(found) == 3 and all(len(s.experiments) == 1 for s in found)
  one, two, _ = (section.experiments[0] for section in found)
  with pytest.raises(ValueError, match='different objects'):
    compare.difference(one, two, 'artist', 'top1')


def test_unfinished_and_broken_runs_are_named_without_numbers(tmp_path):
  write_run(tmp_path / 'good', config=settings(tasks=['artist']))
  (write_run(tmp_path / 'begun', config=settings(tasks=['artist'])) / 'results.json').unlink()
  broken = write_run(tmp_path / 'broken', config=settings(tasks=['artist'])) / 'results.json'
  broken.write_text('{"test": {')
  (tmp_path / 'empty').mkdir()
  ((section,), left_out) = read(tmp_path)
  assert [run.name for run in section.runs] == ['good']
  assert {one.path.name: one.reason.split(' (')[0] for one in left_out} == {
    'begun': 'unfinished',
    'broken': 'results.json: is damaged',
    'empty': 'not a run',
  }


@pytest.mark.parametrize('made', [False, True])
def test_a_pattern_without_runs_is_one_line(tmp_path, made):
  if made:
    (tmp_path / 'photos').mkdir()
  with pytest.raises(UserError, match='1 folder without a run' if made else 'no folder matches'):
    read_runs(str(tmp_path / '*'))


def test_brackets_in_a_folders_name_and_a_comma_at_the_end_are_not_patterns(tmp_path):
  folder = tmp_path / '[x]' / 'runs'
  write_run(folder / 'a[0]', config=settings(tasks=['artist']))
  for pattern in (f'{folder}/*', f'{folder}/a[[]0]', f'{folder}/a[0],', f' ,{folder}/*/'):
    runs, left_out = read_runs(pattern)
    assert [run.name for run in runs] == ['a[0]'] and not left_out


def test_a_candidate_is_counted_as_tried_and_shown_nowhere_else(tmp_path):
  from flaxart.report.tables import settings_tried

  write_run(tmp_path / 'a', config=settings(tasks=['artist']), train={'settings_tried': 4})
  config = settings(tasks=['artist'], optim__learning_rate=0.5)
  write_run(tmp_path / 'b', config=config, test=False)
  ((section,), _) = read(tmp_path)
  (experiment,) = section.experiments
  assert experiment.label == 'ResNet50, fine-tuned' and len(section.candidates) == 1
  assert settings_tried(section, experiment) == 5
  for seed in (1, 2):  # another seed, and the chosen setting, do not count again
    config.seed = seed
    write_run(tmp_path / f'b{seed}', config=config, test=False)
  write_run(tmp_path / 'c', config=settings(tasks=['artist']), test=False)
  ((section,), _) = read(tmp_path)
  assert settings_tried(section, section.experiments[0]) == 5


def test_experiments_on_other_classes_keep_rows_and_names_of_their_own(tmp_path):
  for i in range(3):  # as three values of --min_per_class make them
    classes = {**CLASSES, 'artist': CLASSES['artist'][i:]}
    write_run(tmp_path / f'run{i}', config=settings(tasks=['artist']), classes=classes)
  ((section,), _) = read(tmp_path)
  assert len(rows_of(section)) == len({e.label for e in section.experiments}) == 3
  assert compare.differs_in(*section.experiments[:2]) == 'classes'


def test_experiments_from_other_weights_keep_rows_and_names_of_their_own(tmp_path):
  for name, task, sha, rate in [
    ('a', 'artist', 'a' * 64, 0.1),
    ('b', 'artist', 'b' * 64, 0.1),
    ('c', 'artist', 'b' * 64, 0.2),
    ('d', 'type', 'b' * 64, 0.1),
  ]:
    config = settings(tasks=[task], optim__learning_rate=rate)
    results = write_run(tmp_path / name, config=config) / 'results.json'
    changed = json.loads(results.read_text())
    changed['provenance']['weights']['sha256'] = sha
    results.write_text(json.dumps(changed))
  ((section,), _) = read(tmp_path)
  rows = [[e.first.name for e in cells.values()] for _, cells in rows_of(section)]
  assert rows == [['a'], ['b', 'd'], ['c']]
  assert [label.split('optim.')[1] for label, _ in rows_of(section)] == [
    'learning_rate=0.1, weights aaaaaaaa',
    'learning_rate=0.1, weights bbbbbbbb',
    'learning_rate=0.2, weights bbbbbbbb',
  ]
  a, b, c, _ = section.experiments
  assert compare.differs_in(a, b) == 'weights' and compare.differs_in(a, c) is None


@pytest.mark.parametrize('init', ['/data/weights0/resnet50.safetensors', 'runs/multi_s0'])
def test_a_trunk_that_all_seeds_share_leaves_them_one_experiment(tmp_path, init):
  for seed in range(3):
    config = settings(tasks=['artist'], seed=seed)
    config.init = init
    write_run(tmp_path / f's{seed}', config=config)
  write_run(tmp_path / 'z_other', config=settings(tasks=['artist']))
  ((section,), _) = read(tmp_path)
  assert [e.seeds for e in section.experiments] == [[0, 1, 2], [0]]
  assert section.experiments[0].label == f'ResNet50, fine-tuned, init={init}'


def test_predictions_that_are_not_those_of_the_scores_are_not_used(tmp_path):
  workdir = write_run(tmp_path / 'a', config=settings(tasks=['artist']))
  ((section,), _) = read(tmp_path)
  assert read_answers(section.runs[0], 'artist') is not None
  results = json.loads((workdir / 'results.json').read_text())
  results['test']['artist']['top1'] += 0.01
  (workdir / 'results.json').write_text(json.dumps(results))
  ((section,), _) = read(tmp_path)
  assert read_answers(section.runs[0], 'artist') is None


def test_every_kind_of_task_has_its_main_score_and_interval(tmp_path):
  classes = {'artist': ('a', 'b', 'c'), 'tags': ('x', 'y'), 'year': ()}
  config = settings(tasks=list(classes))
  kinds = {'tags': 'sigmoid', 'year': 'regression'}
  write_run(tmp_path / 'a', config=config, classes=classes, kinds=kinds, skill=0.3)
  ((section,), _) = read(tmp_path)
  (experiment,) = section.experiments
  for task, metric in [('artist', 'top1'), ('tags', 'map'), ('year', 'within_50')]:
    assert experiment.task(task).main == metric
    cell = compare.cell(experiment, task, metric)
    low, high = cell.interval
    assert low < high and cell.objects <= cell.records
    if metric != 'map':  # the fake score of `tags` is not computed
      assert low <= cell.seeds.mean <= high


def test_seeds_without_a_label_in_common_have_no_interval(tmp_path):
  for seed in range(2):
    config = settings(tasks=['artist'], seed=seed)
    write_run(tmp_path / f's{seed}', config=config, labels={'artist': [seed] * 120})
  ((section,), _) = read(tmp_path)
  cell = compare.cell(section.experiments[0], 'artist', 'top1')
  assert cell.seeds.n == 2 and cell.interval is None and cell.objects is None


def test_pairs_differ_in_one_thing_and_multi_task_is_matched(tmp_path):
  for name, tasks, more in [
    ('multi', ['artist', 'type'], {}),
    ('artist', ['artist'], {}),
    ('type', ['type'], {'train__epochs': 5.0}),
    ('scratch', ['artist'], {'mode': 'scratch', 'augment__flip': True, 'optim__nesterov': False}),
    ('wider', ['artist'], {'mode': 'scratch', 'model__width': 2.0}),  # and not mirrored
    ('vgg', ['artist'], {'model': 'vgg19', 'mode': 'scratch', 'model__width': 2.0}),
  ]:
    write_run(tmp_path / name, config=settings(tasks=tasks, **more))
  ((section,), _) = read(tmp_path)
  pairs = {(d.a.first.name, d.b.first.name, d.task): d.axis for d in compare.differences(section)}
  assert pairs == {
    ('multi', 'artist', 'artist'): 'tasks',
    ('artist', 'scratch', 'artist'): 'mode',
    ('vgg', 'wider', 'artist'): 'network',
  }
  (match,) = matches([section])
  assert {task: e.first.name for task, e in match.single.items()} == {
    'artist': 'artist',
    'type': 'type',
  }
  assert match.matched == {'artist'} and not match.is_complete


def test_a_single_task_on_other_classes_or_from_other_weights_does_not_match(tmp_path):
  write_run(tmp_path / 'multi', config=settings(tasks=['artist', 'type', 'material']))
  fewer = {**CLASSES, 'artist': CLASSES['artist'][1:]}
  write_run(tmp_path / 'artist', config=settings(tasks=['artist']), classes=fewer)
  results = write_run(tmp_path / 'type', config=settings(tasks=['type'])) / 'results.json'
  results.write_text(results.read_text().replace('f' * 64, 'a' * 64))
  write_run(tmp_path / 'material', config=settings(tasks=['material']))
  ((section,), _) = read(tmp_path)
  (match,) = matches([section])
  assert set(match.single) == set(CLASSES) and match.matched == {'material'}


def test_heads_on_a_frozen_trunk_share_nothing(tmp_path):
  write_run(tmp_path / 'both', config=settings(tasks=['artist', 'type'], mode='off_the_shelf'))
  write_run(tmp_path / 'one', config=settings(tasks=['artist'], mode='off_the_shelf'))
  ((section,), _) = read(tmp_path)
  assert not matches([section]) and len(rows_of(section)) == 2


def test_every_picture_of_an_object_is_a_separate_record(tmp_path):
  ids = [f'OBJ-{i // 4}' for i in range(120)]
  for seed in (0, 1):
    config = settings(tasks=['artist'], seed=seed)
    write_run(tmp_path / f's{seed}', config=config, ids=ids, groups=ids, skill=0.5 + 0.3 * seed)
  ((section,), _) = read(tmp_path)
  found = [read_answers(run, 'artist') for run in section.runs]
  for run, answers in zip(section.runs, common(found), strict=True):
    assert len(answers.ids) == run.results['test']['artist']['n'] > 60
    assert answers.task.right(answers.kept).mean() == pytest.approx(
      run.results['test']['artist']['top1']
    )


def test_the_methods_name_the_tested_setting_and_everything_that_changes_the_arithmetic(tmp_path):
  swept = settings(tasks=['artist'], mode='off_the_shelf', probe__settings='rmsprop:1e-3,adam:1e-2')
  write_run(tmp_path / 'a', config=swept, train={'settings_tried': 2, 'setting': 'adam:1e-2'})
  joint = settings(tasks=['artist', 'type'], loss__task_weights='artist=3', model__width=0.25)
  write_run(tmp_path / 'b', config=joint)
  text = ' '.join(paragraphs(read(tmp_path)[0]))
  assert 'chosen on val among rmsprop:1e-3, adam:1e-2: adam:1e-2, batches of' in text
  assert 'loss.task_weights artist=3; ' in text and 'ResNet50 (0.25 of its width)' in text
  assert 'one trunk, weighted losses summed; ' in text


def test_the_methods_name_every_setting_that_is_not_a_default(tmp_path):
  config = settings(tasks=['artist'], mode='off_the_shelf', probe__settings='adam:1e-2')
  for field, value in (('pixels', 'zero_one'), ('shuffle', False), ('workers', 3)):
    config.data[field] = value
  config.augment.magnitude, config.optim.plateau_factor = 5.0, 0.5
  write_run(tmp_path / 'a', config=config, train={'setting': 'adam:1e-2'})
  text, _ = paragraphs(read(tmp_path)[0])
  assert 'only the heads learn; Adam, learning rate 0.01, batches' in text
  for part in ('data.pixels zero_one', 'data.shuffle False', 'augment.magnitude 5.0'):
    assert f'; {part}; ' in text
  assert 'optim.plateau_factor 0.5' in text and 'workers' not in text and 'safetensors' not in text
