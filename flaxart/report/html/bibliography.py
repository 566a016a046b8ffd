"""BibTeX for a report: software, papers, datasets and weights."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Sequence

from flaxart.models import cards
from flaxart.models.card import Paper
from flaxart.report.numbers.runs import INVENTED, Run

PAPERS = ('sabatelli2018deep', 'sabatelli_improving')
DATASETS = {'rijksmuseum': 'mensink2014rijksmuseum'}
BALANCED = 'tonkes2022how'  # the paper behind the configs balanced30_*


def entries() -> dict[str, str]:
  """`{key: entry}` of `references.bib`."""
  text = (importlib.resources.files('flaxart.report.html') / 'references.bib').read_text('utf-8')
  return {
    found[1]: found[0]
    for found in re.finditer(r'^@\w+\{(\w+),.*?^\}', text, re.DOTALL | re.MULTILINE)
  }


def bibtex(runs: Sequence[Run]) -> str:
  """The entries for these runs, software first."""
  known = entries()
  keys = [*PAPERS]
  names = {str(run.provenance['dataset']) for run in runs}
  keys += [key for name, key in DATASETS.items() if any(n.partition('/')[0] == name for n in names)]
  keys += [BALANCED] if any('balanced30' in name for name in names) else []
  models = {run.model for run in runs}
  papers = [_paper(card.paper) for card in cards().values() if card.name in models]
  own = [*papers, *_datasets(runs), *_weights(runs)]
  return '\n\n'.join([_software(runs), *(known[key] for key in keys), *own]) + '\n'


def _paper(paper: Paper) -> str:
  return _entry(
    'inproceedings',
    paper.key,
    author=paper.authors,
    title=paper.title,
    booktitle=paper.venue,
    year=str(paper.year),
    note=f'arXiv:{paper.arxiv}',
  )


def _software(runs: Sequence[Run]) -> str:
  versions = sorted({_version(run) for run in runs})
  return _entry(
    'software',
    'flaxart',
    author='{The flaxart authors}',
    title='{flaxart}: recognising the artist, the material and the type of museum objects',
    version=', '.join(versions),
    license='Apache-2.0',
  )


def _version(run: Run) -> str:
  commit = run.provenance.get('commit')
  return f'{run.provenance["version"]}{f" ({commit[:12]})" if commit else ""}'


def _datasets(runs: Sequence[Run]) -> Iterable[str]:
  for key in sorted({run.data_key for run in runs}, key=str):
    dataset, version = key[0].removesuffix(INVENTED).rsplit(' ', 1)
    hashes = [
      f'{name} {str(value)[:16]}'
      for name, value in zip(('train', 'val', 'test'), key[1:], strict=True)
      if value
    ]
    kind = 'Invented objects, drawn by flaxart' if key[0].endswith(INVENTED) else 'TFDS dataset'
    note = f'{kind}, as prepared; SHA-256 of the sorted ids begins: {", ".join(hashes)}'
    yield _entry(
      'misc',
      f'data_{_slug(key[0])}_{str(key[1])[:6]}_{str(key[3])[:6]}',
      title=f'{{{_plain(dataset)}}}',
      version=version,
      note=note,
    )


def _weights(runs: Sequence[Run]) -> Iterable[str]:
  seen = {}
  for run in runs:
    about = run.provenance.get('weights') or {}
    if about.get('sha256') and about.get('source_file'):
      seen[about['sha256']] = about
  for sha256, about in sorted(seen.items()):
    yield _entry(
      'misc',
      f'weights_{_slug(about.get("model", "trunk"))}_{sha256[:6]}',
      title=f'Weights of {_plain(about.get("model", "the trunk"))}, '
      f'{_plain(about.get("source", ""))} file {_plain(about["source_file"])}',
      note=_plain(
        '; '.join(str(about[key]) for key in ('citation', 'licence') if about.get(key))
        + f'; SHA-256 of the tensors {sha256[:16]}'
      ),
    )


def _entry(kind: str, key: str, **fields: str) -> str:
  width = max(map(len, fields))
  lines = [f'  {name.ljust(width)} = {{{value}}}' for name, value in fields.items()]
  return f'@{kind}{{{key},\n' + ',\n'.join(lines) + '\n}'


def _slug(text: str) -> str:
  return re.sub(r'\W+', '_', text).strip('_')


def _plain(text: object) -> str:
  """Text escaped for BibTeX."""
  return re.sub(r'([&%$#_{}])', r'\\\1', str(text))
