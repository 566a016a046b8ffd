"""Label texts and class vocabularies: normalised, counted, with ids independent of order."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

RARE = '_rare'  # `artist_rare`: the text feature that keeps a label too rare to be a class


def normalise(text: str) -> str:
  """NFC, without control and zero-width characters, white space folded to single blanks.

  "Dürer" composed and decomposed are one name; so are "Jan  Steen " and "Jan Steen".
  """
  text = unicodedata.normalize('NFC', text)
  text = ''.join(
    c if unicodedata.category(c) not in ('Cc', 'Cf') else ' ' if c.isspace() else '' for c in text
  )
  return ' '.join(text.split())


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The classes of one task.

  `names` are sorted, and a class's id is its index; `counts` are the records of each; `dropped`
  lists the values that became missing, with their counts.
  """

  names: tuple[str, ...]
  counts: Mapping[str, int]
  dropped: Mapping[str, int]

  def id(self, name: str) -> int:
    """The class id, or -1 (missing) for a dropped or empty name."""
    return self._ids.get(name, -1)

  def ids(self, names: Iterable[str]) -> list[int]:
    """Class ids of several names, without the dropped ones, sorted and each once."""
    return sorted({self._ids[name] for name in names if name in self._ids})

  @property
  def _ids(self) -> dict[str, int]:
    if '_cache' not in self.__dict__:
      object.__setattr__(self, '_cache', {name: i for i, name in enumerate(self.names)})
    return self.__dict__['_cache']


def vocabulary(values: Iterable[str | Sequence[str]], *, min_per_class: int = 1) -> Vocabulary:
  """Counts values (one text or several per record; empty = missing) and drops the rare ones."""
  counts: Counter[str] = Counter()
  for value in values:
    for name in {value} if isinstance(value, str) else set(value):
      if name:
        counts[name] += 1
  kept = {name: n for name, n in counts.items() if n >= min_per_class}
  dropped = {name: n for name, n in counts.most_common() if name not in kept}
  return Vocabulary(tuple(sorted(kept)), {name: kept[name] for name in sorted(kept)}, dropped)


def gini(counts: Iterable[int]) -> float:
  """Gini coefficient of class sizes: 0 for equal classes, towards 1 for a long tail."""
  sizes = sorted(counts)
  total = sum(sizes)
  if not total:
    return 0.0
  weighted = sum((2 * i - len(sizes) - 1) * size for i, size in enumerate(sizes, start=1))
  return weighted / (len(sizes) * total)


def describe(values: Iterable[str | Sequence[str]], names: Vocabulary) -> dict[str, Any]:
  """The entry of a task in the build report: classes, labelled records, floor, Gini, dropped."""
  labelled = missing = 0
  for value in values:
    found = names.ids([value] if isinstance(value, str) else value)
    labelled, missing = labelled + bool(found), missing + (not found)
  largest = max(names.counts, key=lambda name: names.counts[name], default='')
  return {
    'classes': len(names.names),
    'labelled': labelled,
    'missing': missing,
    'largest_class': largest,
    'largest_class_share': names.counts[largest] / labelled if labelled else 0.0,
    'gini': round(gini(names.counts.values()), 4),
    'counts': dict(names.counts),
    'dropped_classes': dict(names.dropped),
  }


def skeleton(text: str) -> str:
  """Letters and digits without case and accents, which spellings of one name share."""
  text = unicodedata.normalize('NFKD', text.casefold())
  return ''.join(c for c in text if c.isalnum() and not unicodedata.combining(c))
