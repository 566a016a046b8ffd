"""The published curves, and our figures in the paper's style."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from fake_runs import figure1_grid, figure2_grid, settings, write_run
from PIL import Image

from flaxart.report.figures import curves, figure1, figure2
from flaxart.report.figures.plotting import ORANGE, figure
from flaxart.report.numbers import published
from flaxart.report.numbers.experiments import sections
from flaxart.report.numbers.runs import read_runs


def read(folder):
  return sections(read_runs(str(folder / '*'))[0])


def test_published_curves_have_the_peaks_of_the_paper():
  peaks = {
    key: max(curve, key=lambda point: point[1]) for key, curve in published.figure1().items()
  }
  assert len(peaks) == 27
  assert peaks['material', 'fine_tuned', 'resnet50'] == (11, 0.93178201)
  assert peaks['artist', 'fine_tuned', 'resnet50'] == (10, 0.56834239)
  assert peaks['artist', 'scratch', 'inception_v3'] == (20, 0.24595411)
  assert peaks['artist', 'off_the_shelf', 'vgg19'][1] == pytest.approx(0.3711, abs=1e-4)


def test_published_curves_end_where_training_ended():
  lengths = {key: len(curve) for key, curve in published.figure2().items()}
  assert lengths == {
    ('artist', 'multi'): 43, ('material', 'multi'): 43, ('type', 'multi'): 43,
    ('artist', 'single'): 13, ('material', 'single'): 25, ('type', 'single'): 7,
  }  # fmt: skip
  for curve in published.figure1().values():
    assert len(curve) < 3 or curve[-1][1] != curve[-2][1]
  # The rows copied from the off-the-shelf file are gone.
  assert published.figure1()['material', 'fine_tuned', 'vgg19'][0][0] == 2


@pytest.mark.parametrize(
  ('dataset', 'about', 'wanted'),
  [
    ('rijksmuseum/multitask', {'complete': True}, 'auto yes'),
    ('rijksmuseum/multitask', {'complete': False}, 'yes'),
    ('rijksmuseum/multitask', {}, 'auto yes'),  # of an earlier version
    ('rijksmuseum/multitask', {'invented': True, 'complete': False}, ''),
    ('collection', {'complete': False}, 'yes'),
  ],
)
def test_published_curves_only_stand_behind_data_they_are_comparable_with(
  tmp_path, dataset, about, wanted
):
  write_run(tmp_path / 'run', config=settings(tasks=['artist']))
  results = tmp_path / 'run' / 'results.json'
  stored = json.loads(results.read_text())
  stored['provenance'] |= {'dataset': dataset} | about
  results.write_text(json.dumps(stored))
  (section,) = sections(read_runs(str(tmp_path / '*'))[0])
  found = [switch for switch in ('auto', 'yes', 'no') if published.is_wanted(switch, section)]
  assert found == wanted.split()


def test_curves_are_means_over_seeds_by_epoch(tmp_path):
  for seed in (0, 1):
    write_run(tmp_path / f's{seed}', config=settings(tasks=['artist'], seed=seed), epochs=2 + seed)
  ((experiment,),) = [section.experiments for section in read(tmp_path)]
  curve = curves.val_curve(experiment, 'artist')
  assert list(curve.epochs) == [1, 2, 3]
  scores = experiment.scores('artist', 'top1', split='val')
  assert curve.mean[1] == pytest.approx(0.75 * np.mean(scores))
  assert (curve.low[1], curve.high[1]) == pytest.approx((0.75 * min(scores), 0.75 * max(scores)))
  assert curve.mean[2] == curve.low[2] == curve.high[2]  # reached by one seed


def test_the_curve_of_several_settings_is_that_of_the_one_that_was_kept(tmp_path):
  write_run(tmp_path / 'a', config=settings(tasks=['artist']), train={'setting': 'adam:1e-2'})
  ((experiment,),) = [section.experiments for section in read(tmp_path)]
  alone = curves.val_curve(experiment, 'artist')
  path = tmp_path / 'a' / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  steps = max(line['step'] for line in lines)
  tried = [line | {'setting': 'sgd:0.1', 'setting_step': line['step']} for line in lines]
  kept = [
    line | {'setting': 'adam:1e-2', 'setting_step': line['step'], 'step': steps + line['step']}
    for line in lines
  ]
  path.write_text(''.join(json.dumps(line) + '\n' for line in [*tried, *kept]))
  ((experiment,),) = [section.experiments for section in read(tmp_path)]
  curve = curves.val_curve(experiment, 'artist')
  np.testing.assert_array_equal(curve.epochs, alone.epochs)
  np.testing.assert_array_equal(curve.mean, alone.mean)


def test_figure1_has_a_panel_a_task_and_the_papers_lines(tmp_path, monkeypatch):
  found = read(figure1_grid(tmp_path / 'runs', seeds=(0, 1)))
  assert [key[2] for key in figure1.panels(found)] == ['material', 'type', 'artist']
  drawn = []
  monkeypatch.setattr(figure1, 'draw', lambda ax, curve, **style: drawn.append(style))
  files = figure1.draw_figure1(found, show_published='yes')
  lines = {style['label']: (style['linestyle'], style['color']) for style in drawn}
  assert lines == {
    'ResNet50, fine-tuned': (':', '#0072B2'),
    'ResNet50, off the shelf': ('--', '#0072B2'),
    'ResNet50, from scratch': ('-', ORANGE),
  }
  assert Image.open(io.BytesIO(files['png'])).width > 1000 and files['svg'].startswith(b'<?xml')


def test_figure1_never_mixes_two_datasets_in_a_panel(tmp_path):
  write_run(tmp_path / 'a', config=settings(tasks=['artist']))
  write_run(tmp_path / 'b', config=settings(tasks=['artist'], mode='scratch'), version='2.0.0')
  panels = figure1.panels(read(tmp_path))
  assert len(panels) == 2 and all(len(experiments) == 1 for experiments in panels.values())


def test_published_curves_change_the_picture(tmp_path):
  found = read(figure2_grid(tmp_path / 'runs', seeds=(0,)))
  without = figure2.draw_figure2(found, show_published='no')
  assert figure2.draw_figure2(found, show_published='yes')['png'] != without['png']
  assert figure2.draw_figure2(found, show_published='auto')['png'] == without['png']
  assert 'published' not in figure2.caption(found, show_published='auto')


@pytest.mark.parametrize('better', ['multi', 'single'])
def test_both_panels_of_figure2_show_all_of_their_curves(tmp_path, monkeypatch, better):
  for seed in range(2):
    for name, tasks in (('multi', ['artist', 'type']), ('artist', ['artist']), ('type', ['type'])):
      skill = 0.95 if (name == 'multi') == (better == 'multi') else 0.3
      config = settings(tasks=tasks, seed=seed)
      write_run(tmp_path / f'{name}_s{seed}', config=config, skill=skill)
  drawn = []
  monkeypatch.setattr(figure2, 'render', lambda fig, kind: drawn.append(fig) or inspect(fig))
  figure2.draw_figure2(read(tmp_path), show_published='no')
  assert len(drawn) == 2


def inspect(fig) -> bytes:
  for ax in fig.axes:
    low, high = ax.get_ylim()
    values = np.concatenate([line.get_ydata() for line in ax.lines])
    assert len(ax.lines) == 2 and low <= values.min() and values.max() <= high
  return b''


def test_dollar_signs_in_settings_are_not_formulas(tmp_path):
  for i, regex in enumerate(('heads/.*', r'heads/\w+/kernel$|trunk/\w+/.*$')):
    config = settings(tasks=['artist'])
    config.trainable = regex
    write_run(tmp_path / f'run{i}', config=config)
  assert figure1.draw_figure1(read(tmp_path), show_published='no')['png']


def test_figures_need_their_runs(tmp_path):
  write_run(tmp_path / 'multi', config=settings(tasks=['artist', 'type']))
  found = read(tmp_path)
  assert figure1.draw_figure1(found, show_published='no') is None
  assert figure2.draw_figure2(found, show_published='no') is not None


@pytest.mark.parametrize(
  ('losses', 'scale'),
  [
    ([2.5, 1.1, 0.3], 'linear'),
    ([2.5, 0.3, 0.004], 'log'),
    ([2.5, 0.1, 0.0], 'log'),
    ([], 'linear'),
  ],
)
def test_losses_that_span_a_decade_have_a_log_axis_with_plain_numbers(losses, scale):
  with figure(1, 1, width=3, height=2) as (fig, axes):
    ax = axes[0, 0]
    if losses:
      ax.plot(range(len(losses)), losses)
    curves.spread_out(ax)
    fig.canvas.draw()
    assert ax.get_yscale() == scale
    assert not any('$' in tick.get_text() for tick in ax.get_yticklabels())
    assert scale == 'linear' or '0.1' in [tick.get_text() for tick in ax.get_yticklabels()]
