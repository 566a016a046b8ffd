"""The whole report from files to a page in a browser."""

from __future__ import annotations

import base64
import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_runs import CLASSES, figure2_grid, settings, write_run
from PIL import Image

from flaxart.data.source import open_dataset
from flaxart.report.__main__ import main, report
from flaxart.report.html import pictures
from flaxart.report.html.bibliography import bibtex, entries
from flaxart.report.numbers.answers import read_answers
from flaxart.report.numbers.runs import read_run
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare

ROOT = Path(__file__).parents[2]
HOSTILE = '<script>alert(1)</script>'


@pytest.fixture(scope='module')
def made(tmp_path_factory, collection):
  """Figure 2's runs, one on real pictures, a candidate, an unfinished one, one without extras."""
  folder = tmp_path_factory.mktemp('report')
  runs = figure2_grid(folder / 'runs', seeds=(0, 1))
  write_run(runs / 'scratch_s0', config=settings(tasks=['type'], mode='scratch'), skill=0.3)
  config = settings(tasks=['artist'], optim__learning_rate=0.5)
  write_run(runs / 'candidate', config=config, test=False)
  config = settings(tasks=['artist', 'type'], mode='scratch')
  write_run(runs / f'old {HOSTILE.replace("/", "")}', config=config, optional=False, version='0.9')
  real_run(runs / 'real', collection)
  unfinished = write_run(runs / 'unfinished', config=settings(tasks=['artist']))
  (unfinished / 'results.json').unlink()
  report(str(runs / '*'), folder / 'out', samples=2)
  return folder


def real_run(workdir, collection, **more):
  """A run on the prepared collection, so that its pictures can be shown."""
  dataset = open_dataset('collection', data_dir=collection, tasks=['artist'], splits=['test'])
  split = dataset.split('test')
  config = settings(tasks=['artist'], data__data_dir=str(collection), **more)
  classes = {'artist': (HOSTILE, '$x^2$', 'Cleo')}
  return write_run(
    workdir,
    config=config,
    ids=split.ids,
    groups=split.groups,
    labels=split.labels,
    classes=classes,
    version=dataset.version,
  )


def test_the_pictures_are_those_of_the_answers(tmp_path):
  (tmp_path / 's').mkdir()
  rows = [f'{i}.png,OBJ-{i // 6},{"ABC"[i % 3]},test' for i in range(24)]
  for i in range(24):
    Image.new('L', (40, 40), 10 * i).save(tmp_path / 's' / f'{i}.png')
  table = tmp_path / 's' / 'metadata.csv'
  table.write_text('\n'.join(['image,object_number,artist,split', *rows]))
  prepare('collection', manual_dir=tmp_path / 's', data_dir=tmp_path / 'd', min_per_class=1)
  run = read_run(real_run(tmp_path / 'run', tmp_path / 'd'))
  found = pictures.samples(run, 'artist', read_answers(run, 'artist'), count=8, public=False)
  assert found.right and found.wrong
  for sample in (*found.right, *found.wrong):
    with Image.open(io.BytesIO(base64.b64decode(sample.uri.partition(',')[2]))) as shown:
      i = round(np.asarray(shown).mean() / 10)
    assert sample.object_number == f'OBJ-{i // 6}'
    assert sample.truth == (HOSTILE, '$x^2$', 'Cleo')[i % 3]


class Page(html.parser.HTMLParser):
  """Tags, captions and addresses of a page."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.addresses, self.text = [], [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    self.addresses += [value for key, value in attrs if key in ('src', 'href')]

  def handle_data(self, data):
    self.text.append(data)


def test_all_files_are_there(made):
  assert sorted(p.name for p in (made / 'out').iterdir()) == [
    'figure1.png', 'figure1.svg', 'figure2.png', 'figure2.svg', 'report.html', 'tables.csv',
    'tables.json',
  ]  # fmt: skip


def test_nothing_is_loaded_from_elsewhere_and_no_label_is_markup(made):
  page = Page((made / 'out' / 'report.html').read_text())
  assert all(a.startswith(('data:', '#')) for a in page.addresses)
  assert not {'script', 'iframe'} & {tag for tag, _ in page.tags}
  assert HOSTILE in ''.join(page.text) and 'Anna <b>Bijns</b>' in ''.join(page.text)


def test_the_page_says_what_is_missing_and_what_was_not_recorded(made):
  text = ' '.join(Page((made / 'out' / 'report.html').read_text()).text)
  assert 'unfinished (no results.json)' in text and 'Missing: 1 run' in text
  assert 'this report covers 3 test splits' in text
  assert 'interval over objects: not recorded' in text
  assert 'Per-class table of type: not recorded' in text
  assert 'not tested: a setting tried on val' in text
  assert 'The one network took 33 % of their time' in text
  assert 'the pictures no longer exist' in text  # data_dir /nowhere
  assert 'are not those of this run' not in text


def test_scores_in_the_table_are_those_of_the_runs(made):
  rows = list(csv.DictReader((made / 'out' / 'tables.csv').read_text('utf-8-sig').splitlines()))
  (row,) = [r for r in rows if r['experiment'] == 'ResNet50, fine-tuned, multi-task'
            and r['task'] == 'type' and r['metric'] == 'top1']  # fmt: skip
  runs = [read_run(made / 'runs' / f'multi_s{seed}') for seed in (0, 1)]
  scores = [run.results['test']['type']['top1'] for run in runs]
  assert float(row['mean']) == pytest.approx(np.mean(scores))
  assert float(row['sd']) == pytest.approx(np.std(scores, ddof=1))
  assert float(row['objects_low']) < float(row['mean']) < float(row['objects_high'])
  assert [row[k] for k in ('largest_class', 'pixels16', 'label_only')] == ['0.25', '0.31', '0.42']
  assert 'candidate' not in {run['run'] for s in tables(made)['sections']
                             for e in s['experiments'] for run in e['runs']}  # fmt: skip


def tables(made):
  return json.loads((made / 'out' / 'tables.json').read_text())


def test_differences_have_interval_and_number_of_objects(made):
  (section, *_) = tables(made)['sections']
  (d,) = [d for d in section['differences'] if d['task'] == 'material']
  assert d['differ_in'] == 'tasks' and d['a'].endswith('multi-task')
  assert d['interval'][0] < d['a_minus_b'] < d['interval'][1]
  assert d['objects'] == d['records'] == 93 and d['over_seeds']['n'] == 2


def test_invented_objects_are_called_that_on_the_page_in_figures_and_in_the_methods(tmp_path):
  run = write_run(tmp_path / 'run', config=settings(tasks=['artist', 'type']))
  pages = []
  for invented in (False, True):
    stored = json.loads((run / 'results.json').read_text())
    stored['provenance']['invented'] = invented
    (run / 'results.json').write_text(json.dumps(stored))
    report(str(run), tmp_path / 'report', show_published='yes')
    pages.append((tmp_path / 'report' / 'report.html').read_text())
    figure = (tmp_path / 'report' / 'figure2.svg').read_text()
    assert ('invented objects' in figure) == invented
    assert ('the published values' in pages[-1]) == (not invented)
  real, drawn = pages
  assert 'nvented' not in real and 'drawn by flaxart' not in real
  assert drawn.count('(invented objects)') > 2
  assert 'its objects were drawn by flaxart; no score says anything about real ones' in drawn
  assert 'Its objects are invented, drawn by flaxart' in drawn


def test_the_same_runs_give_the_same_files(made, tmp_path):
  report(str(made / 'runs' / '*'), tmp_path, samples=2)
  for path in tmp_path.iterdir():
    assert path.read_bytes() == (made / 'out' / path.name).read_bytes(), path.name


def test_a_figure_of_an_earlier_report_does_not_stay(made, tmp_path):
  (tmp_path / 'figure2.png').write_bytes(b'old')
  report(str(made / 'runs' / 'scratch_s0'), tmp_path, samples=0)
  assert not (tmp_path / 'figure2.png').exists() and (tmp_path / 'figure1.png').exists()


def test_samples_are_right_and_wrong_with_their_numbers(made):
  run = read_run(made / 'runs' / 'real')
  answers = read_answers(run, 'artist')
  found = pictures.samples(run, 'artist', answers, count=2, public=False)
  assert len(found.right) == len(found.wrong) == 2
  assert all(one.truth == one.said for one in found.right)
  assert all(one.truth != one.said and one.uri.startswith('data:image/jpeg') for one in found.wrong)
  numbers = {one.object_number for one in (*found.right, *found.wrong)}
  assert numbers <= set(answers.ids)
  # No rights statement: nothing is shown in public.
  hidden = pictures.samples(run, 'artist', answers, count=2, public=True)
  assert not hidden.right and not hidden.wrong and hidden.hidden == len(answers.ids)


def test_pictures_of_another_split_are_not_shown(made, collection, tmp_path):
  config = settings(tasks=['artist'], data__data_dir=str(collection))
  run = read_run(write_run(tmp_path / 'a', config=config))
  assert 'another test split' in pictures.test_split(run)


@pytest.mark.parametrize(
  ('rights', 'free'),
  [
    ('https://creativecommons.org/publicdomain/zero/1.0/', True),
    ('http://creativecommons.org/publicdomain/mark/1.0/', True),
    ('CC0 1.0', True),
    ('Public Domain', True),
    ('publiek domein', True),
    ('https://creativecommons.org/licenses/by/4.0/', False),
    ('not in the public domain', False),
    ('Niet in het publiek domein', False),
    ('© VG Bild-Kunst', False),
    ('', False),
  ],
)
def test_only_cc0_and_public_domain_are_free(rights, free):
  assert pictures.is_free(rights) is free


def test_credit_and_rights_are_found_as_text_and_as_classes():
  licence = SimpleNamespace(int2str=lambda i: ('CC0', 'CC BY')[i])
  dataset = SimpleNamespace(features={'licence': licence, 'credit_line': None})
  record = {'credit_line': b'Gift of M. D\xc3\xbcrer', 'licence': np.int64(1), 'rights': b' '}
  found = [pictures._first_text(dataset, record, n) for n in (pictures.CREDITS, pictures.RIGHTS)]
  assert found == ['Gift of M. Dürer', 'CC BY']
  assert pictures._first_text(dataset, {'licence': np.int64(-1)}, pictures.RIGHTS) == ''


def test_bibtex_has_the_sources_of_the_runs(made):
  run = read_run(made / 'runs' / 'real')
  text = bibtex([run])
  assert '@software{flaxart' in text and 'he2016deep' in text and 'mensink' not in text
  assert 'MIT (Kaiming He)' in text and r'resnet50\_notop.h5' in text
  assert text.count('{') == text.count('}')
  cff = (ROOT / 'CITATION.cff').read_text()
  for key in ('sabatelli2018deep', 'mensink2014rijksmuseum'):
    title = re.search(r'title\s*=\s*\{(.*?)\},?\n', entries()[key])[1]
    assert re.sub(r'[{}]', '', title) in cff


@pytest.mark.parametrize('below', ['', 'reports/new'])
def test_an_output_folder_cannot_be_in_a_file(monkeypatch, tmp_path, below):
  (tmp_path / 'file').write_text('')
  output = tmp_path / 'file' / below
  monkeypatch.setattr(sys, 'argv', ['report', f'--runs={tmp_path}', f'--output={output}'])
  with pytest.raises(UserError, match='file is a file; give a folder'):
    main()


def test_without_matplotlib_it_says_what_to_install(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  with pytest.raises(UserError, match=r"pip install 'flaxart\[report\]'"):
    report(str(tmp_path / '*'), tmp_path / 'out')


def browser():
  return (
    shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
  )


@pytest.mark.chromium
@pytest.mark.skipif(browser() is None, reason='no chromium here (apt-get install chromium)')
def test_a_browser_shows_every_figure_and_table_without_errors(made, tmp_path):
  done = subprocess.run(
    [
      browser(), '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      f'--user-data-dir={tmp_path}', '--enable-logging=stderr', '--dump-dom',
      (made / 'out' / 'report.html').as_uri(),
    ],
    capture_output=True, text=True, timeout=120,
  )  # fmt: skip
  assert done.returncode == 0
  assert not [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
  page = Page(done.stdout)
  classes = [attrs.get('class') for tag, attrs in page.tags if tag == 'figure']
  assert classes.count('figure1') == classes.count('figure2') == 1
  # One picture of curves for each experiment; one matrix for each task with a table.
  experiments = [e for s in tables(made)['sections'] for e in s['experiments']]
  assert classes.count('curves') == len(experiments) == 7
  assert classes.count('right') == classes.count('wrong') == 2
  captions = ' '.join(page.text)
  for caption in (
    'Scores on the test split',
    'Balanced accuracy on the test split',
    'One network for all tasks against one per task',
    'differences on test objects',
    'Cost of training',
    'Settings and versions of each run',
    *(f'All test scores of {task}' for task in CLASSES),
    *(f'{task}: classes on the test split' for task in CLASSES),
    *(f'{task}: most frequent confusions' for task in CLASSES),
  ):
    assert caption in captions, caption
  images = [attrs['src'] for tag, attrs in page.tags if tag == 'img']
  assert len(images) == len(classes) and all(len(uri) > 500 for uri in images)
