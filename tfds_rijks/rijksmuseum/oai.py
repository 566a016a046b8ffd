"""Reads one OAI Dublin Core record of the Rijksmuseum (`oai_dc`, 2012) from untrusted bytes.

Real files may lack prefix declarations, name a wrong encoding, escape twice, or hold a bare `&`.
Unambiguous faults are repaired and listed in `Record.repairs`; everything else is refused with a
reason. Meaning of the elements: the museum's "Uitleg Rijksmuseum OAI API"; materials and techniques
are in `dc:format` after `materiaal:` and `techniek:`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass, field
from xml.parsers import expat

from tfds_rijks.errors import UserError

MAX_BYTES = 1 << 20  # real records have 2 to 10 kB
MAX_DEPTH = 9  # record / metadata / oai_dc:dc / dc:creator is 4
MAX_ELEMENTS = 5000
LAST_YEAR = 2100
_ELEMENTS = frozenset(
  ('identifier', 'creator', 'type', 'format', 'date', 'title', 'rights', 'contributor')
)
_DECLARED = re.compile(rb'^<\?xml[^>]{0,200}?encoding\s*=\s*["\']([A-Za-z0-9._-]{1,40})["\']')
_ENTITY = re.compile(
  rb'&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)([A-Za-z0-9]{2,31};)?'
)
_CONTROL = re.compile(rb'[\x00-\x08\x0b\x0c\x0e-\x1f]')
_DOCTYPE = re.compile(rb'<!DOCTYPE', re.IGNORECASE)
_LATIN = ('iso-8859-1', 'iso-8859-15')
_C1 = re.compile(rb'[\x80-\x9f]')
_YEAR = re.compile(r'(?<!\d)(\d{3,4})(?!\d)')
# "1650/51", "1650-51"; not "1889-06-12".
_SHORT_END = re.compile(r'(?<!\d)(?P<begin>\d{4})\s?[-–/]\s?(?P<end>\d{2})(?![-–/]?\d)')
# "600 v. Chr.", "300 BCE"; "-0300", "-1200 - -1000": a hyphen after a number is an interval.
_BEFORE_CHRIST = re.compile(
  r'\bv(?:oo|óó)?r?\.?\s?chr|\bb\.?\s?c\b|\bb\.?\s?c\.?\s?e\b|\bav\.?\s?j|\ba\.\s?c\.?\s?n?\b'
  r'|\bv\.?\s?o\.?\s?j|onze jaartelling|(?:^|[-–/]\s*|\btot\s+)[-−–]\s?\d',
  re.IGNORECASE,
)
# Addresses of pictures and picture services; the others are pages.
_PICTURE = re.compile(
  r'/images?/|assetimage|/iiif|googleusercontent|\.(?:jpe?g|png|tiff?|z|dzi)$', re.I
)


class RecordError(UserError):
  """A refused record: `name` of the file, `reason` as a short phrase to count by."""

  def __init__(self, name: str, reason: str, detail: str = ''):
    super().__init__(f'{name}: {reason}{f" ({detail})" if detail else ""}')
    self.name, self.reason = name, reason

  def __reduce__(self) -> tuple[object, ...]:  # pickled by worker processes
    return (type(self), (self.name, self.reason))


@dataclass(frozen=True)
class Record:
  """The content of a record. Texts are NFC with single blanks; order is the museum's."""

  object_number: str = ''
  creators: tuple[str, ...] = ()  # `role: Name` as written
  types: tuple[str, ...] = ()  # general first
  materials: tuple[str, ...] = ()
  techniques: tuple[str, ...] = ()
  years: tuple[int, int] | None = None
  title: str = ''
  rights: str = ''
  credit_line: str = ''
  source_url: str = ''
  repairs: tuple[str, ...] = field(default=())


def clean(text: str) -> str:
  """NFC, single blanks, entities resolved: combining marks and `&amp;amp;` do not make new
  classes."""
  for _ in range(2):
    if '&' not in text:
      break
    text = html.unescape(text)
  return ' '.join(unicodedata.normalize('NFC', text).split())


def read(data: bytes, *, name: str) -> Record:
  """Parses one record.

  Args:
    data: the file.
    name: its name, for messages.

  Raises:
    RecordError: empty, too large, DOCTYPE, too deep, too many elements, not XML, or not a record.
  """
  if not data.strip():
    raise RecordError(name, 'XML is empty')
  if len(data) > MAX_BYTES:
    raise RecordError(name, 'XML is too large', f'{len(data):,} bytes; at most {MAX_BYTES:,}')
  parsed, repairs = _parse(data, name=name)
  values: dict[str, list[str]] = {tag: [] for tag in _ELEMENTS}
  for tag, raw in parsed:
    values[tag].append(clean(raw))
  if not any(values[tag] for tag in ('identifier', 'creator', 'type', 'format', 'title')):
    raise RecordError(name, 'XML without Dublin Core')
  formats = values['format']
  urls = [text for text in formats if text.startswith(('http://', 'https://'))]
  pages = [url for url in urls if not _PICTURE.search(url)]
  return Record(
    object_number=next(
      (text for text in values['identifier'] if not text.startswith(('RM0001.', 'http'))), ''
    ),
    creators=tuple(values['creator']),
    types=_distinct(values['type']),
    materials=_distinct(_behind('materiaal', formats)),
    techniques=_distinct(_behind('techniek', formats)),
    years=_years(values['date']),
    title=next(iter(values['title']), ''),
    rights=next(iter(values['rights']), ''),
    credit_line=next(iter(values['contributor']), ''),
    source_url=next(iter(pages or urls), ''),
    repairs=tuple(repairs),
  )


def _parse(data: bytes, *, name: str) -> tuple[list[tuple[str, str]], list[str]]:
  """The (element, text) pairs, and the repairs made to get them."""
  repairs: list[str] = []
  encoding: str | None = None
  utf16 = data.startswith(
    (b'\xff\xfe', b'\xfe\xff')
  )  # Expat reads it, and its DOCTYPE handler sees it
  if not utf16:
    if _DOCTYPE.search(data):
      raise RecordError(name, 'XML has a DOCTYPE')
    data = data.removeprefix(b'\xef\xbb\xbf').strip()
    match = _DECLARED.match(data)
    declared = match.group(1).decode('ascii').lower() if match else 'utf-8'
    actual = _actual_encoding(data, declared)
    if actual == 'cp1252':
      # Its five unassigned bytes have no character.
      data = data.decode('cp1252', 'replace').replace('\ufffd', '').encode()
    if actual != declared:
      encoding = 'utf-8'
      repairs.append(f'encoding is {actual}, file says {declared if match else "nothing"}')
  try:
    return _expat(data, encoding=encoding, name=name), repairs
  except (expat.ExpatError, LookupError, ValueError) as error:
    first = error
  fixed = _CONTROL.sub(b'', _ENTITY.sub(_replace_entity, data))
  if utf16 or fixed == data:
    raise RecordError(name, 'XML is not well-formed', str(first))
  try:
    pairs = _expat(fixed, encoding=encoding, name=name)
  except (expat.ExpatError, LookupError, ValueError) as error:
    raise RecordError(name, 'XML is not well-formed', str(error)) from None
  return pairs, [*repairs, 'bare or undeclared entities, or control characters']


def _actual_encoding(data: bytes, declared: str) -> str:
  """The actual encoding: UTF-8 if valid, else as declared, else cp1252.

  Latin text is hardly ever valid UTF-8 by accident, so valid UTF-8 wins over a declared Latin-1;
  and "Latin-1" with bytes 0x80 to 0x9f is Windows-1252.
  """
  if data.isascii():
    return declared if declared in ('us-ascii', 'utf-8', *_LATIN) else 'utf-8'
  try:
    data.decode('utf-8')
  except UnicodeDecodeError:
    return declared if declared in _LATIN and not _C1.search(data) else 'cp1252'
  return 'utf-8'


def _replace_entity(match: re.Match[bytes]) -> bytes:
  """A named HTML entity becomes its character, any other `&` becomes `&amp;`."""
  if match.group(1):
    text = html.unescape(match.group(0).decode('ascii'))
    if not text.startswith('&'):
      return ''.join(f'&#{ord(character)};' for character in text).encode()
  return b'&amp;' + (match.group(1) or b'')


def _expat(data: bytes, *, encoding: str | None, name: str) -> list[tuple[str, str]]:
  """Expat without namespace processing, so that undeclared prefixes are not errors."""
  parser = expat.ParserCreate(encoding)
  parser.buffer_text = True
  pairs: list[tuple[str, str]] = []
  path: list[str] = []  # local names from the root to here
  elements = records = 0
  tag, text = '', ['']

  def refuse(*_: object) -> None:
    raise RecordError(name, 'XML has a DOCTYPE')

  def start(qualified: str, attributes: dict[str, str]) -> None:
    nonlocal elements, records, tag, text
    del attributes
    prefix, _, local = qualified.rpartition(':')
    elements += 1
    records += local == 'record'
    if len(path) == MAX_DEPTH:
      raise RecordError(name, 'XML is nested too deep', f'more than {MAX_DEPTH} levels')
    if elements > MAX_ELEMENTS:
      raise RecordError(name, 'XML has too many elements', f'more than {MAX_ELEMENTS:,}')
    if records > 1:
      raise RecordError(name, 'XML holds several records')
    # The `identifier` of a header is an OAI name; the `title` of an HTML page is "404".
    if local in _ELEMENTS and 'header' not in path and (prefix or 'dc' in path):
      tag, text = local, []
    path.append(local)

  def end(qualified: str) -> None:
    nonlocal tag
    path.pop()
    if tag and qualified.rpartition(':')[2] == tag:
      pairs.append((tag, ''.join(text)))
      tag = ''

  parser.StartDoctypeDeclHandler = refuse
  parser.EntityDeclHandler = refuse
  parser.StartElementHandler = start
  parser.EndElementHandler = end
  parser.CharacterDataHandler = lambda characters: text.append(characters) if tag else None
  parser.Parse(data, True)
  return pairs


def _behind(label: str, formats: list[str]) -> list[str]:
  """The values of `label: value` among the `dc:format` texts."""
  found = []
  for text in formats:
    before, colon, after = text.partition(':')
    if colon and before.strip().lower() == label:
      found.append(after.strip())
  return found


def _distinct(values: list[str]) -> tuple[str, ...]:
  return tuple(dict.fromkeys(value for value in values if value))


def _years(dates: list[str]) -> tuple[int, int] | None:
  """Begin and end of `1642 - 1650`, `1642`, `1642/1650` or `1642/50`; None without a year of 3 or 4
  digits, and for years before Christ, which `rijksgt.mat` does not have either.
  """
  if any(_BEFORE_CHRIST.search(text) for text in dates):
    return None
  years: list[int] = []
  for text in dates:
    plain = re.sub(r'\([^)]*\)', ' ', text)  # `1650 (inv. 1234)`
    found = [int(year) for year in _YEAR.findall(plain) or _YEAR.findall(text)]
    for match in _SHORT_END.finditer(plain):
      end = int(match['begin'][:2] + match['end'])
      found += [end] if end >= int(match['begin']) else []  # `1889-06` is a month
    years += [year for year in found if year <= LAST_YEAR]
  return (min(years), max(years)) if years else None
