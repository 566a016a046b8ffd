"""Finds pictures of one maker that are versions of one drawing: numbered, recoloured, inverted.

The builder finds equal pixels itself. It cannot know that `button_green_02` is `button_red_01` in
another colour: such pictures must not be in both train and test. The rule is rather broad, because
dividing a series makes test scores too good, and keeping one together does not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfds_rijks import images, pool, splits

SIDE = 32  # pixels of the grey version to compare
CORRELATION = 0.9  # of grey values, with either sign: an inverted drawing is the same drawing
COPY = 0.99  # above it pictures by different makers are one
_FLAT = 1.0  # standard deviation in grey levels below which a picture is blank and matches no other
# fmt: off
COLOURS = frozenset((
  'red', 'green', 'blue', 'yellow', 'orange', 'purple', 'pink', 'brown', 'black', 'white',
  'grey', 'gray', 'cyan', 'magenta', 'violet', 'seagreen', 'gold', 'golden', 'silver', 'dark',
  'light', 'color', 'colour', 'lime', 'teal', 'navy', 'aqua', 'turquoise', 'maroon', 'tan',
  'beige', 'bw', 'outline',
))
# fmt: on


def near_twins(paths: Sequence[Path], *, makers: Sequence[str]) -> list[int]:
  """For each picture the index of the first of its group.

  Two pictures of one maker are tied if their file names are equal without numbers, single letters
  and words for colours, or if their grey versions of 32 x 32 correlate by 0.9 or more.
  """
  keys: dict[str, list[str]] = {
    _id(i): [f'{maker}/{name_without_version(path.stem)}']
    for i, (path, maker) in enumerate(zip(paths, makers, strict=True))
  }
  looks = list(pool.run(_look, [str(path) for path in paths], what='looking for near twins'))
  by_maker: dict[str, list[int]] = defaultdict(list)
  for i, (look, maker) in enumerate(zip(looks, makers, strict=True)):
    if isinstance(look, np.ndarray):
      by_maker[maker].append(i)
  for members in by_maker.values():
    stacked = np.stack([looks[i] for i in members])  # [N, 1024], zero mean and unit norm
    for k, i in enumerate(members[:-1]):
      near = np.flatnonzero(np.abs(stacked[k + 1 :] @ stacked[k]) >= CORRELATION)
      for j in near:
        keys[_id(members[k + 1 + int(j)])].append(f'like {i}')
      if len(near):
        keys[_id(i)].append(f'like {i}')
  groups = splits.merge(keys)
  return [int(groups[_id(i)]) for i in range(len(paths))]


def found_in(paths: Sequence[Path], others: Sequence[Path]) -> set[int]:
  """Indices of the pictures that are, in grey and by any maker, one of `others` (or its negative).
  Flat ones never match, as there is nothing to compare.
  """
  looks = list(pool.run(_look, [str(p) for p in (*paths, *others)], what='looking for copies'))
  blank = np.zeros(SIDE * SIDE, np.float32)
  stacked = np.stack([look if isinstance(look, np.ndarray) else blank for look in looks])
  mine, theirs = stacked[: len(paths)], stacked[len(paths) :]
  likeness = np.abs(mine @ theirs.T).max(axis=1, initial=0)
  return set(np.flatnonzero(likeness >= COPY).tolist())


def name_without_version(stem: str) -> str:
  """'pill-button-green_benji_02' -> 'pill button benji'; a name of nothing else is kept."""
  words = [
    word for word in re.split(r'[\W\d_]+', stem.casefold()) if len(word) > 1 and word not in COLOURS
  ]
  return ' '.join(words) or stem


def _id(i: int) -> str:
  return f'{i:09d}'  # sorts as the number does: a group is named by its first picture


def _look(path: str) -> np.ndarray | None:
  image = images.decode(Path(path).read_bytes(), name=path, short_side=SIDE)
  grey = images.fit(image, SIDE, how='squash').astype(np.float32).mean(axis=2).ravel()
  if grey.std() < _FLAT:
    return None
  grey -= grey.mean()
  return grey / np.linalg.norm(grey)
