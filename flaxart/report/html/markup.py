"""The building blocks of the page; everything that comes from data is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
  """Text that is already markup; all other text is escaped when it becomes part of the page."""


def escape(value: object) -> Html:
  """Returns markup unchanged, and anything else escaped."""
  return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def join(parts: Iterable[object], between: str = '') -> Html:
  """The parts one after the other."""
  return Html(between.join(escape(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Html:
  """`<name attribute="...">content</name>`; `class_` is written class."""
  text = ''.join(
    f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
    for key, value in attributes.items()
    if value is not None
  )
  return Html(f'<{name}{text}>{join(content)}</{name}>')


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, name: str) -> Html:
  """A table with a caption; the first cell of a row is its header."""
  body = [
    tag('tr', tag('th', row[0], scope='row'), *(tag('td', cell) for cell in row[1:]))
    for row in rows
  ]
  return tag(
    'div',
    tag(
      'table',
      tag('caption', name),
      tag('thead', tag('tr', *(tag('th', cell, scope='col') for cell in head))),
      tag('tbody', *body),
    ),
    class_='scroll',
  )


def picture(uri: str, *, alt: str, caption: object = '', class_: str | None = None) -> Html:
  """A figure with its caption; `uri` holds the data itself."""
  image = Html(f'<img src="{escape(uri)}" alt="{escape(alt)}">')
  return tag('figure', image, tag('figcaption', caption) if caption else '', class_=class_)


def folded(summary: object, *content: object) -> Html:
  """A section that opens on a click, without a script."""
  return tag('details', tag('summary', summary), *content)


def document(title: str, style: str, *content: object) -> str:
  """A self-contained page: its policy forbids the browser to load anything."""
  policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<link rel="icon" href="data:,">\n'
    f'<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n'
    f'{join(content, chr(10))}\n</body>\n</html>\n'
  )
