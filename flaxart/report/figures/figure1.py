"""Figure 1: off the shelf, fine-tuned and from scratch, four networks; one panel per task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flaxart.models import cards
from flaxart.report.figures.curves import draw, legend_below, limits, val_curve
from flaxart.report.figures.plotting import ORANGE, figure, render
from flaxart.report.numbers import published
from flaxart.report.numbers.experiments import Experiment, Section, main_words
from flaxart.report.numbers.runs import FINE_TUNED, OFF_THE_SHELF, SCRATCH

STYLES = {FINE_TUNED: ':', OFF_THE_SHELF: '--', SCRATCH: '-'}
Panel = tuple[Section, tuple[Any, ...], str]  # section, data in every split, task


def panels(sections: Sequence[Section]) -> dict[Panel, list[Experiment]]:
  """The panels: single-task experiments on one task and the same data."""
  found: dict[Panel, list[Experiment]] = {}
  for section in sections:
    for task in section.tasks:
      for experiment in section.experiments:
        if task in experiment.tasks and is_shown(experiment) and val_curve(experiment, task):
          key = (section, experiment.first.data_key, task)
          found.setdefault(key, []).append(experiment)
  return found


def is_shown(experiment: Experiment) -> bool:
  """Whether an experiment is single-task and in one of the paper's three modes."""
  return not experiment.first.joint and experiment.first.mode in STYLES


def draw_figure1(sections: Sequence[Section], *, show_published: str) -> dict[str, bytes] | None:
  """`{'png': ..., 'svg': ...}`; None if there is nothing to show (see `panels`).

  `show_published`: yes, no, or auto (on the Rijksmuseum's panels).
  """
  found = panels(sections)
  if not found:
    return None
  columns = min(3, len(found))
  rows = -(-len(found) // columns)
  several = len({key[:2] for key in found}) > 1
  invented = any(section.invented for section, _, _ in found)
  width, height = 3.7 * columns + 0.4, 3.1 * rows + 0.8
  with figure(rows, columns, width=width, height=height, invented=invented) as (fig, axes):
    for ax, (key, experiments) in zip(axes.flat, found.items(), strict=False):
      section, _, task = key
      if published.is_wanted(show_published, section):
        _draw_published(ax, task)
      _draw_panel(ax, task, experiments)
      title = f'{task}\n{_data_name(key, found)}' if several else task
      ax.set_title(title, fontsize=8 if several else 11)
    for ax in list(axes.flat)[len(found) :]:
      ax.set_visible(False)
    legend_below(fig, axes, columns=columns)
    return {kind: render(fig, kind) for kind in ('png', 'svg')}


def _draw_published(ax: Any, task: str) -> None:
  for (its_task, mode, network), curve in published.figure1().items():
    if its_task == task:
      style, colour, _ = _style(mode, network)
      ax.plot(*zip(*curve, strict=True), style, color=colour, linewidth=0.7, alpha=0.6, zorder=1)


def _draw_panel(ax: Any, task: str, experiments: Sequence[Experiment]) -> None:
  scratch = {e.first.model for e in experiments if e.first.mode == SCRATCH}
  for experiment in experiments:
    run, curve = experiment.first, val_curve(experiment, task)
    assert curve is not None  # `panels` left those out
    style, colour, mark = _style(run.mode, run.model)
    marked = run.mode == SCRATCH and len(scratch) > 1
    draw(
      ax,
      curve,
      label=experiment.label,
      color=colour,
      linestyle=style,
      marker=mark if marked else None,
    )
  limits(ax, experiments[0].task(task))


def _data_name(key: Panel, all_panels: Iterable[Panel]) -> str:
  """The dataset, with the hashes of splits that distinguish this panel from the others."""
  section, (dataset, train, val, test), task = key
  others = [other for other in all_panels if other[2] == task and other != key]
  parts = [dataset]
  if any(other[1][0] == dataset and other[0] is not section for other in others):
    parts.append(f'test split {str(test)[:6]}')
  if any(other[0] is section for other in others):
    parts.append(f'train split {str(train)[:6]}, val split {str(val)[:6]}')
  return ', '.join(parts)


def _style(mode: str, network: str) -> tuple[str, str, str | None]:
  """Line, colour, marker; networks from scratch are all orange, and differ by marker."""
  card = cards().get(network)
  colour, marker = (card.colour, card.marker) if card else ('#888888', None)
  return STYLES[mode], ORANGE if mode == SCRATCH else colour, marker


def caption(sections: Sequence[Section], *, show_published: str) -> str:
  """The caption of the figure."""
  shown = [experiment for group in panels(sections).values() for experiment in group]
  names = sorted({experiment.first.network for experiment in shown})
  thin = any(published.is_wanted(show_published, s) for s, _, _ in panels(sections))
  text = (
    f'Figure 1. {main_words(shown).capitalize()} on the val split after each epoch: '
    f'{", ".join(names)}; dotted: fine-tuned, dashed: off the shelf, solid orange: from scratch. '
    'One line is the mean over the seeds, the band their range.'
  )
  if thin:
    text += (
      ' Thin lines: the values that Sabatelli et al. published, measured on other splits '
      '(their repeated tails are not drawn).'
    )
  return text
