"""Random pictures that a network named right and wrong, with object number and credit."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import numpy as np

from flaxart.data.source import Dataset, Split, open_dataset
from flaxart.report.figures.plotting import data_uri
from flaxart.report.numbers.answers import Answers, record_ids
from flaxart.report.numbers.runs import Run
from tfds_rijks import images
from tfds_rijks.errors import ImageError, UserError

SIDE = 150  # pixels of the longer side on the page
RIGHTS = ('rights', 'licence', 'license')  # features with a picture's rights
CREDITS = ('credit_line', 'credit', 'attribution')
# CC0 and public domain as museums write them; `edm:rights` has the addresses.
_FREE = re.compile(
  r'\bcc[- ]?0\b|creativecommons\.org/publicdomain/(zero|mark)/|\bpublic[- ]domain\b|'
  r'\bpubliek domein\b|\bdomaine public\b|\bgemeinfrei\b',
  re.IGNORECASE,
)
_DENIED = re.compile(r'\b(not|no|niet|non|nicht|pas)\b', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Sample:
  """One picture; `uri` holds it as JPEG. `credit` and `rights` are empty if unknown."""

  object_number: str
  uri: str
  truth: str
  said: str
  p: float
  credit: str
  rights: str


@dataclasses.dataclass(frozen=True)
class Samples:
  """Right and wrong pictures, the number withheld from the public, or why there are none."""

  right: tuple[Sample, ...] = ()
  wrong: tuple[Sample, ...] = ()
  hidden: int = 0
  missing: str = ''


def is_free(rights: str) -> bool:
  """Whether a rights statement says CC0 or public domain, without a negation."""
  return bool(_FREE.search(rights)) and not _DENIED.search(rights)


def samples(run: Run, task: str, answers: Answers | None, *, count: int, public: bool) -> Samples:
  """`count` right and `count` wrong pictures of a task with one label, sampled at random.

  `public` keeps only those with a rights statement of CC0 or public domain.
  """
  if not run.labels[task].one_class:
    return Samples(missing='sample pictures are shown for tasks with one label')
  if answers is None:
    return Samples(missing='predictions of this run: not recorded')
  dataset = test_split(run)
  if isinstance(dataset, str):
    return Samples(missing=dataset)
  split = dataset.split('test')
  index = {record: i for i, record in enumerate(record_ids(split.ids))}
  order = np.random.default_rng(0).permutation(len(answers.ids))
  found: dict[bool, list[Sample]] = {True: [], False: []}
  right = answers.task.right(answers.kept)
  assert right is not None  # of one class
  hidden = 0
  for row in order:
    chosen = found[bool(right[row])]
    if len(chosen) == count:
      if all(len(some) == count for some in found.values()):
        break
      continue
    sample = _sample(dataset, split, index[answers.ids[row]], answers, int(row))
    if sample is None or (public and not is_free(sample.rights)):
      hidden += 1
    else:
      chosen.append(sample)
  return Samples(tuple(found[True]), tuple(found[False]), hidden if public else 0)


@functools.lru_cache(maxsize=4)
def _open(dataset: str, data_dir: str) -> Dataset | str:
  try:
    return open_dataset(dataset, data_dir=data_dir, tasks=[], splits=['test'])
  except (UserError, OSError) as error:
    return str(error)


def test_split(run: Run) -> Dataset | str:
  """The dataset that the run was tested on, from where it was read; or a line why not."""
  data = run.config.data
  dataset = _open(data.dataset, data.data_dir)
  if isinstance(dataset, str):
    return f'the pictures no longer exist ({dataset})'
  same = 'test' in dataset.splits and dataset.split('test').sha256 == run.split_hash('test')
  if not same:
    return f'{dataset.path} holds another test split now; its pictures are not those of this run'
  return dataset


def _sample(dataset: Dataset, split: Split, i: int, answers: Answers, row: int) -> Sample | None:
  record = split.records[i]
  name = split.ids[i]
  try:
    image = images.decode(record['image'], name=name, short_side=SIDE)
  except ImageError:
    return None
  scale = SIDE / max(image.shape[:2])
  short = max(1, round(min(image.shape[:2]) * min(1.0, scale)))
  jpeg = images.encode_jpeg(images.reduce(image, short), quality=80)
  truth, said, p = answers.task.sample(answers.kept, row)
  return Sample(
    object_number=name,
    uri=data_uri(jpeg, 'jpeg'),
    truth=truth,
    said=said,
    p=p,
    credit=_first_text(dataset, record, CREDITS),
    rights=_first_text(dataset, record, RIGHTS),
  )


def _first_text(dataset: Dataset, record: dict[str, Any], names: tuple[str, ...]) -> str:
  """The first of these features that is not empty; a table's column may have become classes."""
  for name in names:
    value = record.get(name)
    feature: Any = dataset.features.get(name)
    if isinstance(value, bytes):
      value = value.decode('utf-8', errors='replace')
    elif value is not None and hasattr(feature, 'int2str'):
      value = feature.int2str(int(value)) if int(value) >= 0 else ''
    if isinstance(value, str) and value.strip():
      return value.strip()
  return ''
