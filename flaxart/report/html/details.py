"""The details of one experiment: curves, classes, confusions, calibration, sample pictures."""

from __future__ import annotations

from typing import Any

from flaxart.report.figures import confusion
from flaxart.report.figures.curves import training_picture
from flaxart.report.figures.plotting import data_uri
from flaxart.report.html.markup import Html, folded, join, picture, table, tag
from flaxart.report.html.pictures import Sample, samples
from flaxart.report.html.score_tables import percent
from flaxart.report.numbers.compare import answers_of
from flaxart.report.numbers.experiments import Experiment


def experiment_details(experiment: Experiment, *, count: int, public: bool) -> Html:
  """The folded section; pictures and tables are those of the first seed."""
  parts: list[object] = []
  curves = training_picture(experiment)
  name = f'{experiment.label} ({", ".join(experiment.tasks)})'
  if curves is None:
    parts.append(tag('p', 'Training curves: not recorded.'))
  else:
    parts.append(
      picture(data_uri(curves, 'png'), alt=f'Training curves of {name}', class_='curves')
    )
  for task in experiment.tasks:
    parts.append(tag('h4', task))
    parts += [_classes(experiment, task), _confusions(experiment, task)]
    parts += [_calibration(experiment, task)]
    parts.append(_samples(experiment, task, count=count, public=public))
  summary = f'{name}: seed {experiment.first.seed} of {", ".join(map(str, experiment.seeds))}'
  return folded(summary, *parts)


def _classes(experiment: Experiment, task: str) -> Html:
  entry = confusion.of_run(experiment.first, task)
  if not entry or not entry.get('per_class'):
    return tag('p', f'Per-class table of {task}: {_missing(experiment, task, "per_class")}.')
  per_class = entry['per_class']
  shown = confusion.largest_classes(per_class)
  rows = [
    [
      row['class'],
      f'{row["n"]:,}',
      f'{row["predicted"]:,}',
      *(percent(row[key]) for key in ('precision', 'recall', 'f1')),
    ]
    for row in shown
  ]
  head = ['class', 'test records', 'predicted', 'precision', 'recall', 'F1']
  name = f'{task}: classes on the test split'
  if len(shown) < len(per_class):
    name += f' (the {len(shown)} largest of {len(per_class):,}; all are in tables.json)'
  return folded(f'Per-class table of {task}', table(head, rows, name=name))


def _confusions(experiment: Experiment, task: str) -> Html:
  entry = confusion.of_run(experiment.first, task)
  if not entry or not entry.get('confusion'):
    return tag('p', f'Confusion matrix of {task}: {_missing(experiment, task, "confusion")}.')
  pairs, classes = entry['confusion'], experiment.task(task).classes
  rows = [
    [true, predicted, f'{n:,}', percent(share)]
    for true, predicted, n, share in confusion.top_confusions(pairs, classes)
  ]
  head = ['true', 'predicted', 'records', '% of the true class']
  parts = [table(head, rows, name=f'{task}: most frequent confusions')]
  if len(classes) <= confusion.MATRIX_CLASSES:
    image = confusion.draw_matrix(pairs, classes, invented=experiment.first.invented)
    alt = f'Confusion matrix of {task}'
    parts.append(
      picture(data_uri(image, 'png'), alt=alt, caption=f'{alt}, shares of the true class')
    )
  else:
    parts.append(
      tag('p', f'{len(classes):,} classes: too many for a readable matrix.', class_='note')
    )
  return folded(f'Confusions of {task}', *parts)


def _missing(experiment: Experiment, task: str, table: str) -> str:
  tables = (experiment.first.tables or {}).get('test')
  if tables is None or table in tables.get(task, {}):
    return 'not recorded'
  return f'does not exist for a {experiment.task(task).kind} task'


def _calibration(experiment: Experiment, task: str) -> Html:
  entry: dict[str, Any] | None = (experiment.first.calibration or {}).get(task)
  if not entry:
    return tag('p', f'Decide or abstain on {task}: not recorded.')
  target = entry.get('precision', 0.9)
  if entry.get('threshold') is None:
    text = f'no threshold reaches a precision of {percent(target)} % on val'
  else:
    text = (
      f'threshold {entry["threshold"]:.3f} gives a precision of '
      f'{percent(entry["val_precision"])} % '
      f'on {percent(entry["val_coverage"])} % of val'
    )
  return tag('p', f'Decide or abstain on {task}: temperature {entry["temperature"]:.3f}; {text}.')


def _samples(experiment: Experiment, task: str, *, count: int, public: bool) -> Html:
  if not count:
    return Html('')
  answers = answers_of(experiment, task)
  found = samples(
    experiment.first, task, answers[0] if answers else None, count=count, public=public
  )
  if found.missing:
    return tag('p', f'Sample pictures of {task}: {found.missing}.')
  parts: list[object] = [
    tag(
      'p',
      f'Sample pictures of {task}, chosen at random: {len(found.right)} right (green), '
      f'{len(found.wrong)} wrong (red).',
    )
  ]
  if found.hidden:
    parts.append(
      tag(
        'p',
        f'{found.hidden} sampled pictures are left out: they have no '
        'rights statement of CC0 or public domain.',
        class_='note',
      )
    )
  shown = [(one, 'right') for one in found.right] + [(one, 'wrong') for one in found.wrong]
  parts.append(tag('div', *(_sample(one, which) for one, which in shown), class_='samples'))
  return join(parts)


def _sample(one: Sample, which: str) -> Html:
  said = one.said if which == 'right' else f'{one.said} (is {one.truth})'
  caption = join(
    [
      tag('strong', one.object_number),
      tag('span', f' {said}, {percent(one.p)} %'),
      tag('small', ' · '.join(filter(None, (one.credit, one.rights))) or 'no credit line recorded'),
    ]
  )
  return picture(one.uri, alt=f'{one.object_number}: {one.truth}', caption=caption, class_=which)
