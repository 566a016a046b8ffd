"""Figure 2: one multi-task network (left, one curve per task) and one network per task (right)."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from flaxart.config import OF_TASKS
from flaxart.report.figures.curves import draw, legend_below, limits, val_curve
from flaxart.report.figures.plotting import TASK_COLOURS, figure, render
from flaxart.report.numbers import published
from flaxart.report.numbers.experiments import Experiment, Section, main_words


@dataclasses.dataclass(frozen=True)
class Match:
  """A multi-task experiment and the most similar single-task one for each task.

  `matched`: the tasks whose single-task experiment has the same data, classes, settings, weights at
  the start, seeds and number of pictures seen, so that only sharing is compared.
  """

  section: Section
  joint: Experiment
  single: dict[str, Experiment]
  matched: frozenset[str]

  @property
  def is_complete(self) -> bool:
    """Whether every task has a matched single-task experiment."""
    return self.matched == set(self.joint.tasks)


def matches(sections: Sequence[Section]) -> list[Match]:
  """One match for every multi-task experiment."""
  return [
    _match(section, experiment)
    for section in sections
    for experiment in section.experiments
    if experiment.first.joint
  ]


def _match(section: Section, joint: Experiment) -> Match:
  single: dict[str, Experiment] = {}
  matched = set()
  for task in joint.tasks:
    like = [
      e
      for e in section.experiments
      if e.tasks == [task]
      and e.first.data_key == joint.first.data_key
      and (e.first.model, e.first.mode) == (joint.first.model, joint.first.mode)
    ]
    like.sort(key=lambda e: _distance(e, joint))
    if like:
      single[task] = like[0]
      if not _distance(like[0], joint):
        matched.add(task)
  return Match(section, joint, single, frozenset(matched))


def _distance(one: Experiment, joint: Experiment) -> int:
  """The number of differences between two experiments, beside the tasks."""
  settings = sum(
    one.settings.get(key) != value for key, value in joint.settings.items() if key not in OF_TASKS
  )
  classes = any(one.first.labels[t].sha256 != joint.first.labels[t].sha256 for t in one.tasks)
  weights = one.weights != joint.weights
  seeds = one.seeds != joint.seeds
  seen = [r.images_seen for r in one.runs] != [r.images_seen for r in joint.runs]
  return settings + classes + weights + seeds + seen


def draw_figure2(sections: Sequence[Section], *, show_published: str) -> dict[str, bytes] | None:
  """`{'png': ..., 'svg': ...}`, a row for every multi-task experiment; None without one."""
  found = matches(sections)
  if not found:
    return None
  invented = any(match.section.invented for match in found)
  rows, height = len(found), 3.2 * len(found) + 0.5
  with figure(rows, 2, width=8.4, height=height, sharey='row', invented=invented) as (fig, axes):
    for row, match in zip(axes, found, strict=True):
      shown = published.is_wanted(show_published, match.section)
      for ax, which in zip(row, ('multi', 'single'), strict=True):
        _draw_panel(ax, match, which, show_published=shown)
      for ax in row:  # after both are drawn: they share an axis, and setting it stops autoscaling
        limits(ax, match.joint.task(match.joint.tasks[0]))
    legend_below(fig, axes, columns=min(4, len(match.joint.tasks)))
    return {kind: render(fig, kind) for kind in ('png', 'svg')}


def _draw_panel(ax: Any, match: Match, which: str, *, show_published: bool) -> None:
  for i, task in enumerate(match.joint.tasks):
    colour = TASK_COLOURS[i % len(TASK_COLOURS)]
    if show_published:
      curve = published.figure2().get((task, which))
      if curve:
        ax.plot(*zip(*curve, strict=True), color=colour, linewidth=0.7, alpha=0.6, zorder=1)
    experiment = match.joint if which == 'multi' else match.single.get(task)
    ours = val_curve(experiment, task) if experiment else None
    if ours is not None:
      style = '-' if which == 'multi' or task in match.matched else '-.'
      draw(ax, ours, label=task, color=colour, linestyle=style)
  shown = [match.joint] if which == 'multi' else list(match.single.values())
  name = 'one network, all tasks' if which == 'multi' else 'one network per task'
  labels = '; '.join(dict.fromkeys(experiment.label for experiment in shown))
  about = textwrap.fill(f'{labels}, {match.section.dataset}', 60)
  ax.set_title(f'{name}\n{about}' if shown else name, fontsize=8)
  if which == 'single' and not match.single:
    ax.text(0.5, 0.5, 'no single-task run', transform=ax.transAxes, ha='center', color='#888888')


def caption(sections: Sequence[Section], *, show_published: str) -> str:
  """The caption of the figure."""
  found = matches(sections)
  text = (
    f'Figure 2. {main_words(match.joint for match in found).capitalize()} on the val split after '
    'each epoch. Left: one network with a head for each task; right: a network for each task. One '
    'line is the mean over the seeds, the band their range.'
  )
  if any(match.matched != set(match.single) for match in found):
    text += (
      ' Dash-dotted: a single-task run that differs from the multi-task one in more than its task '
      '(settings, classes, weights at the start, seeds or pictures seen).'
    )
  if any(published.is_wanted(show_published, match.section) for match in found):
    text += (
      ' Thin lines: the published values, measured on another validation set for each run (their '
      'repeated tails are not drawn).'
    )
  return text
