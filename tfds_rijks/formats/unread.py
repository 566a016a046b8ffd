"""Unsupported files, by their first bytes, so that the error can say what was found."""

from __future__ import annotations

# (offset, bytes, what it is)
_KINDS = (
  (0, b'%PDF', 'a PDF document'),
  (0, b'%!PS', 'PostScript'),
  (0, b'\xc5\xd0\xd3\xc6', 'PostScript'),
  (0, b'8BPS', 'a Photoshop document'),
  (0, b'8BPB', 'a Photoshop document'),
  (0, b'\xff\x0a', 'JPEG XL'),
  (0, b'\0\0\0\x0cJXL \r\n\x87\n', 'JPEG XL'),
  (0, b'II\xbc', 'JPEG XR'),
  (0, b'\xff\xd8\xff\xf7', 'JPEG-LS'),
  (0, b'gimp xcf', 'a GIMP document'),
  (0, b'PK\3\4', 'a zip archive'),
  (0, b'AT&TFORM', 'DjVu'),
  (128, b'DICM', 'DICOM'),
  (0, b'SDPX', 'DPX'),
  (0, b'XPDS', 'DPX'),
  (0, b'v/1\x01', 'OpenEXR'),
  (0, b'#?RADIANCE', 'Radiance HDR'),
  (0, b'P7\n', 'PAM'),
  (0, b'\0\0\1\0', 'an icon'),
  (0, b'FUJIFILMCCD-RAW', 'a raw file of a camera'),
  (0, b'IIU\0', 'a raw file of a camera'),
  (0, b'IIRO', 'a raw file of a camera'),
  (0, b'IIRS', 'a raw file of a camera'),
  (8, b'crx ', 'a raw file of a camera'),
  (4, b'ftypqt', 'a film'),
  (4, b'ftypmp4', 'a film'),
  (4, b'ftypisom', 'a film'),
)


def kind_of(data: bytes) -> str:
  """The kind of an unsupported file, by its first bytes; '' if unknown."""
  for at, mark, kind in _KINDS:
    if data[at : at + len(mark)] == mark:
      return kind
  return 'SVG' if b'<svg' in data[:1024].lower() else ''
