"""Object numbers embedded in pictures by photographers' programs: IPTC and XMP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from PIL import Image, IptcImagePlugin

from tfds_rijks.errors import ImageError
from tfds_rijks.picture_file import open_regular
from tfds_rijks.progress import track

# Names of the IPTC Information Interchange Model 4.2 and of programs, record 2 all of them.
IPTC = {
  'objectname': 5,
  'title': 5,
  'editstatus': 7,
  'fixtureidentifier': 22,
  'keywords': 25,
  'specialinstructions': 40,
  'instructions': 40,
  'referencenumber': 50,
  'byline': 80,
  'originaltransmissionreference': 103,
  'jobid': 103,
  'headline': 105,
  'credit': 110,
  'source': 115,
  'copyrightnotice': 116,
  'caption': 120,
  'captionabstract': 120,
  'description': 120,
}
_RDF = '{http://www.w3.org/1999/02/22-rdf-syntax-ns#}'
_NAMESPACES = {
  'dc': 'http://purl.org/dc/elements/1.1/',
  'xmp': 'http://ns.adobe.com/xap/1.0/',
  'photoshop': 'http://ns.adobe.com/photoshop/1.0/',
  'iptc4xmpcore': 'http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/',
  'iptc4xmpext': 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/',
  'tiff': 'http://ns.adobe.com/tiff/1.0/',
  'aux': 'http://ns.adobe.com/exif/1.0/aux/',
}
_PACKET = re.compile(rb'<x:xmpmeta.*?</x:xmpmeta>|<rdf:RDF.*?</rdf:RDF>', re.DOTALL)
_SCANNED = 64 << 20  # bytes of a file searched for a packet that Pillow does not find


class Field(NamedTuple):
  """A field of metadata: 'iptc' with the number of a dataset, 'xmp' with a name."""

  kind: str
  name: str

  @classmethod
  def parse(cls, text: str) -> Field:
    """`iptc:ObjectName`, `iptc:2:05`, `xmp:Title`, `xmp:dc:identifier`; `ValueError` for others."""
    kind, _, name = text.partition(':')
    if kind.lower() == 'iptc' and name:
      plain = re.sub(r'[\W_]', '', name).lower()
      number = IPTC.get(plain) or (int(name.removeprefix('2:')) if _is_dataset(name) else 0)
      if not number:
        raise ValueError(f'no field {name!r} of IPTC is known')
      return cls('iptc', str(number))
    if kind.lower() == 'xmp' and name:
      prefix = name.rpartition(':')[0]
      if prefix and prefix.lower() not in _NAMESPACES:
        raise ValueError(f'no namespace {prefix!r} of XMP is known')
      return cls('xmp', name)
    raise ValueError('no such rule')


def _is_dataset(name: str) -> bool:
  return re.fullmatch(r'(?:2:)?\d{1,3}', name) is not None


def values(paths: Sequence[Path], field: Field) -> list[str]:
  """The text of the field in each picture; '' if it has none or cannot be read."""

  def read(path: Path) -> str:
    try:
      found = _iptc(path, int(field.name)) if field.kind == 'iptc' else _xmp(path, field.name)
    except (
      *(OSError, SyntaxError, ValueError, KeyError, IndexError),
      *(Image.DecompressionBombError, ImageError),
    ):
      return ''  # a picture that is broken is counted where it is decoded
    return found.strip()

  with ThreadPoolExecutor() as pool:
    found = pool.map(read, paths)
    return list(track(found, 'reading metadata of pictures', len(paths)))


def _iptc(path: Path, dataset: int) -> str:
  with open_regular(path, name=str(path)) as file, Image.open(file) as image:
    found = (IptcImagePlugin.getiptcinfo(image) or {}).get((2, dataset), b'')
  data = found[0] if isinstance(found, list) else found
  try:
    return data.decode()
  except UnicodeDecodeError:
    return data.decode('cp1252', 'replace')


def _xmp(path: Path, name: str) -> str:
  packet = b''
  with open_regular(path, name=str(path)) as file, Image.open(file) as image:
    packet = image.info.get('xmp') or image.info.get('XML:com.adobe.xmp') or b''
    packet = packet.encode() if isinstance(packet, str) else packet
    if not _PACKET.search(packet):
      file.seek(0)
      packet = file.read(_SCANNED)
  found = _PACKET.search(packet)
  if not found or b'<!DOCTYPE' in found[0]:
    return ''
  return next(_properties(ET.fromstring(found[0]), name), '')


def _properties(root: ET.Element, name: str) -> Iterator[str]:
  """The texts of a property: an attribute or element of a description, the first of a list."""
  prefix, _, local = name.rpartition(':')
  space = _NAMESPACES.get(prefix.lower(), '')

  def wanted(tag: str) -> bool:
    found, _, last = tag.removeprefix('{').rpartition('}')
    return last.lower() == local.lower() and (not space or found == space)

  for about in root.iter(f'{_RDF}Description'):
    yield from (value for tag, value in about.items() if wanted(tag))
    for element in about:
      if wanted(element.tag):
        items = list(element.iter(f'{_RDF}li'))
        yield from (item.text or '' for item in (items or [element]))
