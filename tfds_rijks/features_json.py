"""Checks `features.json` before TFDS reads it: TFDS imports whatever module the file names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = 'features.json'
_MODULES = 'tensorflow_datasets.core.features.'
_CLASS_KEYS = ('pythonClassName', 'python_class_name', 'type')  # the last one of TFDS before 4.5


def problems(folder: Path) -> list[str]:
  """What is wrong with the features of a prepared version, as short phrases."""
  try:
    content = read_object(folder / FILE)
    classes = list(_classes(content))
  except FileNotFoundError:
    return [f'{FILE} is missing']
  except ValueError:
    return [f'{FILE} cannot be read']
  outside = [name for name in classes if not name.startswith(_MODULES)]
  if not classes:
    return [f'{FILE} cannot be read']
  if outside:
    return [f'{FILE} names {outside[0][:100]!r}, which is not a feature of TFDS and not imported']
  return list(_without_names(folder, content))


def read_object(file: Path) -> dict[str, Any]:
  """The object in a JSON file; `ValueError` for anything else, `FileNotFoundError` for no file."""
  if not file.is_file():
    raise FileNotFoundError(file)
  try:
    content = json.loads(file.read_bytes())
  except RecursionError:
    raise ValueError('nested too deeply') from None
  if not isinstance(content, dict):
    raise ValueError(f'found {type(content).__name__}, expected an object')
  return content


def _classes(value: Any) -> Iterator[str]:
  """Every Python class that TFDS would import for a feature."""
  if isinstance(value, list):
    for item in value:
      yield from _classes(item)
  elif isinstance(value, dict):
    for key, item in value.items():
      if isinstance(item, str) and key in _CLASS_KEYS:
        yield item
      elif isinstance(item, str) and key == 'json':  # a feature in a text
        yield from _classes(json.loads(item))
      else:
        yield from _classes(item)


def _without_names(folder: Path, content: dict[str, Any]) -> Iterator[str]:
  """Features of classes whose file of names is gone: TFDS would call them "0", "1", "2"."""
  features = content.get('featuresDict', {})
  features = features.get('features', {}) if isinstance(features, dict) else {}
  for name, feature in features.items() if isinstance(features, dict) else ():
    inner = feature.get('sequence') if isinstance(feature, dict) else None
    one = inner.get('feature') if isinstance(inner, dict) else feature
    label = one.get('classLabel') if isinstance(one, dict) else None
    classes = str(label.get('numClasses', 0)) if isinstance(label, dict) else '0'
    if classes == '0':
      continue
    file = folder / f'{name}.labels.txt'
    if not file.is_file():
      yield f'{file.name} is missing'
      continue
    found = sum(bool(line.strip()) for line in file.read_bytes().split(b'\n'))
    if str(found) != classes:
      yield f'{file.name} has {found} classes, {FILE} has {classes[:20]}'
