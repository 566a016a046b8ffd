"""The works of Debian's packages openclipart-png and openclipart-svg as a collection.

  python -m tfds_rijks.collection.openclipart --root=/usr/share/openclipart --output=D

writes `D/metadata.csv` and a link to the pictures, ready for the builder `collection`: a worked
example of your own collection. All works are in the public domain. The artist is in the SVG's
metadata (`dc:creator`); the folder below `png/` is the type, the one below that a subject.
"""

from __future__ import annotations

import csv
import html
import io
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tfds_rijks import terminal
from tfds_rijks.build_report import write_text
from tfds_rijks.collection.near_twins import found_in, near_twins
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise
from tfds_rijks.progress import track

NAMES = Path(__file__).with_name('openclipart_names.csv')
NO_TYPE = frozenset({'unsorted', 'special'})  # how they were filed, not what they show
COLUMNS = ('image', 'object_number', 'artist', 'type', 'subject', 'group')
_DC = '{http://purl.org/dc/elements/1.1/}'
# "zazou (shockwavedj@yahoo.es)", "Martin Kozák <martin.kozak@openoffice.cz>"
_ADDRESS = re.compile(r'\s*[(<\[][^)>\]]*(?:@|www\.|\.net/|\.com|\.de\b)[^)>\]]*[)>\]]')
_REMARK = re.compile(r'\s*\((?:public domain clipart|yvounet)\)')
# Only an address, or the memory address of a variable in a Perl program.
_NO_NAME = re.compile(r'^(?:(?:https?://|www\.|mailto:)\S+|\S+@\S+\.\w+|HASH\(0x[0-9a-f]+\))$')


class Work(NamedTuple):
  """One work; `artist`, `type` and `subject` are '' where unknown."""

  image: str  # relative to the output folder
  object_number: str
  artist: str
  type: str
  subject: str


def write_collection(
  root: str | Path, output: str | Path, *, without: Sequence[str] = (), half: int = 0
) -> list[Work]:
  """Writes metadata.csv and the link `png` into `output`; returns the works.

  Args:
    root: the folder with png/ and svg/.
    without: folders below png/ to leave out, such as 'shapes/stars' (1,375 pictures that a script
      drew, under one name).
    half: 1 or 2 takes the works of one half of the artists, to test transfer: see `halved`.
  """
  root, output = Path(root).expanduser(), Path(output).expanduser()
  _check(root, without)
  works = list(read_works(root, without=() if half else without))
  if (
    half
  ):  # divided before anything is left out, so that the halves are the same with and without it
    works = [w for w in halved(root, works)[half - 1] if not _below(w.object_number, without)]
  if not works:
    raise UserError(f'--root={root}: has no .png below png/ that is not left out')
  groups = near_twins([root / work.image for work in works], makers=[work.artist for work in works])
  output.mkdir(parents=True, exist_ok=True)
  _link(output / 'png', root / 'png')
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(COLUMNS)
  for work, group in zip(works, groups, strict=True):
    writer.writerow([*work, works[group].object_number])
  write_text(output / 'metadata.csv', text.getvalue())
  return works


def read_works(root: Path, *, without: Sequence[str] = ()) -> Iterator[Work]:
  """Yields the works below `root`, in the order of their paths."""
  _check(root, without)
  names = read_names()
  paths = sorted((root / 'png').rglob('*.png'))
  for path in track(paths, 'reading names', len(paths), unit='work'):
    work = path.relative_to(root / 'png')
    if _below(work.as_posix(), without):
      continue
    kind = work.parts[0]
    yield Work(
      image=f'png/{work.as_posix()}',
      object_number=work.with_suffix('').as_posix(),
      artist=artist(_creators(root / 'svg' / work.with_suffix('.svg')), names),
      type='' if kind in NO_TYPE else kind,
      subject='' if kind in NO_TYPE or len(work.parts) < 3 else work.parts[1],
    )


def _check(root: Path, without: Sequence[str]) -> None:
  """Raises `UserError` for a root other than the packages', or folders that do not exist."""
  for folder in ('png', 'svg'):
    if not (root / folder).is_dir():
      raise UserError(
        f"--root={root}: has no folder {folder}; expected that of Debian's packages "
        'openclipart-png and openclipart-svg (apt install openclipart-png '
        'openclipart-svg), /usr/share/openclipart'
      )
  for name in without:
    if Path(name).is_absolute() or not (root / 'png' / name).is_dir():
      raise UserError(
        f'--without={name}: no such folder below {root / "png"}; expected one such as shapes/stars'
      )


def _below(work: str, folders: Sequence[str]) -> bool:
  return any(Path(work).is_relative_to(folder) for folder in folders)


def halved(root: Path, works: Sequence[Work]) -> tuple[list[Work], list[Work]]:
  """Two collections without a common artist or picture: one to learn from, one to transfer to.

  Artists are assigned by the number of their works, largest first, each to the smaller half. Works
  without an artist belong to the first half, copies of the second half's pictures under other names
  to none.
  """
  count = Counter(work.artist for work in works if work.artist)
  size = [0, 0]
  side: dict[str, int] = {}
  for name, number in sorted(count.items(), key=lambda item: (-item[1], item[0])):
    side[name] = int(size[1] < size[0])
    size[side[name]] += number
  second = [work for work in works if side.get(work.artist, 0) == 1]
  first = [work for work in works if side.get(work.artist, 0) == 0]
  copies = found_in([root / w.image for w in first], [root / w.image for w in second])
  return [work for i, work in enumerate(first) if i not in copies], second


def artist(creators: Sequence[str], names: dict[str, str]) -> str:
  """One clean name, or '' if the maker is unknown, not a person, or several."""
  found = {_name(text, names) for text in creators} - {''}
  return found.pop() if len(found) == 1 else ''


def _name(text: str, names: dict[str, str]) -> str:
  text = _REMARK.sub('', _ADDRESS.sub('', normalise(_unescape(text))))
  if text in names:
    return names[text]
  return '' if _NO_NAME.match(text) else text


def _unescape(text: str) -> str:
  """Resolves entities, and the double encoding of names such as `Tom&Atilde;&iexcl;`."""
  plain = html.unescape(html.unescape(text))
  if plain == text:
    return text
  try:
    return plain.encode('latin-1').decode('utf-8')
  except UnicodeError:
    return plain  # escaped once, encoded correctly: J&ouml;rgen


def read_names() -> dict[str, str]:
  """The table of names: as written -> as meant, '' if not a maker."""
  with NAMES.open(encoding='utf-8', newline='') as file:
    return {row['from']: row['to'] for row in csv.DictReader(file)}


def _creators(path: Path) -> list[str]:
  """The texts of all dc:creator of an SVG; reading stops after the metadata."""
  found = []
  try:
    for _, element in ET.iterparse(path):
      if element.tag == f'{_DC}creator':
        found.append(' '.join(''.join(element.itertext()).split()))
      elif element.tag.endswith('}metadata'):
        break
  except (ET.ParseError, OSError):
    return []  # missing or broken drawing: the maker is unknown
  return found


def _link(link: Path, target: Path) -> None:
  if link.is_symlink():
    link.unlink()
  elif link.exists():
    raise UserError(f'{link}: exists and is not a link; choose another --output')
  link.symlink_to(target.resolve(), target_is_directory=True)


def main() -> int | None:
  """The command."""
  parser = Parser(prog='python -m tfds_rijks.collection.openclipart', description=__doc__)
  parser.add_argument(
    '--root', default='/usr/share/openclipart', help='the folder with png/ and svg/'
  )
  parser.add_argument('--output', required=True, help='the folder to write')
  parser.add_argument('--without', default='', help='folders to leave out, with commas between')
  parser.add_argument(
    '--half',
    type=int,
    choices=(1, 2),
    default=0,
    help='only the works of one half of the artists; the halves share no artist and no picture',
  )
  arguments = parser.parse_args()
  without = [name for name in arguments.without.split(',') if name]
  works = write_collection(arguments.root, arguments.output, without=without, half=arguments.half)
  named = sum(bool(work.artist) for work in works)
  dataset = 'collection/NAME' if arguments.half else 'collection'
  terminal.say(
    f'{arguments.output}: {len(works):,} works, {named:,} with an artist '
    f'({len({work.artist for work in works} - {""}):,} names). Prepare them with\n'
    f'  python -m tfds_rijks.prepare --dataset={dataset} --manual_dir={arguments.output} '
    '--data_dir=DATA_DIR --image_size=96'
  )
  return None


if __name__ == '__main__':
  run(main)
