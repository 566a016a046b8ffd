"""`report.html`: one self-contained page."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence

from flaxart.report.figures import figure1, figure2
from flaxart.report.figures.plotting import data_uri
from flaxart.report.html.bibliography import bibtex
from flaxart.report.html.cost_tables import cost_table, matched_table
from flaxart.report.html.details import experiment_details
from flaxart.report.html.markup import Html, document, folded, join, picture, tag
from flaxart.report.html.methods import paragraphs
from flaxart.report.html.run_tables import left_out_table, notes, settings_table
from flaxart.report.html.score_tables import difference_table, main_tables, score_list
from flaxart.report.numbers.runs import LeftOut
from flaxart.report.tables import Scored
from tfds_rijks.progress import Progress
from tfds_rijks.words import counted

CAPTIONS = {'figure1': figure1.caption, 'figure2': figure2.caption}
NO_FIGURE = {
  'figure1': 'Figure 1 is not drawn: no finished single-task run recorded its val scores.',
  'figure2': 'Figure 2 is not drawn: none of the finished runs is multi-task.',
}


def page(
  scored: Sequence[Scored],
  left_out: Sequence[LeftOut],
  figures: Mapping[str, Mapping[str, bytes] | None],
  *,
  show_published: str,
  samples: int,
  public: bool,
) -> str:
  """The whole page as text. `figures`: `{'figure1': {'svg': ...} or None}`."""
  sections = [one.section for one in scored]
  runs = [run for section in sections for run in section.runs]
  experiments = sum(len(section.experiments) for section in sections)
  anchors = [f'section-{i}' for i in range(1, len(scored) + 1)]
  links = [
    ('#figures', 'Figures'),
    *((f'#{a}', section.dataset) for a, section in zip(anchors, sections, strict=True)),
    ('#settings', 'Settings'),
    ('#methods', 'Methods and references'),
  ]
  total = sum(len(section.experiments) for section in sections)
  progress = Progress('pictures of experiments', total, unit='experiment')
  parts: list[object] = [
    tag('h1', 'flaxart: report of finished runs'),
    tag(
      'p',
      f'{counted(len(runs), "finished run")}, {counted(experiments, "experiment")} (runs that '
      f'differ only in the seed are one), {len(left_out)} missing. All scores in percent.',
      class_='note',
    ),
    tag('nav', *(tag('a', text, href=href) for href, text in links)),
    *(tag('p', line, class_='warn') for line in notes(sections)),
    left_out_table(left_out),
    tag('h2', 'Figures', id='figures'),
  ]
  for name, files in figures.items():
    if files is None:
      parts.append(tag('p', NO_FIGURE[name]))
      continue
    text = CAPTIONS[name](sections, show_published=show_published)
    uri = data_uri(files['svg'], 'svg+xml')
    parts.append(picture(uri, alt=text, caption=text, class_=name))
  for anchor, one in zip(anchors, scored, strict=True):
    parts += _section(anchor, one, progress, samples=samples, public=public)
  progress.close()
  if runs:
    parts += [
      tag('h2', 'Settings', id='settings'),
      folded('Settings and versions of each run', settings_table(sections)),
      tag('h2', 'Methods and references', id='methods'),
      *(tag('p', text) for text in paragraphs(sections)),
      tag('pre', bibtex(runs), id='bibtex'),
    ]
  style = (importlib.resources.files('flaxart.report.html') / 'style.css').read_text('utf-8')
  return document('flaxart report', style, *parts)


def _section(
  anchor: str, one: Scored, progress: Progress, *, samples: int, public: bool
) -> list[Html]:
  section = one.section
  parts = [tag('h2', section.title, id=anchor)]
  if not section.experiments:
    return [*parts, tag('p', 'No run on this split was tested.')]
  parts += [tag('h3', 'Scores'), *main_tables(one), score_list(section)]
  found = figure2.matches([section])
  if found:
    parts.append(tag('h3', 'One network or one per task'))
    parts += [matched_table(match) for match in found]
  parts += [tag('h3', 'Differences'), difference_table(one.differences)]
  parts += [tag('h3', 'Cost'), cost_table(section)]
  parts.append(tag('h3', 'Experiment by experiment'))
  for experiment in section.experiments:
    parts.append(experiment_details(experiment, count=samples, public=public))
    progress.update(progress.done + 1)
  return [join([part]) for part in parts]
