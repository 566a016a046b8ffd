"""Reads large XML element by element, without a tree of the whole."""

from __future__ import annotations

from typing import IO, Protocol
from xml.etree import ElementTree as ET

MAX_ELEMENTS = 100_000  # in one piece, such as a cell
_BLOCK = 1 << 16


class Reader(Protocol):
  """Follows the elements of a document in their order."""

  def start(self, tag: str, attributes: dict[str, str]) -> bool:
    """Called when an element starts; True asks for it as a piece."""

  def piece(self, element: ET.Element) -> None:
    """Called with a whole element, after its end."""

  def end(self, tag: str) -> None:
    """Called when any other element ends."""


def read(file: IO[bytes], reader: Reader) -> None:
  """Calls `reader` for all elements; inside a piece only once, with the whole of it."""
  parser = ET.XMLParser(target=_Target(reader))
  while block := file.read(_BLOCK):
    parser.feed(block)
  parser.close()


class _Target:
  """What an `XMLParser` calls; builds the present piece."""

  def __init__(self, reader: Reader):
    self.reader = reader
    self.builder: ET.TreeBuilder | None = None
    self.depth = self.elements = 0

  def start(self, tag: str, attributes: dict[str, str]) -> None:
    if self.builder is None:
      if not self.reader.start(tag, attributes):
        return
      self.builder, self.elements = ET.TreeBuilder(), 0
    self.depth += 1
    self.elements += 1
    if self.elements > MAX_ELEMENTS:
      raise ValueError(f'more than {MAX_ELEMENTS:,} elements in one {tag.rpartition("}")[2]}')
    self.builder.start(tag, attributes)

  def data(self, text: str) -> None:
    if self.builder is not None:
      self.builder.data(text)

  def end(self, tag: str) -> None:
    if self.builder is None:
      self.reader.end(tag)
      return
    self.builder.end(tag)
    self.depth -= 1
    if not self.depth:
      element = self.builder.close()
      self.builder = None
      self.reader.piece(element)

  def close(self) -> None:
    """The parser asks for it."""
