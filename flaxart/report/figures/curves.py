"""Curves over the epochs of a run, from the lines of its `metrics.jsonl`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from flaxart.report.figures.plotting import TASK_COLOURS, figure, render
from flaxart.report.numbers.experiments import Experiment
from flaxart.report.numbers.runs import Run
from flaxart.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Curve:
  """`epochs` `[E]`, `mean` `[E]` over the seeds that reached each, `low` and `high` their range."""

  epochs: np.ndarray
  mean: np.ndarray
  low: np.ndarray
  high: np.ndarray


def epochs_of(run: Run, step: int) -> float:
  """Passes over the training split after `step` steps."""
  records = run.provenance['splits']['train']['records']
  return step * run.config.train.batch_size / records


def series(run: Run, split: str, name: str) -> list[tuple[float, float]]:
  """`[(epochs, value)]` of one metric; lines without it, or without a number, are skipped."""
  return [
    (epochs_of(run, line.get('setting_step', line['step'])), float(line[name]))
    for line in run.lines
    if line.get('split') == split and isinstance(line.get(name), int | float)
  ]


def val_curve(experiment: Experiment, task: str) -> Curve | None:
  """The main score on val; None if no run recorded one."""
  name = f'{task}/{experiment.task(task).main}'
  by_epoch: dict[float, list[float]] = {}
  for run in experiment.runs:
    for epoch, value in series(run, 'val', name):
      by_epoch.setdefault(round(epoch, 3), []).append(value)
  if not by_epoch:
    return None
  epochs = sorted(by_epoch)
  return Curve(
    np.array(epochs),
    np.array([np.mean(by_epoch[e]) for e in epochs]),
    np.array([min(by_epoch[e]) for e in epochs]),
    np.array([max(by_epoch[e]) for e in epochs]),
  )


def draw(ax: Any, curve: Curve, *, label: str | None = None, **style: Any) -> None:
  """The mean as a line, the range over seeds as a band behind it."""
  colour = style['color']
  if (curve.high > curve.low).any():
    ax.fill_between(curve.epochs, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
  marker = style.pop('marker', None) or ('.' if len(curve.epochs) == 1 else None)
  every = max(1, len(curve.epochs) // 6)
  ax.plot(
    curve.epochs,
    curve.mean,
    label=label,
    marker=marker,
    markersize=4,
    markevery=every,
    linewidth=1.9,
    zorder=3,
    **style,
  )


def limits(ax: Any, task: Task) -> None:
  """Axes as in the paper: epochs from 0, and the range of the curves."""
  ax.set(xlabel='epoch', ylabel=f'val {task.main_words}')
  low, high = ax.get_ylim()
  ax.set_ylim(bottom=0 if low < 0.3 else low, top=min(1.02, high))
  ax.set_xlim(left=0)


def spread_out(ax: Any) -> None:
  """A logarithmic axis, with plain numbers, for curves that span more than a decade."""
  values = np.concatenate([np.ravel(line.get_ydata()) for line in ax.get_lines()] or [np.ones(1)])
  known = values[np.isfinite(values) & (values > 0)]
  if len(known) and known.max() > 10 * known.min():
    ax.set_yscale('log')
    for axis_of in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
      axis_of(lambda value, _: f'{value:g}' if f'{value:e}'[0] in '125' else '')


def legend_below(fig: Any, axes: Any, *, columns: int) -> None:
  """One legend for all panels, with each name once."""
  handles: dict[str, Any] = {}
  for ax in axes.flat:
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
      handles.setdefault(label, handle)
  fig.legend(handles.values(), handles, loc='outside lower center', ncols=columns, fontsize=7.5)


def training_picture(experiment: Experiment) -> bytes | None:
  """PNG: losses on train and val left, main scores on val right, a line per seed; None if empty."""
  if not any(
    line.get('split') in ('train', 'val') for run in experiment.runs for line in run.lines
  ):
    return None
  invented = experiment.first.invented
  with figure(1, 2, width=7.2, height=2.3, invented=invented) as (fig, axes):
    loss, score = axes[0]
    for i, task in enumerate(experiment.tasks):
      colour, main = TASK_COLOURS[i % len(TASK_COLOURS)], experiment.task(task).main
      for run in experiment.runs:
        first = run is experiment.first
        train = series(run, 'train', f'loss/{task}')
        if not train and len(experiment.tasks) == 1:
          train = series(run, 'train', 'loss')
        for values, style, name in (
          (train, ':', 'train'),
          (series(run, 'val', f'{task}/loss'), '-', 'val'),
        ):
          if values:
            label = f'{task}, {name}' if first else None
            loss.plot(*zip(*values, strict=True), style, color=colour, linewidth=1, label=label)
        values = series(run, 'val', f'{task}/{main}')
        if values:
          label = f'{task}, {main}' if first else None
          marker = '.' if len(values) == 1 else None
          score.plot(
            *zip(*values, strict=True), color=colour, linewidth=1, label=label, marker=marker
          )
    loss.set(xlabel='epoch', ylabel='loss')
    spread_out(loss)
    score.set(xlabel='epoch', ylabel='val score', ylim=(0, 1))
    for ax in (loss, score):
      if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=6)
    return render(fig, 'png', dpi=110)
