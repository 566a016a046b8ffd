"""The options of the `rijksmuseum` builder as `tfds_rijks.prepare` takes them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from tfds_rijks import images
from tfds_rijks.copies import Rule
from tfds_rijks.errors import UserError
from tfds_rijks.pictures import allowed
from tfds_rijks.rijksmuseum import configs, objects, survey
from tfds_rijks.rijksmuseum.rijksmuseum_dataset_builder import Builder


class Preparation:
  """See `tfds_rijks.options.Preparation`.

  Options may be in the name of the config (`multitask_320px`), in the arguments, or in both if they
  agree.
  """

  KEPT = (survey.UNPACKED,)

  def __init__(
    self,
    config: str,
    manual_dir: Path,
    *,
    attribution: str | None = None,
    image_size: int | None = None,
    seed: int | None = None,
    copies: str | None = None,
    objects_file: str | Path | None = None,
    max_pixels: int = images.MAX_PIXELS,
    max_unreadable: str | int | None = None,
    processes: int | None = None,
  ):
    for name, number in (('max_pixels', max_pixels), ('processes', processes)):
      if number is not None and number < 1:
        raise UserError(f'--{name}={number}: expected 1 or more')
    allowed(max_unreadable, 0)  # refused now rather than after all pictures are read
    listed = objects.read(Path(objects_file)) if objects_file else None
    bare, _, digest = config.partition('_list-')
    protocol, named = configs.parse_name(bare)
    asked = {'attribution': attribution, 'image_size': image_size, 'seed': seed, 'copies': copies}
    chosen: dict[str, Any] = {**asked, **named}
    for field, value in asked.items():
      if value is not None and value != chosen[field]:
        raise UserError(
          f'rijksmuseum/{config}: the name has {field}={chosen[field]}, the '
          f'option is {value}; give one of them'
        )
    chosen['seed'] = chosen['seed'] or 0
    self.config = configs.make(protocol, objects=listed, **chosen)
    if digest and (listed is None or not listed.digest.startswith(digest)):
      raise UserError(
        f'rijksmuseum/{config}: is made from a list of objects; give that list with --objects'
      )
    self.manual_dir = manual_dir
    self.dataset = f'rijksmuseum/{self.config.name}'
    self.options = {
      'attribution': self.config.attribution,
      'image_size': self.config.image_size,
      'seed': self.config.seed,
      'objects': listed.digest if listed else None,
      'copies': self.config.copies,
      'max_pixels': max_pixels,
    }
    self.image_size, self.processes, self.max_pixels = self.config.image_size, processes, max_pixels
    self.max_unreadable = max_unreadable
    self.summary = ''
    self.hidden: list[Path] = []
    self.unpack_into, self.unpack = manual_dir / survey.UNPACKED, False  # until `place` is called

  @staticmethod
  def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """See `tfds_rijks.options.Preparation`."""
    parser.add_argument(
      '--image_size',
      type=int,
      help='reduce larger pictures to this short side in pixels (the name of the dataset then '
      'ends in _320px, for example); by default the files are kept',
    )
    parser.add_argument(
      '--attribution',
      choices=('as_published', 'strict'),
      help='strict: only makers without "school of", "after", ... are artists',
    )
    parser.add_argument('--seed', type=int, help='of the split, if the protocol draws one (0)')
    parser.add_argument(
      '--objects',
      dest='objects_file',
      help='CSV with the stems to use, and optionally a column split',
    )
    parser.add_argument(
      '--copies',
      choices=get_args(Rule),
      help='multitask and full: which pictures are one group besides equal ones (default likely: '
      'saved again, resized, tinted, cropped by up to 5%% or turned)',
    )
    parser.add_argument('--max_pixels', type=int, help='largest height times width of a picture')
    parser.add_argument(
      '--max_unreadable',
      help='unreadable pictures to tolerate: 20, or 2%% (default: 1%% or 20, whichever is larger)',
    )
    parser.add_argument('--processes', type=int, help='that read pictures (default: one per core)')

  def place(self, data_dir: Path, *, dry_run: bool) -> None:
    """See `tfds_rijks.options.Preparation`; archives are unpacked there."""
    self.unpack_into, self.unpack = data_dir / survey.UNPACKED, not dry_run

  def pictures(self) -> list[Path]:
    """See `tfds_rijks.options.Preparation`; archives are unpacked to see them."""
    found = survey.find(self.manual_dir, into=self.unpack_into, unpack=self.unpack)
    stems = self.config.objects.stems if self.config.objects else found.stems
    return [found.pictures[stem] for stem in stems if stem in found.pictures]

  def builder(self, data_dir: Path) -> Builder:
    """See `tfds_rijks.options.Preparation`."""
    builder = Builder(config=self.config, data_dir=str(data_dir), file_format='array_record')
    builder.max_unreadable, builder.processes = self.max_unreadable, self.processes
    builder.max_pixels, builder.unpack_into = self.max_pixels, self.unpack_into
    return builder
