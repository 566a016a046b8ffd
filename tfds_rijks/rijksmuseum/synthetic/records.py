"""OAI Dublin Core records and `rijksgt.mat` as the Rijksmuseum Challenge distributes them.

The format is that of the museum's OAI set of 2012 (`oai_dc` only), with the traps of the real
files: see `oai.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

NAMESPACES = (
  'xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" '
  'xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
RIGHTS = 'https://creativecommons.org/publicdomain/zero/1.0/'
ANONYMOUS, UNKNOWN = 'anoniem', 'unknown'  # the last two entries of `Cnames`
ENCODINGS = ('utf-8', 'undeclared', 'cp1252-as-utf-8', 'utf-8-as-latin-1')


@dataclass(frozen=True)
class Work:
  """One record of the museum: the content of its XML. Years are None if undatable."""

  stem: str
  number: str
  title: str
  creators: tuple[str, ...]
  types: tuple[str, ...]
  materials: tuple[str, ...]
  techniques: tuple[str, ...]
  years: tuple[int, int] | None


def oai_dc(work: Work, *, declared: bool = True, encoding: str = 'utf-8') -> bytes:
  """The XML file. `declared`: with namespace declarations; `encoding`: one of `ENCODINGS`."""
  number = work.number
  index = int(work.stem.split('_', 1)[0])
  elements = [
    ('identifier', number),
    ('identifier', f'RM0001.COLLECT.{index}'),
    ('title', work.title),
  ]
  elements += [('creator', creator) for creator in work.creators]
  elements += [('type', kind) for kind in work.types]
  elements += [
    ('format', f'http://www.rijksmuseum.nl/images/aria/{number}.z'),
    ('format', f'http://www.rijksmuseum.nl/collectie/{number}'),
    ('format', 'h 210 mm x b 160 mm'),
  ]
  elements += [('format', f'materiaal: {material}') for material in work.materials]
  elements += [('format', f'techniek: {technique}') for technique in work.techniques]
  if work.years:
    elements.append(('date', f'{work.years[0]} - {work.years[1]}'))
    elements.append(('coverage', f'{work.years[0] // 100 + 1}e eeuw'))
  elements += [
    ('publisher', 'Rijksmuseum'),
    ('rights', RIGHTS),
    ('contributor', 'Schenking van de Tekenaar van dit Museum'),
    ('language', 'Dutch'),
  ]
  body = '\n'.join(f'      <dc:{tag}>{escape(text)}</dc:{tag}>' for tag, text in elements)
  text = (
    '<record>\n  <header>\n'
    f'    <identifier>oai:rijksmuseum.nl/collection:{escape(number)}</identifier>\n'
    '    <datestamp>2012-10-26T09:44:38Z</datestamp>\n  </header>\n  <metadata>\n'
    f'    <oai_dc:dc{" " + NAMESPACES if declared else ""}>\n{body}\n    </oai_dc:dc>\n'
    '  </metadata>\n</record>\n'
  )
  if encoding == 'undeclared':
    return text.encode()
  if encoding == 'cp1252-as-utf-8':
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode('cp1252', 'xmlcharrefreplace')
  if encoding == 'utf-8-as-latin-1':
    return ('<?xml version="1.0" encoding="ISO-8859-1"?>\n' + text).encode()
  return ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode()


def write_ground_truth(
  path: Path, works: Sequence[Work | None], *, names: Mapping[str, str], sets: np.ndarray
) -> None:
  """Writes the struct `gt` with one row per work, in the order given (sorted stems).

  Args:
    path: the `.mat` file.
    works: None is a row about which nothing is known.
    names: from the creator string to the creator's name in `Cnames` (`anoniem` if anonymous).
    sets: int [N], 1 = train, 2 = val, 3 = test.
  """
  from scipy import io, sparse  # here: preparing a dataset without `.mat` does not need scipy

  creators = [
    UNKNOWN if work is None or not work.creators else names[work.creators[0]].lower()
    for work in works
  ]
  creator_names = [*sorted(set(creators) - {ANONYMOUS, UNKNOWN}), ANONYMOUS, UNKNOWN]
  gt: dict[str, object] = {'N': len(works), 'set': sets.reshape(-1, 1).astype(np.uint8)}
  rows = {name: i for i, name in enumerate(creator_names)}
  gt['C'] = np.array([[rows[name] + 1] for name in creators], np.uint16)
  gt['Cnames'] = _cell(creator_names)
  gt['Ccount'] = np.bincount([rows[name] for name in creators], minlength=len(rows)).reshape(-1, 1)
  for key, labels in (
    ('T', [work.types if work else () for work in works]),
    ('M', [work.materials if work else () for work in works]),
  ):
    vocabulary = sorted({label for one in labels for label in one})
    column = {label: i for i, label in enumerate(vocabulary)}
    matrix = sparse.lil_matrix((len(works), len(vocabulary)))
    for i, one in enumerate(labels):
      for label in one:
        matrix[i, column[label]] = 1
    gt[key], gt[f'{key}names'] = matrix.tocsc(), _cell(vocabulary)
  gt['Y'] = np.array([work.years if work and work.years else (0, 0) for work in works], np.int16)
  io.savemat(path, {'gt': gt}, do_compression=True)


def _cell(names: Sequence[str]) -> np.ndarray:
  """A Matlab cell array of strings, [N, 1]."""
  cell = np.empty((len(names), 1), object)
  cell[:, 0] = names
  return cell
