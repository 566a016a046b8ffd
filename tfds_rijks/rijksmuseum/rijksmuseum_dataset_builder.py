"""TFDS builder `rijksmuseum`: the Rijksmuseum Challenge 2014 under every protocol of
`configs.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_rijks.errors import UserError
from tfds_rijks.pictures import Shelf, check_budget, read_all
from tfds_rijks.report import FILE, write_json
from tfds_rijks.rijksmuseum import archive, configs, groundtruth, layout, protocols, survey
from tfds_rijks.rijksmuseum.creators import parse
from tfds_rijks.rijksmuseum.reporting import build_report

UNPACKED = 'rijksmuseum_unpacked'


class Builder(tfds.core.GeneratorBasedBuilder):
  """112,039 objects of the Rijksmuseum: artist, type, material, year. No TensorFlow is needed."""

  VERSION = tfds.core.Version(configs.VERSION)
  RELEASE_NOTES = configs.RELEASE_NOTES
  BUILDER_CONFIGS = configs.CONFIGS
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  The challenge is at https://doi.org/10.21942/uva.5660617 (14.5 GB). Put jpg2/, xml2/ and
  rijksgt.mat, unpacked or as zip or tar, into one folder: that is manual_dir.
  """

  # Set by the command before the set is prepared.
  max_unreadable: str | int | None = None  # None: 1 % of the pictures, at least 20
  processes: int | None = None  # worker processes, None: one a core
  report: Mapping[str, Any] | None = None  # of the set just prepared

  def _info(self) -> tfds.core.DatasetInfo:
    stored = self.data_path / 'features.json'  # class names are known only when the museum was read
    if stored.exists():
      features = tfds.features.FeaturesDict.from_config(self.data_path)
    else:
      features = _features(self.builder_config)
    return self.dataset_info_from_configs(
      features=features, homepage='https://doi.org/10.21942/uva.5660617'
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    config: configs.RijksConfig = self.builder_config
    found = find(Path(dl_manager.manual_dir), into=Path(self._data_dir_root) / UNPACKED)
    stems = found.stems
    if config.objects is not None:
      listed = set(config.objects.stems)
      stems = [stem for stem in stems if stem in listed]
      if not stems:
        raise UserError(
          f'--objects={config.objects.name}: none of its {len(listed):,} stems is in the museum; '
          'a stem is a file name without ending, such as 0000004_RP-P-1992-35'
        )
    truth = None
    if config.protocol == 'challenge2014':
      if found.ground_truth is None:
        raise UserError(
          f'{dl_manager.manual_dir}: no {layout.GROUND_TRUTH}; challenge2014 takes its split and '
          'classes from it: copy it from the archive, or prepare another config'
        )
      truth = groundtruth.read(found.ground_truth, rows=len(found.stems))
    records = survey.read_records(found, stems)
    if truth is not None:
      groundtruth.check_rows(truth, found.stems, records.by_stem, path=found.ground_truth)
    paths = {stem: found.pictures[stem] for stem in stems if stem in found.pictures}
    pictures = read_all(
      paths, image_size=config.image_size, folder=self.data_path, processes=self.processes
    )
    check_budget(
      pictures.errors,
      total=len(paths),
      budget=self.max_unreadable,
      where=str(dl_manager.manual_dir),
    )
    groups = survey.groups(pictures.pictures)
    objects = _objects(pictures, records, groups)
    choice = protocols.Choice(
      attribution=config.attribution,
      listed=config.objects is not None,
      splits=config.objects.splits if config.objects else None,
    )
    if truth is not None:
      outcome = protocols.challenge2014(objects, choice, stems=found.stems, truth=truth)
    else:
      run = configs.PROTOCOLS[config.protocol].run
      assert run is not None
      outcome = run(objects, choice)
    if not outcome.splits:
      raise UserError(
        f'rijksmuseum/{config.name}: no object is left under its rule ({dict(outcome.excluded)}); '
        'choose another config or a larger museum'
      )
    for task, names in outcome.classes.items():
      feature = self.info.features[task]
      (feature.feature if task in outcome.several else feature).names = names
    self.report = build_report(
      config=config,
      layout=found,
      records=records,
      pictures=pictures,
      groups=groups,
      outcome=outcome,
      truth=truth,
      choice=choice,
    )
    write_json(Path(self.data_path) / FILE, self.report)
    return {
      split: self._generate_examples(members, found, records, pictures, groups, outcome, truth)
      for split, members in outcome.splits.items()
    }

  def _generate_examples(
    self,
    stems: list[str],
    found: layout.Layout,
    records: survey.Records,
    pictures: Shelf,
    groups: Mapping[str, str],
    outcome: protocols.Outcome,
    truth: groundtruth.GroundTruth | None,
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    row = {stem: i for i, stem in enumerate(found.stems)} if truth else {}
    for stem in stems:
      record = records.by_stem.get(stem)
      years = truth.years[row[stem]] if truth else record.years if record else None
      example: dict[str, Any] = {
        'image': pictures.data(stem),
        'object_number': layout.object_number(stem),
        'group': groups[stem],
        'title': record.title if record else '',
        'rights': record.rights if record else '',
        'credit_line': record.credit_line if record else '',
        'source_url': record.source_url if record else '',
        **_year_features(years, protocol=self.builder_config.protocol),
      }
      for task, value in outcome.labels[stem].items():
        example[task] = list(value) if task in outcome.several else value or -1
      if self.builder_config.protocol == 'full':
        creators = [parse(text) for text in record.creators] if record else []
        example['creators'] = [
          {'name': one.name, 'role': one.role, 'qualifier': one.qualifier} for one in creators
        ]
      yield stem, example


def find(manual_dir: Path, *, into: Path) -> layout.Layout:
  """The museum below `manual_dir`; archives there are unpacked below `into` unless folders are
  there."""
  try:
    return layout.find(manual_dir)
  except UserError:
    packed = archive.archives(manual_dir) if manual_dir.is_dir() else []
    if not packed:
      raise
  roots = [archive.unpacked(one, into=into) for one in packed]
  return layout.find(manual_dir, also=roots)


def _objects(
  pictures: Shelf, records: survey.Records, groups: Mapping[str, str]
) -> list[protocols.Object]:
  """The objects with a readable picture, in the order of their stems."""
  objects = []
  for stem in sorted(pictures.pictures):
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
          years=record.years,
        )
      )
  return objects


def _features(config: configs.RijksConfig) -> tfds.features.FeaturesDict:
  """The features; classes are named later."""
  text, number = tfds.features.Text(), tfds.features.Scalar(np.float32)
  several = ('type', 'material') if config.protocol in ('challenge2014', 'full') else ()
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
    features[task] = tfds.features.Sequence(label) if task in several else label
  if config.protocol == 'full':
    features['creators'] = tfds.features.Sequence({'name': text, 'role': text, 'qualifier': text})
  return tfds.features.FeaturesDict(features)


def _year_features(years: tuple[int, int] | None, *, protocol: str) -> dict[str, float]:
  """`year` is the middle of the interval; `challenge2014` has none for intervals of 100 years and
  more."""
  if years is None:
    return dict.fromkeys(('year', 'year_begin', 'year_end'), float('nan'))
  wide = protocol == 'challenge2014' and years[1] - years[0] >= protocols.MAX_YEAR_SPAN
  return {
    'year': float('nan') if wide else (years[0] + years[1]) / 2,
    'year_begin': float(years[0]),
    'year_end': float(years[1]),
  }
