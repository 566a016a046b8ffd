"""The converted weights file: safetensors, with everything needed to use its numbers correctly.

Tensors are named by their path in the trunk (`stage2/block1/conv3/kernel`); a kept classifier is
under `top/`. The metadata has model and variant, source, preprocessing, licence and citation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from flaxart.machine.files import write_bytes
from flaxart.models.preprocess import Preprocess
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError

FORMAT = 'flaxart-weights-2'
UNSEALED = 'flaxart-weights-1'  # of earlier versions: the metadata had no hash
SEAL = 'metadata_sha256'
TOP = 'top/'
MAX_HEADER_BYTES = 16 << 20  # of a safetensors file; ours have about 100 kB
# The dtypes of safetensors that NumPy has as well.
_DTYPES = {'F64', 'F32', 'F16', 'I64', 'I32', 'I16', 'I8', 'U64', 'U32', 'U16', 'U8', 'BOOL'}
log = logging.getLogger('flaxart')
_FIELDS = (
  'format',
  'model',
  'variant',
  'source',
  'source_file',
  'source_sha256',
  'preprocess',
  'licence',
  'citation',
  'sha256',
)


@dataclasses.dataclass(frozen=True)
class Weights:
  """A converted file in memory.

  `tensors` are float32 by path; `source` is `keras`, `torchvision` or `timm`; `source_file` and
  `source_sha256` say what was converted. `about` is everything but the tensors, ready for JSON.
  """

  model: str
  variant: str
  source: str
  source_file: str
  source_sha256: str
  preprocess: Preprocess
  licence: str
  citation: str
  tensors: dict[str, np.ndarray]

  @property
  def about(self) -> dict[str, str]:
    """Model, variant, source, preprocessing, licence, citation and the tensors' SHA-256."""
    fields = {
      f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != 'tensors'
    }
    return {
      **fields,
      'format': FORMAT,
      'preprocess': self.preprocess.to_json(),
      'sha256': sha256_of_tensors(self.tensors),
    }

  @property
  def trunk(self) -> dict[str, np.ndarray]:
    """The tensors without the classifier."""
    return {name: t for name, t in self.tensors.items() if not name.startswith(TOP)}

  @property
  def top(self) -> dict[str, np.ndarray]:
    """The classifier's tensors, if it was kept: `predictions/kernel` and so on."""
    return {name.removeprefix(TOP): t for name, t in self.tensors.items() if name.startswith(TOP)}


def sha256_of_tensors(tensors: Mapping[str, np.ndarray]) -> str:
  """One hash over names, dtypes, shapes and bytes, in the order of the names."""
  digest = hashlib.sha256()
  for name in sorted(tensors):
    tensor = np.ascontiguousarray(tensors[name])
    digest.update(f'{name} {tensor.dtype.str} {tensor.shape}\n'.encode())
    digest.update(tensor.data)
  return digest.hexdigest()


def sha256_of_metadata(metadata: Mapping[str, str]) -> str:
  """One hash over all metadata but the hash itself, in the order of the names."""
  fields = [[name, metadata[name]] for name in sorted(metadata) if name != SEAL]
  return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
  """SHA-256 of a file's bytes, in hexadecimal."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def write(weights: Weights, path: Path) -> None:
  """Writes the file whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  tensors = {name: np.ascontiguousarray(t) for name, t in weights.tensors.items()}
  metadata = {**weights.about, SEAL: sha256_of_metadata(weights.about)}
  write_bytes(path, safetensors.numpy.save(tensors, metadata=metadata))


def read(path: Path | str) -> Weights:
  """Reads a converted file and checks tensors and metadata against its own hashes.

  A file of an earlier version, without a hash of its metadata, is read with a warning.

  Raises:
    UserError: no such file, not a converted file, truncated, or changed.
  """
  path = Path(path).expanduser()
  metadata, tensors = read_safetensors(path)
  if metadata.get('format') not in (FORMAT, UNSEALED):
    raise UserError(
      f'{path}: safetensors, but not a converted weights file (format '
      f'{metadata.get("format")!r}, expected {FORMAT!r}); convert it with '
      'python -m flaxart.weights.convert'
    )
  _check_metadata(path, metadata)
  fields: dict[str, Any] = {f: metadata[f] for f in _FIELDS if f not in ('format', 'sha256')}
  fields['preprocess'] = Preprocess.from_json(metadata['preprocess'])
  weights = Weights(**fields, tensors=tensors)
  found = sha256_of_tensors(tensors)
  if found != metadata['sha256']:
    raise UserError(
      f'{path}: tensors have SHA-256 {found[:12]}…, the file says '
      f'{metadata["sha256"][:12]}…; it is damaged: copy or convert it again'
    )
  return weights


def _check_metadata(path: Path, metadata: Mapping[str, str]) -> None:
  """Raises `UserError` unless the metadata are complete and as written."""
  sealed = metadata['format'] == FORMAT
  expected = {*_FIELDS, SEAL} if sealed else {*_FIELDS}
  if missing := sorted(expected - metadata.keys()):
    raise UserError(f'{path}: metadata lacks {", ".join(missing)}; convert the weights again')
  if unknown := sorted(metadata.keys() - expected):
    raise UserError(
      f'{path}: metadata has {", ".join(unknown)}, which {metadata["format"]} does not have; it is '
      'damaged, or of a later version: convert the weights again'
    )
  if sealed and (found := sha256_of_metadata(metadata)) != metadata[SEAL]:
    raise UserError(
      f'{path}: metadata (preprocessing, source, licence) have SHA-256 {found[:12]}…, the file '
      f'says {metadata[SEAL][:12]}…; it was changed or is damaged: copy or convert it again'
    )
  if not sealed:
    log.warning(
      '%s: was converted by an earlier flaxart, so nothing shows whether its preprocessing was '
      'changed since; convert it again',
      path,
    )


def is_sealed(path: Path) -> bool:
  """Whether a converted file has a hash of its metadata, by its header."""
  return read_metadata(path).get('format') == FORMAT


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
  """Metadata and tensors of any safetensors file; other files are refused unread."""
  metadata = read_metadata(path)
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      names = file.keys()
      kinds = {file.get_slice(name).get_dtype() for name in names}
      if unread := sorted(kinds - _DTYPES):
        raise UserError(
          f'{path}: holds {", ".join(unread)}, which flaxart does not read; save the tensors as '
          'float32 (tensor.float()) and convert that'
        )
      return metadata, {name: file.get_tensor(name) for name in names}
  except (safetensors.SafetensorError, TypeError, ValueError, json.JSONDecodeError) as error:
    raise UserError(
      f'{path}: cannot be read as safetensors ({error}); the file is damaged '
      'or incomplete: fetch it again'
    ) from None


def read_metadata(path: Path) -> dict[str, str]:
  """The metadata in the header of a safetensors file, whose names must each occur once."""
  size = file_size(path)
  with path.open('rb') as file:
    start = file.read(9)
    length = int.from_bytes(start[:8], 'little')
    if len(start) < 9 or start[8:9] not in (b'{', b' '):
      raise UserError(
        f'{path}: not a safetensors file; python -m flaxart.weights.convert makes one '
        'from a file of Keras, torchvision or timm'
      )
    if length > min(MAX_HEADER_BYTES, size - 8):
      raise UserError(
        f'{path}: safetensors header of {length:,} bytes in a file of {size:,}; '
        'the file is damaged or incomplete: fetch it again'
      )
    header = start[8:] + file.read(length - 1)
  try:
    metadata = strict_json.parse(header)
    metadata = metadata.get('__metadata__', {}) if isinstance(metadata, dict) else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
      raise ValueError('metadata other than texts')
  except ValueError as error:
    raise UserError(
      f'{path}: cannot be read as safetensors ({error}); the file is damaged '
      'or incomplete: fetch it again'
    ) from None
  return metadata


def file_size(path: Path) -> int:
  """The size of a file in bytes; raises `UserError` if it does not exist or is a folder."""
  if not path.is_file():
    raise UserError(
      f'{path}: {"is a folder" if path.is_dir() else "no such file"}, expected a weights file'
    )
  return path.stat().st_size


def check_names(
  what: str, *, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, np.ndarray]
) -> None:
  """Raises `UserError` with the two-sided difference of names, shapes and dtypes.

  `-`: only in the network, `+`: only in the file, `!`: different in both.
  """
  lines = [f'- {name} {shape}' for name, shape in expected.items() if name not in found]
  lines += [f'+ {name} {t.shape}' for name, t in found.items() if name not in expected]
  lines += [
    f'! {name} {found[name].dtype} {found[name].shape}, expected float32 {shape}'
    for name, shape in expected.items()
    if name in found and (found[name].shape != tuple(shape) or found[name].dtype != np.float32)
  ]
  if lines:
    raise UserError(f'{what}: {difference(lines)}')


def check_values(what: str, tensors: Mapping[str, np.ndarray]) -> None:
  """Raises `UserError`, naming the tensor, for NaN, infinity or a negative running variance."""
  for name, tensor in tensors.items():
    if tensor.dtype.kind != 'f':
      continue  # reported by `check_names`
    if not np.isfinite(tensor).all():
      raise UserError(
        f'{what}: {name} holds NaN or infinity; the run it comes from '
        'diverged, or the file is damaged: use other weights'
      )
    if name.endswith('/var') and tensor.size and tensor.min() < 0:
      raise UserError(
        f'{what}: {name} holds {tensor.min():.4g}, expected variances of 0 or more; the file is '
        'damaged or its arrays are in another order: use other weights'
      )


def difference(lines: list[str], *, most: int = 6) -> str:
  """The start of a two-sided difference in one line: some of each side, with the counts."""
  sides = [[line for line in lines if line[0] == sign] for sign in '-+!']
  counts = ', '.join(
    f'{len(side)} {word}'
    for side, word in zip(sides, ('missing', 'unused', 'different'), strict=True)
    if side
  )
  shown = '; '.join(
    '; '.join(side[:most]) + (f'; … ({len(side) - most} more)' if len(side) > most else '')
    for side in sides
    if side
  )
  return f'{counts}: {shown}'
