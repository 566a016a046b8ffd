"""Downloads the official Keras file of a network, checks its size and hash, and converts it.

    python -m flaxart.weights.download --model=resnet50 --output=resnet50.safetensors

An interrupted download is resumed from its hidden `.part` file in the cache folder
(`~/.cache/flaxart/weights`, or under `$XDG_CACHE_HOME`). Without network access the command says
what to fetch, from where, and where to put it.
"""

from __future__ import annotations

import glob
import http.client
import os
import secrets
import shutil
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from flaxart.machine.files import user_cache
from flaxart.machine.locks import in_turn
from flaxart.models import card_of, cards
from flaxart.models.card import Official
from flaxart.weights.convert import convert
from flaxart.weights.file import Weights, write
from flaxart.weights.official import check
from tfds_rijks import command, terminal
from tfds_rijks.errors import UserError
from tfds_rijks.own_files import open_own
from tfds_rijks.progress import Progress

TIMEOUT_S = 30.0  # without a single byte
CHUNK = 1 << 20


def fetch(official: Official, folder: Path, *, timeout_s: float = TIMEOUT_S) -> Path:
  """The official file in `folder`, whole and checked; an earlier part of it is continued.

  Raises:
    UserError: no network, the server has another file, or the transfer was interrupted (the next
    call continues it).
  """
  path = folder / official.name
  if not path.exists():
    try:
      folder.mkdir(parents=True, exist_ok=True)
      # Every process of a run comes here, and so may other runs.
      with in_turn(folder / f'.{official.name}.lock', f'downloading {official.name}'):
        if not path.exists():
          _download(official, path, timeout_s=timeout_s)
          return path
    except OSError as error:
      raise UserError(
        f'{folder}: cannot be written ({error.strerror or error}); set XDG_CACHE_HOME to a '
        'writable folder'
      ) from None
  check(official, path)
  return path


def _download(official: Official, path: Path, *, timeout_s: float) -> None:
  """Receives the file beside `path`, checks it, and renames it."""
  folder, part = path.parent, _part(path)
  free = shutil.disk_usage(folder).free
  if free < official.size:
    raise UserError(
      f'{folder}: {free:,} bytes free, the file needs {official.size:,}; free some '
      'space or set XDG_CACHE_HOME'
    )
  try:
    _receive(official, part, timeout_s=timeout_s)
  except (OSError, http.client.HTTPException) as error:
    reason = getattr(error, 'reason', None) or error or type(error).__name__
    raise UserError(f'{official.url}: {reason}; {by_hand(official, folder)}') from None
  try:
    check(official, part)
  except UserError:
    part.unlink()  # a wrong file is not continued
    raise
  part.replace(path)


def _part(path: Path) -> Path:
  """What was received of `path` so far, under a random name; a new name if there is nothing.

  Links and files of others are passed over: bytes would be written elsewhere.
  """
  for one in sorted(path.parent.glob(f'.{glob.escape(path.name)}.*.part')):
    about = one.lstat()
    if stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and about.st_uid == os.geteuid():
      return one
  return path.with_name(f'.{path.name}.{secrets.token_hex(8)}.part')


def _receive(official: Official, part: Path, *, timeout_s: float) -> None:
  """Appends to `part` until it has the official size."""
  have = part.stat().st_size if part.exists() else 0
  if have >= official.size:
    return
  headers = {'Range': f'bytes={have}-'} if have else {}
  request = urllib.request.Request(official.url, headers=headers)
  with urllib.request.urlopen(request, timeout=timeout_s) as response:
    if have and response.status != 206:
      have = 0  # a server that cannot resume sends everything again
    progress = Progress(
      f'downloading {official.name}', official.size >> 20, unit='MiB', start=have >> 20
    )
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if have else os.O_TRUNC)
    with os.fdopen(open_own(part, flags), 'ab' if have else 'wb') as file:
      while chunk := response.read(CHUNK):
        file.write(chunk)
        have += len(chunk)
        if have > official.size:
          file.truncate(0)
          raise UserError(
            f'{official.url}: sends more than the expected {official.size:,} bytes; '
            'it is not the official file'
          )
        progress.update(have >> 20)
      file.flush()
      os.fsync(file.fileno())
    progress.close()
  if have < official.size:
    raise OSError(
      f'interrupted after {have:,} of {official.size:,} bytes; run it again to continue'
    )


def by_hand(official: Official, folder: Path) -> str:
  """Instructions for a machine without network access, in one sentence."""
  return (
    f'fetch {official.url} on another machine ({official.name}, {official.size:,} bytes, MD5 '
    f'{official.md5}) and put it in {folder}'
  )


def official_weights(model: str, *, folder: Path | None = None) -> Weights:
  """The official Keras weights of a network, downloaded if needed, converted."""
  card = card_of(model, field='--model')
  if card.official is None:
    raise UserError(f'--model: no weights of {model} to download; convert a file of them')
  source, file = card.official
  path = fetch(file, folder or user_cache('weights'))
  return convert(model, source=source.library, path=path)


def main() -> None:
  parser: Any = command.Parser(
    prog='python -m flaxart.weights.download',
    description=__doc__,
  )
  parser.add_argument('--model', required=True, help=', '.join(cards()))
  parser.add_argument('--output', required=True, type=Path, help='the .safetensors to write')
  args = parser.parse_args()
  weights = official_weights(args.model)
  write(weights, args.output.expanduser())
  terminal.say(
    f'{args.output}: {args.model} ({weights.variant}), {weights.licence}, '
    f'SHA-256 {weights.about["sha256"]}'
  )


if __name__ == '__main__':
  command.run(main)
