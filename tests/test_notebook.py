"""The notebook in the docs runs as it stands, and what it shows is what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.full
FILE = Path(__file__).parents[1] / 'docs' / 'first_look.ipynb'


def printed(notebook, number):
  """The text on stdout of a cell of code."""
  cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
  return ''.join(o.text for o in cells[number].outputs if o.get('name') == 'stdout')


def same_anywhere(report):
  """Without the room on this disk and the time it took."""
  return re.sub(r'[\d.]+ GB free|prepared in [\d:]+', '', report)


def test_from_a_folder_of_pictures_to_a_confusion_matrix(tmp_path):
  nbformat = pytest.importorskip('nbformat', reason='needs nbclient')
  client = pytest.importorskip('nbclient')
  pytest.importorskip('ipykernel')
  stored = nbformat.read(FILE, as_version=4)
  fresh = nbformat.read(FILE, as_version=4)
  (training,) = (cell for cell in fresh.cells if 'train.epochs = 16, 6.0' in cell.source)
  training.source = training.source.replace('16, 6.0', '16, 1.0')  # seconds
  where = {'metadata': {'path': str(tmp_path)}}
  client.NotebookClient(fresh, timeout=300, resources=where).execute()

  assert len(list((tmp_path / 'pictures').glob('*.png'))) == 500
  report, shown = (same_anywhere(printed(notebook, 1)) for notebook in (fresh, stored))
  assert report == shown and 'train      400' in report
  for notebook in (stored, fresh):
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    texts = [o.text for o in outputs if o.get('name') == 'stderr']
    assert not any('Warning' in text or 'WARNING' in text for text in texts), texts
    table, figures, confusion = (o.data for o in outputs if 'data' in o)
    assert 'among them</th>' in table['text/html'] and 'resnet50 at 48 px' in table['text/plain']
    assert figures['image/png'] and confusion['image/png']
  assert 'file://' not in FILE.read_text() and str(Path.home()) not in FILE.read_text()
