"""Pictures in a folder, and the network's answer for each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np

from flaxart.data.any_picture import reason_of
from flaxart.evaluation.answer import Answer, Probabilities
from flaxart.machine.one_behind import one_behind
from flaxart.net import Net
from tfds_rijks.budget import Budget
from tfds_rijks.errors import UserError
from tfds_rijks.images import BYTES_PER_PIXEL, MAX_PIXELS, SUFFIXES, ImageError, decoding_bytes
from tfds_rijks.listing import entries, is_picture
from tfds_rijks.passed_over import reason
from tfds_rijks.picture_file import MAX_BYTES, load
from tfds_rijks.progress import Progress

ENCODED = MAX_BYTES  # of files that are held at a time
DECODED = BYTES_PER_PIXEL * MAX_PIXELS  # taken by decoding at a time


def find_pictures(folder: Path) -> tuple[list[str], dict[str, str]]:
  """Relative paths of the pictures below `folder`, sorted, and why each other file is not one.

  Like `tfds_rijks.prepare`, skips hidden files and folders of thumbnails. Pipes, devices and links
  out of the folder are not opened.
  """
  if not folder.is_dir():
    raise UserError(f'--images: {folder} is not a folder; give the folder of the pictures')
  paths: list[str] = []
  others: dict[str, str] = {}

  try:
    for path, why in entries(folder, inside=True):
      relative = path.relative_to(folder).as_posix()
      if is_picture(path) and not why:
        paths.append(relative)
      else:
        others[relative] = why or reason(path, within=folder)
  except OSError as error:
    raise UserError(
      f'--images: {error.filename} cannot be opened ({error.strerror}); make it readable, or '
      'move it away'
    ) from None
  if not paths:
    raise UserError(
      f'--images: {folder} has no picture ({", ".join(sorted(SUFFIXES))}) among '
      f'{len(others)} files; give the folder of the pictures'
    )
  return sorted(paths), others


def read_pictures(
  net: Net, folder: Path, paths: list[str]
) -> Iterator[tuple[str, np.ndarray | str]]:
  """Squares for the network, or reasons; threads decode a few hundred pictures ahead, together in
  at most `ENCODED` and `DECODED` bytes.
  """
  encoded, decoded = Budget(ENCODED), Budget(DECODED)

  def read(path: str) -> np.ndarray | str:
    try:
      with encoded.hold((folder / path).stat().st_size):
        data = load(folder / path, name=path, within=folder)
        with decoded.hold(decoding_bytes(data, name=path, short_side=net.image_size)):
          return net.square(data, name=path)
    except ImageError as error:
      return reason_of(error)
    except OSError as error:
      return f'cannot be opened: {error.strerror}'
    except MemoryError:
      return 'too large for the memory of this machine'

  with ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(paths), 256):
      part = paths[start : start + 256]
      yield from zip(part, pool.map(read, part), strict=True)


def predict_pictures(
  net: Net, folder: Path, paths: list[str], *, batch_size: int, progress: Progress | None = None
) -> Iterator[list[tuple[str, Answer]]]:
  """Probabilities of every readable picture, the reason for every other: in the order given, one
  batch at a time.
  """

  def dispatched() -> Iterator[tuple[list[tuple[str, str]], dict[str, jax.Array]]]:
    part: list[tuple[str, str]] = []  # with the reason, if any
    squares: list[np.ndarray] = []
    for done, (path, picture) in enumerate(read_pictures(net, folder, paths), start=1):
      if isinstance(picture, str):
        part.append((path, picture))
      else:
        part.append((path, ''))
        squares.append(picture)
      if len(squares) == batch_size or done == len(paths):
        images = np.zeros((batch_size, net.image_size, net.image_size, 3), np.uint8)  # one shape
        if squares:
          images[: len(squares)] = np.stack(squares)
        yield part, net.dispatched(images) if squares else {}
        part, squares = [], []
      if progress:
        progress.update(progress.start + done)

  for part, result in one_behind(dispatched()):
    probabilities = jax.tree.map(np.asarray, result)
    place = 0
    answers: list[tuple[str, Answer]] = []
    for path, why in part:
      answers.append((path, why or {task: x[place] for task, x in probabilities.items()}))
      place += not why
    yield answers


def of_objects(
  batches: Iterable[list[tuple[str, Answer]]], objects: Sequence[Sequence[str]]
) -> Iterator[list[tuple[int, Answer]]]:
  """For each batch, the places of the objects that are complete with it, and their answers.

  `batches` are of the pictures of all objects, in this order. An object's answer is the mean over
  its readable pictures.
  """
  places = iter(enumerate(objects))
  missing, reason = 0, ''
  good: list[Probabilities] = []
  for batch in batches:
    complete: list[tuple[int, Answer]] = []
    for _, answer in batch:
      if not missing:
        place, pictures = next(places)
        missing, good, reason = len(pictures), [], ''
      if isinstance(answer, str):
        reason = reason or answer
      else:
        good.append(answer)
      missing -= 1
      if not missing:
        complete.append((place, _mean(good) if good else reason))
    yield complete


def objects_of(paths: Sequence[str], ids: Mapping[str, str]) -> list[list[str]]:
  """The pictures of each object, in the order of its first one; without a number, one alone."""
  objects: dict[str, list[str]] = {}
  for path in paths:
    objects.setdefault(ids.get(path) or f'\0{path}', []).append(path)
  return list(objects.values())


def _mean(answers: Sequence[Probabilities]) -> Probabilities:
  if len(answers) == 1:
    return answers[0]
  return {task: np.mean([one[task] for one in answers], axis=0) for task in answers[0]}
