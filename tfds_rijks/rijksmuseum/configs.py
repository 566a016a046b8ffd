"""The configs of the builder: a protocol, and the options that are part of its name.

Names: `PROTOCOL`, then `_strict` or `_as_published` if that is not the protocol's default, `_320px`
if pictures are reduced, `_seed1` if the split is drawn with another seed, `_copies-equal` if likely
copies are not one group, `_list-1a2b3c4d` if only listed objects are used. So sets made in
different ways are never in one folder.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, get_args

import tensorflow_datasets as tfds

from tfds_rijks.copies import Rule
from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum.creators import Attribution
from tfds_rijks.rijksmuseum.objects import ObjectList
from tfds_rijks.rijksmuseum.protocols import BALANCED_SEEDS, TASKS
from tfds_rijks.words import did_you_mean, nearest

VERSION = '1.1.0'
RELEASE_NOTES = {
  '1.1.0': 'In the published protocols no object changes its split. challenge2014: onbekend (95 '
  'objects) is an artist, as in the published 374. multitask and full: likely copies (saved again, '
  'resized, tinted, cropped, turned) are one group, so they are in one split (docs/copies.md); '
  '--copies=equal gives the splits of 1.0.0. Types and materials such as onbekend are missing '
  'labels there. '
  'With attribution strict so are makers given only as a word for nobody, and doubt '
  'after a name counts: "Lievens, Jan (toegeschreven aan)". Years before Christ are missing '
  'instead of years of our era. source_url is the page of the object, never the picture. Pictures '
  'mean what their files say (docs/pictures.md): profiles by content; flawed metadata around '
  'intact pixels is tolerated.',
  '1.0.0': 'First release.',
}
_NAME = re.compile(
  r'(?P<protocol>.+?)(?:_(?P<attribution>strict|as_published))?(?:_(?P<size>[1-9]\d{1,4})px)?'
  r'(?:_seed(?P<seed>[1-9]\d*))?(?:_copies-(?P<copies>equal|doubtful))?(?P<list>_list-[0-9a-f]{8})?'
)


@dataclasses.dataclass(eq=False)
class RijksConfig(tfds.core.BuilderConfig):
  """One config.

  Attributes:
    protocol: a name in `PROTOCOLS`.
    tasks: the label features; `several` are those with several labels per object.
    attribution: see `creators.artist`.
    image_size: short side in pixels of stored pictures, None for the files as distributed. seed: of
    the split, if the protocol draws one. objects: the list that restricts the set, if any. copies:
    which pictures are one group besides equal ones, if the split is drawn by group.
  """

  protocol: str = ''
  tasks: tuple[str, ...] = TASKS
  several: tuple[str, ...] = ()
  attribution: Attribution = 'strict'
  image_size: int | None = None
  seed: int = 0
  objects: ObjectList | None = None
  copies: Rule = 'equal'


@dataclasses.dataclass(frozen=True)
class About:
  """A protocol in brief: see `protocols.py` for the rule and the README for the paper."""

  tasks: tuple[str, ...]
  attribution: Attribution
  by_group: bool
  description: str
  several: tuple[str, ...] = ()


PROTOCOLS: Mapping[str, About] = {
  'multitask': About(
    TASKS,
    'strict',
    True,
    'Objects with artist, type and material; one split by group for all three tasks.',
  ),
  'full': About(
    TASKS,
    'strict',
    True,
    'Every object with every label, nothing filtered; split by group.',
    several=('type', 'material'),
  ),
  'challenge2014': About(
    TASKS,
    'as_published',
    False,
    'Mensink and van Gemert 2014: the official split and class lists of rijksgt.mat.',
    several=('type', 'material'),
  ),
  **{
    f'eccv2018_{task}': About(
      (task,),
      'as_published',
      False,
      f'Sabatelli et al. 2018, {task}: first label, 80/10/10, classes present in every split.',
    )
    for task in TASKS
  },
  **{
    f'balanced30_{task}_s{seed}': About(
      (task,),
      'as_published',
      False,
      f'Tonkes and Sabatelli 2022, {task}: 30 classes, at most 1,000 each, seed {seed}.',
    )
    for task in TASKS
    for seed in BALANCED_SEEDS
  },
}


def parse_name(name: str) -> tuple[str, dict[str, Any]]:
  """`multitask_strict_320px` -> (`multitask`, its options): the inverse of the name in `make`.

  Raises:
    UserError: no such protocol.
  """
  match = _NAME.fullmatch(name)
  if match is None or match['protocol'] not in PROTOCOLS:
    found = f'rijksmuseum/{name}: no such config' if name else 'rijksmuseum: a config is missing'
    raise UserError(
      f'{found}; {did_you_mean(nearest(name, PROTOCOLS))}expected rijksmuseum/ and one of '
      f'{", ".join(PROTOCOLS)}'
    )
  options = {
    'attribution': match['attribution'],
    'image_size': int(match['size']) if match['size'] else None,
    'seed': int(match['seed']) if match['seed'] else None,
    'copies': match['copies'],
  }
  return match['protocol'], {field: value for field, value in options.items() if value is not None}


def make(
  protocol: str,
  *,
  attribution: str | None = None,
  image_size: int | None = None,
  seed: int = 0,
  objects: ObjectList | None = None,
  copies: Rule | None = None,
) -> RijksConfig:
  """The config of a protocol with these options; one of `CONFIGS` for the defaults. Raises:
  UserError: an invalid attribution, size or seed.
  """
  about = PROTOCOLS[protocol]
  attribution = attribution or about.attribution
  if attribution not in get_args(Attribution):
    expected = ' or '.join(get_args(Attribution))
    raise UserError(f'--attribution={attribution}: expected {expected}')
  if image_size is not None and not 16 <= image_size <= 10_000:
    raise UserError(f'--image_size={image_size}: expected 16 to 10000 pixels')
  if seed < 0 or (seed and protocol.startswith(('challenge2014', 'balanced30'))):
    raise UserError(f'--seed={seed}: {protocol} does not take this seed; leave the option out')
  usual: Rule = 'likely' if about.by_group else 'equal'
  if copies is not None and copies != usual and not (about.by_group and copies in get_args(Rule)):
    expected = ', '.join(get_args(Rule)) if about.by_group else 'equal: its split is published'
    raise UserError(f'--copies={copies}: {protocol} takes {expected}')
  name = protocol
  name += f'_{attribution}' if attribution != about.attribution else ''
  name += f'_{image_size}px' if image_size else ''
  name += f'_seed{seed}' if seed else ''
  name += f'_copies-{copies}' if copies and copies != usual else ''
  name += f'_list-{objects.digest[:8]}' if objects else ''
  if name == protocol and CONFIGS:
    return next(config for config in CONFIGS if config.name == name)
  return RijksConfig(
    name=name,
    version=tfds.core.Version(VERSION),
    release_notes=RELEASE_NOTES,
    description=about.description,
    protocol=protocol,
    tasks=about.tasks,
    several=about.several,
    attribution=attribution,  # type: ignore[arg-type]  # checked above
    image_size=image_size,
    seed=seed,
    objects=objects,
    copies=copies or usual,
  )


CONFIGS: list[RijksConfig] = []
CONFIGS.extend([make(name) for name in PROTOCOLS])
