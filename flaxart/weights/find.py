"""`init=imagenet`: finds ImageNet weights in the caches of other programs, or downloads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from flaxart.machine.files import user_cache
from flaxart.models import card_of
from flaxart.models.card import Card, File
from flaxart.weights.convert import convert
from flaxart.weights.download import by_hand, fetch
from flaxart.weights.file import is_sealed, sha256_of_file, write
from flaxart.weights.official import check, check_sha256
from tfds_rijks.errors import UserError

ENVIRONMENT = 'FLAXART_WEIGHTS'
Candidate = tuple[str, Path]  # library, file


def find_imagenet(model: str, *, download: bool = True) -> Path:
  """A converted weights file of the network.

  Looks in `$FLAXART_WEIGHTS` (a converted file, or a folder with `MODEL.safetensors` or an official
  file), then in Keras's, torch-hub's and Hugging Face's caches, and finally downloads Keras's
  official file. Originals are checked against their published hash and converted into the cache
  folder.

  Raises:
    UserError: nothing found; says what to fetch, from where, and where to put it.
  """
  card = card_of(model, field='model')
  given = _given(card)
  if given is not None:
    return given
  for library, path in cached_originals(card):
    return _converted(model, library, path)
  nowhere = (
    f'init=imagenet: no weights of {model} in ${ENVIRONMENT} or the caches of Keras, torch-hub and '
    'Hugging Face'
  )
  if card.official is None:
    raise UserError(f'{nowhere}, and none to download; convert a file of them, or use init=scratch')
  source, official = card.official
  if not download:
    raise UserError(f'{nowhere}; {by_hand(official, user_cache("weights"))}')
  try:
    return _converted(model, source.library, fetch(official, user_cache('weights')))
  except UserError as error:
    raise UserError(f'{nowhere}, and the download failed: {error}') from None


def _given(card: Card) -> Path | None:
  """The file that `$FLAXART_WEIGHTS` names; raises `UserError` if it lacks this network."""
  value = os.environ.get(ENVIRONMENT)
  if not value:
    return None
  path = Path(value).expanduser()
  if path.is_file():
    return path  # its network is checked when it is loaded
  if not path.is_dir():
    raise UserError(
      f'${ENVIRONMENT}: {path} does not exist; set it to a folder or a file, or unset it'
    )
  converted = path / f'{card.name}.safetensors'
  if converted.is_file():
    return converted
  for source, original in _in_folder(card, path):
    return _converted(card.name, source, original)
  names = [converted.name, *(file.name for _, file in _files(card))]
  raise UserError(
    f'${ENVIRONMENT}: {path} has none of {", ".join(names)}; put one there, or unset '
    'the variable' + (f'; {by_hand(card.official[1], path)}' if card.official else '')
  )


def cached_originals(card: Card) -> Iterator[Candidate]:
  """Originals downloaded by other programs, in order of preference, with checked hashes."""
  home = Path('~').expanduser()
  cache = Path(os.environ.get('XDG_CACHE_HOME') or home / '.cache')
  keras = Path(os.environ.get('KERAS_HOME') or home / '.keras') / 'models'
  torch = Path(os.environ.get('TORCH_HOME') or cache / 'torch') / 'hub' / 'checkpoints'
  for folder in (keras, torch, user_cache('weights')):
    yield from _in_folder(card, folder)
  hub = Path(
    os.environ.get('HF_HUB_CACHE')
    or Path(os.environ.get('HF_HOME') or cache / 'huggingface') / 'hub'
  )
  timm = card.source('timm')
  for file in timm.files if timm else ():
    snapshots = hub / f'models--{file.repository.replace("/", "--")}' / 'snapshots'
    for path in sorted(snapshots.glob('*/model.safetensors')):
      blob = path.resolve().name  # the hub's cache names large files by their SHA-256 ...
      if re.fullmatch(r'[0-9a-f]{64}', blob):  # ... but not without links
        check_sha256(path, begins=blob)
        yield 'timm', path


def _in_folder(card: Card, folder: Path) -> Iterator[Candidate]:
  """Official files under their own names."""
  for library, file in _files(card):
    if (folder / file.name).is_file():
      check(file, folder / file.name)
      yield library, folder / file.name


def _files(card: Card) -> list[tuple[str, File]]:
  """Library and file of all single published files; timm's are repositories."""
  return [(s.library, file) for s in card.sources if s.library != 'timm' for file in s.files]


def _converted(model: str, source: str, path: Path) -> Path:
  """The converted form of an original, from the cache folder if converted before."""
  digest = sha256_of_file(path)[:16]
  target = user_cache('weights') / f'{model}-{source}-{digest}.safetensors'
  if not target.exists() or not is_sealed(target):  # or it is of an earlier version
    write(convert(model, source=source, path=path), target)
  return target
