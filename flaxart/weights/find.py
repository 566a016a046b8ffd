"""`init=imagenet`: finds ImageNet weights where other programs left them, or downloads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from flaxart.machine.files import user_cache
from flaxart.models import MODELS
from flaxart.weights import file
from flaxart.weights.convert import convert
from flaxart.weights.download import by_hand, fetch
from flaxart.weights.official import KERAS_FILES, TIMM_REPOSITORIES, TORCHVISION_FILES
from tfds_rijks.errors import UserError

ENVIRONMENT = 'FLAXART_WEIGHTS'
Candidate = tuple[str, Path]  # source, file


def find_imagenet(model: str, *, download: bool = True) -> Path:
  """A converted weights file of the network.

  Looks in `$FLAXART_WEIGHTS` (a converted file, or a folder with `MODEL.safetensors` or an official
  file), then in Keras's, torch-hub's and Hugging Face's caches, and last downloads Keras's official
  file. Originals are checked against their published hash and converted into the cache folder.

  Raises:
    UserError: nothing was found; says what to fetch, from where, and where to put it.
  """
  if model not in MODELS:
    raise UserError(f'model: found {model!r}, expected one of {", ".join(MODELS)}')
  given = _given(model)
  if given is not None:
    return given
  official = KERAS_FILES[model]
  for source, path in cached_originals(model):
    return _converted(model, source, path)
  if download:
    try:
      return _converted(model, 'keras', fetch(official, user_cache('weights')))
    except UserError as error:
      raise UserError(
        f'init=imagenet: no weights of {model} in ${ENVIRONMENT} or the caches of '
        f'Keras, torch-hub and Hugging Face, and the download failed: {error}'
      ) from None
  raise UserError(
    f'init=imagenet: no weights of {model} in ${ENVIRONMENT} or the caches of Keras, '
    f'torch-hub and Hugging Face; {by_hand(official, user_cache("weights"))}'
  )


def _given(model: str) -> Path | None:
  """What `$FLAXART_WEIGHTS` points to; a file or folder without this network is an error."""
  value = os.environ.get(ENVIRONMENT)
  if not value:
    return None
  path = Path(value).expanduser()
  if path.is_file():
    return path  # which network it holds is checked when it is loaded
  if not path.is_dir():
    raise UserError(
      f'${ENVIRONMENT}: {path} does not exist; set it to a folder or a file, or unset it'
    )
  converted = path / f'{model}.safetensors'
  if converted.is_file():
    return converted
  for source, original in _in_folder(model, path):
    return _converted(model, source, original)
  names = [converted.name, KERAS_FILES[model].name, *TORCHVISION_FILES.get(model, ())]
  raise UserError(
    f'${ENVIRONMENT}: {path} has none of {", ".join(names)}; put one there, or unset '
    f'the variable; {by_hand(KERAS_FILES[model], path)}'
  )


def cached_originals(model: str) -> Iterator[Candidate]:
  """Originals that other programs have downloaded, in the order of preference, hashes checked."""
  home = Path('~').expanduser()
  cache = Path(os.environ.get('XDG_CACHE_HOME') or home / '.cache')
  keras = Path(os.environ.get('KERAS_HOME') or home / '.keras') / 'models'
  torch = Path(os.environ.get('TORCH_HOME') or cache / 'torch') / 'hub' / 'checkpoints'
  for folder in (keras, torch, user_cache('weights')):
    yield from _in_folder(model, folder)
  hub = Path(
    os.environ.get('HF_HUB_CACHE')
    or Path(os.environ.get('HF_HOME') or cache / 'huggingface') / 'hub'
  )
  for repository in TIMM_REPOSITORIES[model]:
    snapshots = hub / f'models--{repository.replace("/", "--")}' / 'snapshots'
    for path in sorted(snapshots.glob('*/model.safetensors')):
      blob = path.resolve().name  # the hub's cache names large files by their SHA-256 ...
      if re.fullmatch(r'[0-9a-f]{64}', blob):  # ... but not without links
        _check_prefix(path, blob)
        yield 'timm', path


def _in_folder(model: str, folder: Path) -> Iterator[Candidate]:
  """Official files by their own names."""
  keras = folder / KERAS_FILES[model].name
  if keras.is_file():
    KERAS_FILES[model].check(keras)
    yield 'keras', keras
  for name in TORCHVISION_FILES.get(model, ()):
    if (folder / name).is_file():
      _check_prefix(folder / name, name.rsplit('-', 1)[1].removesuffix('.pth'))
      yield 'torchvision', folder / name


def _check_prefix(path: Path, prefix: str) -> None:
  """Raises `UserError` unless the file's SHA-256 begins with `prefix`."""
  found = file.sha256_of_file(path)
  if not found.startswith(prefix):
    raise UserError(
      f'{path}: found SHA-256 {found[:16]}…, expected {prefix[:16]}…; it is damaged: '
      'delete it and fetch it again'
    )


def _converted(model: str, source: str, path: Path) -> Path:
  """The converted form of an original, from the cache folder if it was converted before."""
  digest = file.sha256_of_file(path)[:16]
  target = user_cache('weights') / f'{model}-{source}-{digest}.safetensors'
  if not target.exists():
    file.write(convert(model, source=source, path=path), target)
  return target
