"""Pictures in a folder, and the network's answer for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np

from flaxart.machine.one_behind import one_behind
from flaxart.net import Net
from tfds_rijks.budget import Budget
from tfds_rijks.errors import UserError
from tfds_rijks.formats import heif
from tfds_rijks.images import BYTES_PER_PIXEL, MAX_PIXELS, SUFFIXES, ImageError, decoding_bytes
from tfds_rijks.listing import entries, is_picture
from tfds_rijks.passed_over import reason
from tfds_rijks.picture_file import MAX_BYTES, load
from tfds_rijks.progress import Progress

# Reasons that the row gives in detail.
TELLING = ('unknown format', 'pixel type not supported', heif.MISSING)
ENCODED = MAX_BYTES  # of files that are held at a time
DECODED = BYTES_PER_PIXEL * MAX_PIXELS  # taken by decoding at a time
Answer = dict[str, np.ndarray] | str  # probabilities per task, or the reason why there are none


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
      return f'{error.reason}: {error.detail}' if error.reason in TELLING else error.reason
    except OSError as error:
      return f'cannot be opened: {error.strerror}'
    except MemoryError:
      return 'too large for the memory of this machine'

  with ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(paths), 256):
      part = paths[start : start + 256]
      yield from zip(part, pool.map(read, part), strict=True)


def predict_pictures(
  net: Net, folder: Path, paths: list[str], *, batch_size: int
) -> dict[str, Answer]:
  """Probabilities of every readable picture, the reason for every other, in the order given."""
  answers: dict[str, Answer] = {}
  progress = Progress('predicting', len(paths), unit='img')

  def dispatched() -> Iterator[tuple[list[str], dict[str, jax.Array]]]:
    batch: dict[str, np.ndarray] = {}
    for done, (path, picture) in enumerate(read_pictures(net, folder, paths), start=1):
      if isinstance(picture, str):
        answers[path] = picture
      else:
        batch[path] = picture
      if batch and (len(batch) == batch_size or done == len(paths)):
        images = np.zeros((batch_size, net.image_size, net.image_size, 3), np.uint8)  # one shape
        images[: len(batch)] = np.stack(list(batch.values()))
        yield list(batch), net.dispatched(images)
        batch.clear()
      progress.update(done)

  for batch, result in one_behind(dispatched()):
    probabilities = jax.tree.map(np.asarray, result)
    for i, path in enumerate(batch):
      answers[path] = {task: values[i] for task, values in probabilities.items()}
  progress.close()
  return {path: answers[path] for path in paths}


def average_objects(answers: Mapping[str, Answer], ids: Mapping[str, str]) -> dict[str, Answer]:
  """One answer per object, under the path of its first picture: the mean over readable pictures.

  A picture without a record number stays an object of its own.
  """
  objects: dict[str, list[str]] = {}
  for path in answers:
    objects.setdefault(ids.get(path) or f'\0{path}', []).append(path)
  result: dict[str, Answer] = {}
  for paths in objects.values():
    good = [a for p in paths if not isinstance(a := answers[p], str)]
    result[paths[0]] = (
      {task: np.mean([a[task] for a in good], axis=0) for task in good[0]}
      if good
      else answers[paths[0]]
    )
  return result
