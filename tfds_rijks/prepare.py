"""Prepares a TFDS dataset without TensorFlow: `python -m tfds_rijks.prepare --help`.

Prints an estimate, shows progress, and ends with the build report. A dataset already prepared from
the same input with the same options is reused; any other is refused by name, or rebuilt with
`--overwrite`. A build appears whole or not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import io
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from tfds_rijks import build_report, fingerprint, listing, pictures, pool, terminal
from tfds_rijks.command import Paragraphs, Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.options import Preparation
from tfds_rijks.own_files import open_own
from tfds_rijks.progress import duration, working
from tfds_rijks.terminal import say
from tfds_rijks.words import counted, did_you_mean, nearest

SAMPLE = 24  # pictures read for the estimate
_OVERHEAD = 1.05  # of a record beside its picture: labels, keys, index
GB = 1e9


def prepare(
  dataset: str,
  *,
  manual_dir: str | Path,
  data_dir: str | Path,
  overwrite: bool = False,
  dry_run: bool = False,
  **options: Any,
) -> Path:
  """Builds `dataset` below `data_dir` and returns the folder of the prepared version.

  Args:
    dataset: 'rijksmuseum/CONFIG', 'collection', or 'collection/NAME' if a second collection shares
      the `data_dir`.
    manual_dir: the source folder.
    overwrite: rebuild a version that is damaged, or made from other input or options.
    dry_run: stop after the estimate.
    **options: of the dataset, named like the flags of the command.

  Raises `UserError` for unusable input.
  """
  source, target = _source(manual_dir), _target(data_dir)
  name, _, config = dataset.partition('/')
  preparations = _preparations()
  if name not in preparations:
    raise UserError(
      f'--dataset={dataset}: no such dataset; {did_you_mean(nearest(name, preparations))}'
      f'expected {" or ".join(preparations)}'
    )
  with working('reading the tables'):
    plan = preparations[name](config, source, **options)
    plan.place(target, dry_run=dry_run)
  path = _path(plan, target)
  if not dry_run:
    _clear_if_idle(path)
  now = {'options': dict(plan.options), 'version': path.name}
  with working('comparing with what was prepared'):
    written = [target / name for name in _written(preparations)]
    now['input'] = fingerprint.summary(source, without=written, also=plan.hidden)
  if path.exists():
    old, damage = fingerprint.examine(path)
    different = fingerprint.changes(old, now)
    if damage and not overwrite:
      raise UserError(f'{path}: is damaged: {"; ".join(damage[:6])}; rebuild it with --overwrite')
    if not damage and not different:
      say(f'{path}: already prepared from this input with these options; nothing to do')
      return path
    if not overwrite:
      raise UserError(
        f'{path}: was prepared from other input or options: '
        f'{"; ".join(different[:6])}; rebuild it with --overwrite, or choose '
        f'another --data_dir{_name_hint(dataset)}'
      )
  if plan.summary:
    say(f'\n{plan.summary}\n')
  with working('estimating'):
    estimate(plan, target)
  if dry_run:
    return path
  began = time.monotonic()
  with _staging(path) as staging:
    with working(f'building {plan.dataset}'):
      new = _build(plan, source, staging)
    with working('sealing the files'):
      fingerprint.write(new, now)
    _put_in_place(staging, target, path)
  say(f'\n{build_report.text(build_report.read(path))}\n')
  say(
    f'{path}: {plan.dataset} prepared in {duration(time.monotonic() - began)}; its report '
    f'is {build_report.FILE} there'
  )
  return path


def why_not(dataset: str) -> str:
  """Why a dataset of this name cannot be prepared; '' if it can."""
  name, _, config = dataset.partition('/')
  if name not in _preparations():
    return 'only rijksmuseum/CONFIG, collection and collection/NAME can be prepared'
  if name == 'rijksmuseum':
    from tfds_rijks.rijksmuseum.configs import parse_name

    try:
      parse_name(config.partition('_list-')[0])
    except UserError as error:
      return str(error)
  return ''


def _preparations() -> dict[str, type[Preparation]]:
  from tfds_rijks.collection.options import Preparation as Collection
  from tfds_rijks.rijksmuseum.options import Preparation as Rijksmuseum

  return {'rijksmuseum': Rijksmuseum, 'collection': Collection}


def _written(preparations: Mapping[str, type[Preparation]]) -> list[str]:
  """Our folders in a data_dir, which may be inside the source but are not part of it."""
  return [*preparations, *(name for one in preparations.values() for name in one.KEPT)]


def _source(manual_dir: str | Path) -> Path:
  folder = Path(manual_dir).expanduser()
  if not folder.is_dir():
    found = 'is a file' if folder.exists() else 'no such folder'
    raise UserError(f'--manual_dir={folder}: {found}; expected the folder with the source data')
  if next(listing.walk(folder), None) is None:
    raise UserError(f'--manual_dir={folder}: the folder is empty; expected the source data')
  return folder


def _target(data_dir: str | Path) -> Path:
  folder = Path(data_dir).expanduser()
  if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
    raise UserError(
      f'--data_dir={folder}: is {"a link to nothing" if folder.is_symlink() else "a file"}; '
      'expected a folder or a new name'
    )
  return folder


def _path(plan: Preparation, target: Path) -> Path:
  """The folder of the version; TFDS would fail reading a damaged one there."""
  with tempfile.TemporaryDirectory() as empty:
    return target / Path(plan.builder(Path(empty)).data_path).relative_to(empty)


def _name_hint(dataset: str) -> str:
  return (
    ', or give this one its own name (--dataset=collection/NAME)'
    if (dataset.startswith('collection'))
    else ''
  )


def estimate(plan: Preparation, target: Path) -> None:
  """Prints pictures, time and gigabytes, measured on a sample; `UserError` if they do not fit."""
  paths = plan.pictures()
  sample = paths[:: max(1, len(paths) // SAMPLE)][:SAMPLE]
  began = time.monotonic()
  stored = pictures.sample_size(sample, image_size=plan.image_size, max_pixels=plan.max_pixels)
  seconds = (time.monotonic() - began) / max(1, len(sample)) * len(paths)
  workers = plan.processes or pool.default_processes()
  # Reduced pictures are in a temporary file until the splits are known, and then in the dataset.
  copies = 1 if plan.image_size is None else 2
  needed = stored / max(1, len(sample)) * len(paths) * copies * _OVERHEAD
  free = shutil.disk_usage(_existing(target)).free
  say(
    f'{plan.dataset}: {counted(len(paths), "picture")}; about {duration(seconds / workers)} in '
    f'{counted(workers, "process", "processes")}, {needed / GB:.2f} GB needed, '
    f'{free / GB:.1f} GB free in {target}'
  )
  if needed > free:
    raise UserError(
      f'{target}: {free / GB:.1f} GB free, {needed / GB:.2f} GB needed; free some '
      'space, choose another --data_dir or a smaller --image_size'
    )


def _existing(path: Path) -> Path:
  """The nearest existing folder, on whose device `path` will be."""
  path = path.absolute()
  while not path.exists():
    path = path.parent
  return path


def _lock_file(path: Path) -> IO[str]:
  return os.fdopen(open_own(path.parent / '.lock', os.O_RDWR | os.O_CREAT), 'r+')


def _clear(path: Path) -> None:
  """Removes, and says, what killed builds left beside the version `path`; for the lock's holder."""
  staging, old = _staging_of(path), _old(path)
  for left in (staging, old) if path.exists() else (staging,):
    if left.is_symlink():
      raise UserError(f'{left}: is a link, through which nothing is written; remove it')
    if left.exists() and (left == old or any(left.iterdir())):
      terminal.say(f'{left}: left by a killed build; removed')
    shutil.rmtree(left, ignore_errors=True)


def _clear_if_idle(path: Path) -> None:
  """As `_clear`, unless another prepare is active."""
  if path.parent.is_dir() and (_staging_of(path).exists() or _old(path).exists()):
    with _lock_file(path) as lock, contextlib.suppress(BlockingIOError):
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      _clear(path)


@contextlib.contextmanager
def _staging(path: Path) -> Iterator[Path]:
  """A hidden folder beside the version folder for a build in progress; one build at a time."""
  staging = _staging_of(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with _lock_file(path) as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(
        f'{path.parent}: another prepare is writing here; wait for it, or choose another --data_dir'
      ) from None
    if _old(path).exists() and not path.exists():
      _old(path).rename(path)  # killed between the two renames of a rebuild
    _clear(path)
    staging.mkdir()
    try:
      yield staging
    finally:
      shutil.rmtree(staging, ignore_errors=True)


def _build(plan: Preparation, source: Path, staging: Path) -> Path:
  import tensorflow_datasets as tfds

  logging.getLogger('absl').setLevel(logging.ERROR)
  tfds.disable_progress_bar()  # ours shows the pictures, which take the time
  builder = plan.builder(staging)
  config = tfds.download.DownloadConfig(manual_dir=str(source))
  with contextlib.redirect_stdout(io.StringIO()):  # TFDS logs a download and the staging folder
    try:
      builder.download_and_prepare(download_config=config)
    except (RuntimeError, OSError) as error:
      # ArrayRecord wraps the system's message, and a temporary file has no name.
      if os.strerror(errno.ENOSPC) not in str(error):
        raise
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(staging)) from error
  return Path(builder.data_path)


def _put_in_place(staging: Path, target: Path, path: Path) -> None:
  new = staging / path.relative_to(target)
  for extra in staging.glob('*/.config'):  # TFDS's note of the default config
    shutil.copytree(extra, target / extra.relative_to(staging), dirs_exist_ok=True)
  old = _old(path)
  shutil.rmtree(old, ignore_errors=True)
  if path.exists():
    path.rename(old)
  new.rename(path)
  shutil.rmtree(old, ignore_errors=True)


def _staging_of(path: Path) -> Path:
  return path.parent / '.staging'


def _old(path: Path) -> Path:
  return path.with_name(f'.{path.name}.old')


def main() -> int | None:
  """The command."""
  first = Parser(prog='python -m tfds_rijks.prepare', add_help=False)
  first.add_argument('--dataset', default='')
  name = first.parse_known_args()[0].dataset.partition('/')[0]
  preparations = _preparations()
  parser = _parser(
    {name: preparations[name]} if name in preparations else {},
    shown=[other for other in preparations if other != name],
  )
  arguments = vars(parser.parse_args())
  prepare(arguments.pop('dataset'), **arguments)
  return None


def _parser(taken: Mapping[str, type[Preparation]], *, shown: Iterable[str]) -> Parser:
  """The command's parser with the options of the datasets `taken`; `shown` are in the help only,
  as options of several datasets have the same names.
  """
  preparations = _preparations()
  others = [
    _group(Parser(add_help=False, usage=argparse.SUPPRESS), name, preparations) for name in shown
  ]
  parser = Parser(
    prog='python -m tfds_rijks.prepare',
    usage='%(prog)s --dataset=DATASET\n         --manual_dir=FOLDER --data_dir=FOLDER [options]',
    description=__doc__,
    epilog='\n\n'.join(other.format_help().strip('\n') for other in others),
    formatter_class=_Whole,
  )
  what = parser.add_argument_group('what to prepare')
  what.add_argument(
    '--dataset', required=True, help='rijksmuseum/CONFIG, collection or collection/NAME'
  )
  what.add_argument('--manual_dir', required=True, help='the folder with the source data')
  what.add_argument('--data_dir', required=True, help='where to put the prepared dataset')
  what.add_argument(
    '--overwrite',
    action='store_true',
    help='rebuild a dataset that is damaged, or was prepared from other input or options',
  )
  what.add_argument('--dry_run', action='store_true', help='print the estimate and stop')
  for name in taken:
    _group(parser, name, taken)
  return parser


def _group(parser: Parser, name: str, preparations: Mapping[str, type[Preparation]]) -> Parser:
  # SUPPRESS: options that are not given keep the dataset's defaults.
  group = parser.add_argument_group(f'options of {name}', argument_default=argparse.SUPPRESS)
  preparations[name].add_arguments(group)
  return parser


class _Whole(Paragraphs):
  """Help whose epilog has been formatted."""

  def _fill_text(self, text: str, width: int, indent: str) -> str:
    return text if text.startswith('options of') else super()._fill_text(text, width, indent)


if __name__ == '__main__':
  run(main)
