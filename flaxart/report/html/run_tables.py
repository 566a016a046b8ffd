"""Settings and versions of each run, and the folders without numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flaxart.config import FOLDERS, default_config, flat
from flaxart.report.html.markup import Html, join, table, tag
from flaxart.report.html.score_tables import percent
from flaxart.report.numbers.experiments import Section
from flaxart.report.numbers.runs import LeftOut, Run
from tfds_rijks.words import counted

HIDDEN = {'seed', *FOLDERS}  # in a column of its own, or a private path


def left_out_table(left_out: Sequence[LeftOut]) -> Html:
  """Unfinished and unreadable runs; empty if there are none."""
  if not left_out:
    return Html('')
  rows = [[one.path.name, one.reason] for one in left_out]
  return tag(
    'div',
    table(['run', 'why it has no numbers'], rows, name=f'Missing: {counted(len(left_out), "run")}'),
    class_='warn',
  )


def settings_table(sections: Sequence[Section]) -> Html:
  """Every run with its settings that differ from the defaults, versions, weights and hardware."""
  head = [
    'run',
    'seed',
    'settings that differ from the defaults',
    'tried',
    'best step',
    'weights',
    'versions and hardware',
    'data',
  ]
  rows = []
  for section in sections:
    for run in section.runs:
      state = ''
      if run in section.candidates:
        state = 'not tested: a setting tried on val'
      elif run in section.repeated:
        state = 'not counted: its experiment has this seed already'
      rows.append([join([run.name, tag('small', state)] if state else [run.name]), *_cells(run)])
  return table(head, rows, name='Settings and versions of each run')


def _cells(run: Run) -> list[object]:
  defaults = flat(default_config())
  changed = [
    f'{key}={value}'
    for key, value in sorted(run.settings.items())
    if key not in HIDDEN and defaults.get(key) != value
  ]
  about = run.provenance.get('weights') or {}
  sha = about.get('sha256')
  weights = join(
    [str(about.get('source', 'not recorded')), *([tag('small', str(sha)[:16])] if sha else [])]
  )
  commit = run.provenance.get('commit')
  packages, hardware = (run.provenance.get(key, {}) for key in ('packages', 'hardware'))
  versions = join(
    [
      f'flaxart {run.provenance["version"]}',
      tag('small', f'commit {commit[:12]}' if commit else 'commit not recorded'),
      *(tag('small', f'{name} {version}') for name, version in packages.items()),
      *(tag('small', f'{key} {value}') for key, value in hardware.items()),
    ]
  )
  splits = join(
    tag('small', f'{name} {entry["records"]:,} ({entry["sha256"][:8]})')
    for name, entry in run.provenance['splits'].items()
  )
  tried = [
    tag('small', f'{one["name"]}: {_val(run, one)}') for one in run.train.get('settings', [])
  ]
  return [
    run.seed,
    join(tag('small', text) for text in changed),
    join([run.settings_tried, *tried]),
    run.train.get('best_step', '–'),
    weights,
    versions,
    join([run.dataset, splits]),
  ]


def _val(run: Run, setting: Mapping[str, Any]) -> str:
  """The best val score of a setting; earlier versions stored a loss as a negative score."""
  loss, score = setting.get('val_loss'), setting.get('val')
  if loss is None and score is not None and run.config.checkpoint.best == 'loss':
    loss, score = -score, None
  if loss is not None:
    return f'val loss {loss:.3f}'
  return f'val {percent(score)} %' if score is not None else 'no val score'


def notes(sections: Sequence[Section]) -> list[str]:
  """One line for each thing that a reader of the tables must know."""
  lines = [
    f'{section.title}: its objects were drawn by flaxart; no score says anything about real ones.'
    for section in sections
    if section.invented
  ]
  if len(sections) > 1:
    lines.append(
      f'this report covers {len(sections)} test splits; runs are only compared within a section: '
      + '; '.join(section.title for section in sections)
      + '.'
    )
  for section in sections:
    for run in section.repeated:
      lines.append(
        f'{run.name} has the settings and the seed {run.seed} of another run, so it is not counted.'
      )
    for experiment in section.experiments:
      versions = {(r.provenance['version'], r.provenance.get('commit')) for r in experiment.runs}
      if len(versions) > 1:
        lines.append(
          f'{experiment.label} ({", ".join(experiment.tasks)}): its seeds were run '
          f'with {len(versions)} versions of the code; see the settings.'
        )
    if section.candidates:
      lines.append(
        f'{counted(len(section.candidates), "run")} on {section.dataset} only tried a setting '
        'on val: shown only in the table of settings.'
      )
  return lines
