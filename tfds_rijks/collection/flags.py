"""The flags of the `collection` builder, with their help texts."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from tfds_rijks import images
from tfds_rijks.collection.matching import embedded_field
from tfds_rijks.copies import Rule
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise
from tfds_rijks.pictures import allowed
from tfds_rijks.splits import check_fractions

MAX_WEIGHT = 100.0


def _flag(default: Any, text: str) -> Any:
  return dataclasses.field(default=default, metadata={'help': text})


@dataclasses.dataclass(frozen=True)
class Flags:
  """How a folder becomes a dataset; every field is a flag of `python -m tfds_rijks.prepare`."""

  metadata: str | None = _flag(
    None,
    'the table in the folder (default: metadata.csv, .tsv, '
    '.jsonl, .parquet, .xlsx, .xls or .ods; without one, or with none, a folder per class)',
  )
  sheet: str | None = _flag(None, 'of a workbook (default: the first visible one)')
  labels: str | None = _flag(
    None,
    'columns to learn as tasks, separated by commas (default: every column without '
    'another use that is not text and does not repeat another)',
  )
  text: str | None = _flag(
    None, 'columns carried along as text, besides titles, rights, credit lines and the like'
  )
  multi_value_separator: str = _flag(
    '|', r'between several values in one cell (default |); \n is a line end'
  )
  min_per_class: int = _flag(20, 'rarer classes become missing labels (default 20)')
  float_columns: str = _flag('', 'columns of numbers, besides years')
  id_column: str | None = _flag(
    None,
    'the column with the object number (default: object_number '
    'or id; without one, the path of the picture)',
  )
  match: str = _flag(
    'path',
    'path: a column names the files; stem: files are found by the object number in their name; '
    'iptc:ObjectName, xmp:dc:identifier and the like: by the number in a field inside the files',
  )
  image_column: str | None = _flag(
    None, 'the column with the file names (default: image or file_name)'
  )
  aliases: str | None = _flag(None, 'CSV with the columns from,to that merges spellings')
  decisions: str | None = _flag(
    None,
    'table of suggestions: accepted and changed values become labels of the training split '
    '(never of val and test), marked in the text feature label_origin',
  )
  decisions_weight: float = _flag(
    1.0,
    'of these labels in the training loss (default 1, like the others; 0 leaves them out of it)',
  )
  distancing: str | None = _flag(
    None,
    'text file of phrases, one per line, such as "workshop '
    'of": makers with one are missing (default: a list in Dutch, '
    'English, German and French; none: off)',
  )
  nobody: str | None = _flag(
    None,
    'text file of words, one per line, such as "unknown": makers and values so called are '
    'missing (default: nobody.txt, in the same languages; none: off)',
  )
  maker_columns: str | None = _flag(
    None, 'columns to which distancing applies (default: artist, maker, creator and the like)'
  )
  fractions: str = _flag('0.8,0.1,0.1', 'shares of train, val and test (default 0.8,0.1,0.1)')
  seed: int = _flag(0, 'of the split by group')
  image_size: int | None = _flag(
    None, 'reduce larger pictures to this short side (default: keep the files as they are)'
  )
  max_pixels: int = _flag(
    images.MAX_PIXELS, f'largest height times width of a picture (default {images.MAX_PIXELS:,})'
  )
  max_unreadable: str | None = _flag(
    None,
    'unreadable pictures to tolerate: 20, or 2% (default: 1% or 20, whichever is larger)',
  )
  copies: str = _flag(
    'likely',
    'pictures that form a group: equal pixels; also likely copies (saved again, resized, '
    'tinted, cropped by up to 5%, turned; default); or also doubtful ones',
  )
  processes: int | None = _flag(None, 'that read pictures (default: one per core)')

  def __post_init__(self):
    embedded_field(self.match)
    if self.copies not in get_args(Rule):
      raise UserError(f'--copies={self.copies}: expected {", ".join(get_args(Rule))}')
    if not self.multi_value_separator:
      raise UserError('--multi_value_separator: found nothing; expected a character such as ;')
    for name, least in (
      ('min_per_class', 1),
      ('image_size', 16),
      ('max_pixels', 1),
      ('processes', 1),
    ):
      value = getattr(self, name)
      if value is not None and value < least:
        raise UserError(f'--{name}={value}: expected {least} or more')
    if not 0 <= self.decisions_weight <= MAX_WEIGHT:  # not so for NaN
      raise UserError(
        f'--decisions_weight={self.decisions_weight:g}: expected a number from 0 to {MAX_WEIGHT:g}'
      )
    if self.decisions is None and self.decisions_weight != 1:
      raise UserError('--decisions_weight: needs --decisions, the table with the decisions')
    self.shares()
    allowed(self.max_unreadable, 0)

  @property
  def separator(self) -> str:
    """The separator of several values in a cell."""
    return self.multi_value_separator.replace('\\n', '\n')

  def rule(self) -> Rule:
    """`copies`, checked."""
    return next(rule for rule in get_args(Rule) if rule == self.copies)

  def shares(self) -> dict[str, float]:
    """`fractions` as {'train': 0.8, 'val': 0.1, 'test': 0.1}."""
    try:
      train, val, test = (float(part) for part in self.fractions.split(','))
    except ValueError:
      raise UserError(
        f'--fractions={self.fractions}: expected three shares such as 0.8,0.1,0.1'
      ) from None
    shares = {'train': train, 'val': val, 'test': test}
    check_fractions(shares)
    return shares

  def content(self) -> dict[str, Any]:
    """The options that decide the content of a build."""
    values = dataclasses.asdict(self)
    for name in ('processes', 'max_unreadable'):
      values.pop(name)
    if self.decisions is None:  # as in data prepared before there were decisions
      values.pop('decisions_weight')
    return values


def names(text: str | None) -> list[str]:
  """'a, b' -> ['a', 'b']."""
  return [plain for name in (text or '').split(',') if (plain := normalise(name))]
