"""The configs of the builder: a protocol, who counts as the artist, the size of the pictures.

Names: `PROTOCOL`, with `_strict` or `_as_published` where that is not the protocol's default,
`_320px` where pictures are made smaller, `_list-1a2b3c4d` where only listed objects are taken. All
of it is in the name, so that sets made in different ways never lie in one folder.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import tensorflow_datasets as tfds

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum import protocols
from tfds_rijks.rijksmuseum.creators import Attribution
from tfds_rijks.rijksmuseum.objects import ObjectList

VERSION = '1.0.0'
RELEASE_NOTES = {'1.0.0': 'First release.'}
SEEDS = range(5)


@dataclasses.dataclass(eq=False)
class RijksConfig(tfds.core.BuilderConfig):
  """One config.

  Attributes:
    protocol: a name in `PROTOCOLS`.
    tasks: the label features.
    attribution: see `creators.artist`.
    image_size: short side in pixels of what is stored, None for the files as distributed.
    objects: the list that restricts the set, if any.
  """

  protocol: str = ''
  tasks: tuple[str, ...] = protocols.TASKS
  attribution: Attribution = 'strict'
  image_size: int | None = None
  objects: ObjectList | None = None


@dataclasses.dataclass(frozen=True)
class Protocol:
  """One protocol; `run` is None for `challenge2014`, which needs the ground truth."""

  run: Callable[..., protocols.Outcome] | None
  tasks: tuple[str, ...]
  attribution: Attribution
  by_group: bool
  description: str


def _single(family: str) -> dict[str, Protocol]:
  made = {}
  for task in protocols.TASKS:
    if family == 'eccv2018':
      made[f'eccv2018_{task}'] = Protocol(
        functools.partial(protocols.eccv2018, task=task),
        (task,),
        'as_published',
        False,
        f'Sabatelli et al. 2018, {task}: first label, 80/10/10, classes present in every split.',
      )
    else:
      for seed in SEEDS:
        made[f'balanced30_{task}_s{seed}'] = Protocol(
          functools.partial(protocols.balanced30, task=task, seed=seed),
          (task,),
          'as_published',
          False,
          f'Tonkes and Sabatelli 2022, {task}: 30 classes, at most 1,000 each, seed {seed}.',
        )
  return made


PROTOCOLS: Mapping[str, Protocol] = {
  'multitask': Protocol(
    protocols.multitask,
    protocols.TASKS,
    'strict',
    True,
    'Objects that carry artist, type and material; one split by group for all three tasks.',
  ),
  'full': Protocol(
    protocols.full,
    protocols.TASKS,
    'strict',
    True,
    'Every object with every label, nothing filtered; split by group.',
  ),
  'challenge2014': Protocol(
    None,
    protocols.TASKS,
    'as_published',
    False,
    'Mensink and van Gemert 2014: the official split and class lists of rijksgt.mat.',
  ),
  **_single('eccv2018'),
  **_single('balanced30'),
}


def config(
  protocol: str,
  *,
  attribution: Attribution | None = None,
  image_size: int | None = None,
  objects: ObjectList | None = None,
) -> RijksConfig:
  """The config of a protocol with these options.

  Raises:
    UserError: no such protocol, attribution or size.
  """
  if protocol not in PROTOCOLS:
    raise UserError(f'rijksmuseum/{protocol}: no such config; there are {", ".join(PROTOCOLS)}')
  about = PROTOCOLS[protocol]
  attribution = attribution or about.attribution
  if attribution not in ('as_published', 'strict'):
    raise UserError(f'attribution={attribution}: expected as_published or strict')
  if image_size is not None and not 16 <= image_size <= 10_000:
    raise UserError(f'image_size={image_size}: expected 16 to 10000 pixels')
  if attribution == about.attribution and image_size is None and objects is None:
    return next(one for one in CONFIGS if one.name == protocol)
  return _make(protocol, attribution=attribution, image_size=image_size, objects=objects)


def _make(
  protocol: str, *, attribution: Attribution, image_size: int | None, objects: ObjectList | None
) -> RijksConfig:
  about = PROTOCOLS[protocol]
  name = protocol
  if attribution != about.attribution:
    name += f'_{attribution}'
  if image_size is not None:
    name += f'_{image_size}px'
  if objects is not None:
    name += f'_list-{objects.digest[:8]}'
  return RijksConfig(
    name=name,
    version=tfds.core.Version(VERSION),
    release_notes=RELEASE_NOTES,
    description=about.description,
    protocol=protocol,
    tasks=about.tasks,
    attribution=attribution,
    image_size=image_size,
    objects=objects,
  )


CONFIGS = [
  _make(name, attribution=about.attribution, image_size=None, objects=None)
  for name, about in PROTOCOLS.items()
]
