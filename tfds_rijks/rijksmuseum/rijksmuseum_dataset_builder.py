"""TFDS builder `rijksmuseum`: the Rijksmuseum Challenge 2014 under every protocol."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_rijks import fingerprint, images, pictures
from tfds_rijks.build_report import FILE, read, write_json
from tfds_rijks.copies.report import write_sheet
from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum import configs, groundtruth, layout, protocols, survey
from tfds_rijks.rijksmuseum.build_report import INVENTED, build_report
from tfds_rijks.rijksmuseum.creators import parse


class Builder(tfds.core.GeneratorBasedBuilder):
  """112,039 objects of the Rijksmuseum: artist, type, material, year. No TensorFlow is needed."""

  VERSION = tfds.core.Version(configs.VERSION)
  RELEASE_NOTES: ClassVar[dict[str, str]] = configs.RELEASE_NOTES
  BUILDER_CONFIGS: ClassVar[list[configs.RijksConfig]] = configs.CONFIGS
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  The challenge is at https://doi.org/10.21942/uva.5660617 (14.5 GB). Put jpg2/, xml2/ and
  rijksgt.mat, unpacked or as zip or tar, into one folder, the manual_dir.
  """

  # Set before preparing; none of these change the records.
  max_unreadable: str | int | None = None  # None: 1 % of the pictures or 20, the larger
  max_pixels: int = images.MAX_PIXELS
  processes: int | None = None  # None: one per core
  unpack_into: Path | None = None  # for archives; None: a folder in data_dir

  def _info(self) -> tfds.core.DatasetInfo:
    if (self.data_path / 'features.json').exists():  # class names are known only once prepared
      fingerprint.check(Path(self.data_path))
      features = tfds.features.FeaturesDict.from_config(self.data_path)
    else:
      features = _features(self.builder_config)
    info = self.dataset_info_from_configs(
      features=features, homepage='https://doi.org/10.21942/uva.5660617'
    )
    if read(Path(self.data_path)).get('drawn'):
      info.as_proto.description = INVENTED
    return info

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    config: configs.RijksConfig = self.builder_config
    manual_dir, folder = Path(dl_manager.manual_dir), Path(self.data_path)
    into = self.unpack_into or Path(self._data_dir_root) / survey.UNPACKED
    found = survey.find(manual_dir, into=into)
    if found.drawn:
      self.info.as_proto.description = INVENTED
    stems = self._stems(found)
    truth = None
    if config.protocol == 'challenge2014':
      if found.ground_truth is None:
        raise UserError(
          f'{manual_dir}: no {layout.GROUND_TRUTH}; challenge2014 takes its split '
          'and classes from it: copy it from the archive, or prepare another config'
        )
      truth = groundtruth.read(found.ground_truth, rows=len(found.stems))
    records = survey.read_records(found, stems)
    if truth is not None:
      groundtruth.check_rows(truth, found.stems, records.by_stem, path=found.ground_truth)
    paths = {stem: found.pictures[stem] for stem in stems if stem in found.pictures}
    reading = pictures.Reading(
      image_size=config.image_size,
      max_pixels=self.max_pixels,
      processes=self.processes,
      copies=config.copies,
    )
    shelf = pictures.read_all(paths, reading, folder=folder)
    pictures.check_budget(
      shelf.errors, total=len(paths), budget=self.max_unreadable, where=str(manual_dir)
    )
    groups = survey.groups(shelf.pictures, shelf.copies.seed_of)
    choice = protocols.Choice(
      attribution=config.attribution,
      seed=config.seed,
      listed=config.objects is not None,
      splits=config.objects.splits if config.objects else None,
    )
    outcome = protocols.run(
      config.protocol, protocol_objects(groups, records), choice, stems=found.stems, truth=truth
    )
    if not outcome.splits:
      raise UserError(
        f'rijksmuseum/{config.name}: no object is left by '
        f'its rule ({dict(outcome.excluded)}); choose another config or a larger museum'
      )
    report = build_report(
      config=config,
      layout=found,
      records=records,
      shelf=shelf,
      groups=groups,
      outcome=outcome,
      truth=truth,
    )
    for task, names in outcome.classes.items():
      classes = self.info.features[task]
      getattr(classes, 'feature', classes).names = names
    write_sheet(folder, shelf.copies, groups=groups, tie='')
    write_json(folder / FILE, {'dataset': self.info.full_name, **report})
    written = _Written(config, found, records, shelf, groups, outcome, truth)
    return {
      split: self._generate_examples(written, members) for split, members in outcome.splits.items()
    }

  def _generate_examples(
    self, written: _Written, stems: Sequence[str]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    for stem in stems:
      yield stem, written.record(stem)

  def _stems(self, found: layout.Layout) -> Sequence[str]:
    objects = self.builder_config.objects
    if objects is None:
      return found.stems
    listed = set(objects.stems)
    stems = [stem for stem in found.stems if stem in listed]
    if not stems:
      raise UserError(
        f'--objects={objects.name}: none of its {len(listed):,} stems is in the museum; '
        'a stem is a file name without ending, such as 0000004_RP-P-1992-35'
      )
    return stems


@dataclasses.dataclass(frozen=True)
class _Written:
  """The parts of a record."""

  config: configs.RijksConfig
  found: layout.Layout
  records: survey.Records
  shelf: pictures.Shelf
  groups: Mapping[str, str]
  outcome: protocols.Outcome
  truth: groundtruth.GroundTruth | None

  def record(self, stem: str) -> dict[str, Any]:
    """The record of one object, made when it is written to save memory."""
    record = self.records.by_stem.get(stem)
    years = record.years if record else None
    if self.truth:
      years = self.truth.years[bisect.bisect_left(self.found.stems, stem)]
    values: dict[str, Any] = {
      'image': self.shelf.data(stem),
      'object_number': layout.object_number(stem),
      'group': self.groups[stem],
      'title': record.title if record else '',
      'rights': record.rights if record else '',
      'credit_line': record.credit_line if record else '',
      'source_url': record.source_url if record else '',
      **_years(years, official=self.truth is not None),
    }
    for task, value in self.outcome.labels[stem].items():
      values[task] = list(value) if isinstance(value, tuple) else value or -1
    if self.config.protocol == 'full':
      creators = [parse(text) for text in record.creators] if record else []
      values['creators'] = [
        {'name': one.name, 'role': one.role, 'qualifier': one.qualifier} for one in creators
      ]
    return values


def protocol_objects(groups: Mapping[str, str], records: survey.Records) -> list[protocols.Object]:
  """The objects with a readable picture, in the order of their stems."""
  objects = []
  for stem in sorted(groups):
    record = records.by_stem.get(stem)
    if record is None:
      objects.append(protocols.Object(stem, groups[stem]))
    else:
      objects.append(
        protocols.Object(
          stem,
          groups[stem],
          creators=tuple(map(parse, record.creators)),
          types=record.types,
          materials=record.materials,
        )
      )
  return objects


def _features(config: configs.RijksConfig) -> tfds.features.FeaturesDict:
  """The features of a config; class names are set once known."""
  text, number = tfds.features.Text(), tfds.features.Scalar(np.float32)
  features: dict[str, Any] = {
    'image': tfds.features.Image(shape=(None, None, 3), encoding_format='jpeg'),
    'object_number': text,
    'group': text,
    'title': text,
    'rights': text,
    'credit_line': text,
    'source_url': text,
    'year': number,
    'year_begin': number,
    'year_end': number,
  }
  for task in config.tasks:
    label = tfds.features.ClassLabel()
    features[task] = tfds.features.Sequence(label) if task in config.several else label
  if config.protocol == 'full':
    features['creators'] = tfds.features.Sequence({'name': text, 'role': text, 'qualifier': text})
  return tfds.features.FeaturesDict(features)


def _years(years: tuple[int, int] | None, *, official: bool) -> dict[str, float]:
  """`year` is the middle; officially intervals of 100 years or more have none."""
  if years is None:
    return dict.fromkeys(('year', 'year_begin', 'year_end'), float('nan'))
  wide = official and years[1] - years[0] >= protocols.MAX_YEAR_SPAN
  return {
    'year': float('nan') if wide else (years[0] + years[1]) / 2,
    'year_begin': float(years[0]),
    'year_end': float(years[1]),
  }
