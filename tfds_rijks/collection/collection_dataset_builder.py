"""TFDS builder `collection`: any folder of pictures with a table of labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_rijks import build_report, fingerprint
from tfds_rijks.collection import aliases
from tfds_rijks.collection.account import TIE
from tfds_rijks.collection.assemble import assemble
from tfds_rijks.collection.flags import Flags
from tfds_rijks.collection.records import Collection
from tfds_rijks.copies.report import write_sheet
from tfds_rijks.errors import UserError
from tfds_rijks.labels import RARE
from tfds_rijks.pictures import Reading, Shelf, check_budget, read_all
from tfds_rijks.progress import track

DESCRIPTION = (
  'A collection of pictures with labels, prepared by tfds_rijks from a folder with a table. '
  'See build_report.json beside the data. A missing label is -1, an empty sequence '
  'or NaN; splits are drawn by group.'
)


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """The name of a collection that shares a `data_dir` with others."""

  kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Builder(tfds.core.GeneratorBasedBuilder):
  """A museum's own pictures and labels; prepared by `python -m tfds_rijks.prepare`."""

  VERSION = tfds.core.Version('2.0.0')
  RELEASE_NOTES: ClassVar = {
    '2.0.0': 'Words for nobody (unknown, anoniem, n/a) are missing labels, and so are makers '
    'with doubt after the name. Titles, rights and the like, and columns that a label determines, '
    'are texts, not tasks. Years from 100 to 2100 only. Workbooks are read as shown. '
    'Likely copies (saved again, resized, tinted, cropped, turned) are one group, so they are '
    'in one split (docs/copies.md); --copies=equal only ties equal pixels, as before. '
    'Groups are drawn within classes; those too large for a split go to train.',
    '1.3.0': 'Pictures mean what their files say (docs/pictures.md): deep, planar, inverted ones, '
    'palettes, profiles by content, transparency that is everywhere, orientation by EXIF alone.',
    '1.2.0': 'A folder is one class, whatever its name; #N/A is a missing label.',
    '1.1.0': 'Text features T_rare: the values of a single-label feature T that are too rare to be '
    'a class. Splits, classes and labels are those of 1.0.0.',
    '1.0.0': 'First release.',
  }
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  manual_dir is a folder with metadata.csv: a column `image` with paths relative to the folder, and
  any label columns. Prepare it with
  python -m tfds_rijks.prepare --dataset=collection --manual_dir=FOLDER --data_dir=DATA_DIR
  """

  # Set by `options.Preparation`, which reads the table with the features.
  collection: Collection | None = None
  flags: Flags = Flags()

  def __init__(
    self, *, kinds: Mapping[str, str] | None = None, file_format: Any = None, **kwargs: Any
  ):
    self.kinds = kinds or {}
    # The one TFDS format with random access that is written and read without TensorFlow.
    super().__init__(file_format=file_format or 'array_record', **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    if (self.data_path / 'features.json').exists():
      fingerprint.check(Path(self.data_path))
      features = tfds.features.FeaturesDict.from_config(self.data_path)
    else:
      features = tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(None, None, 3)),
          'object_number': tfds.features.Text(),
          'group': tfds.features.Text(),
          **{name: _feature(kind) for name, kind in self.kinds.items()},
          **{
            name + RARE: tfds.features.Text()
            for name, kind in self.kinds.items()
            if kind == 'label'
          },
        }
      )
    # Not from the package's README.md, which is about the builder; the data are the user's own.
    return tfds.core.DatasetInfo(builder=self, features=features, description=DESCRIPTION)

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[Any, Any]]]:
    if self.collection is None:
      raise UserError(
        f'{self.info.full_name}: is not prepared in {self._data_dir_root}; run python '
        '-m tfds_rijks.prepare --dataset=collection --manual_dir=FOLDER --data_dir='
        f'{self._data_dir_root}'
      )
    folder, source = Path(self.data_path), Path(dl_manager.manual_dir)
    paths = {record.image: record.path for record in self.collection.records}
    reading = Reading(
      image_size=self.flags.image_size,
      max_pixels=self.flags.max_pixels,
      processes=self.flags.processes,
      copies=self.flags.rule(),
    )
    shelf = read_all(paths, reading, folder=folder)
    check_budget(
      shelf.errors, total=len(paths), budget=self.flags.max_unreadable, where=str(source)
    )
    made = assemble(self.collection, shelf, self.flags, folder=source)
    write_sheet(folder, shelf.copies, groups=made.groups, tie=TIE)
    if self.collection.proposals:
      build_report.write_text(
        folder / aliases.PROPOSED,
        aliases.proposals_as_csv(self.collection.proposals),
        encoding='utf-8-sig',  # so that spreadsheet programs recognise UTF-8
      )
    for feature, names in made.names.items():
      classes = self.info.features[feature]
      getattr(classes, 'feature', classes).names = list(names)
    build_report.write_json(
      folder / build_report.FILE, {'dataset': self.info.full_name, **made.report}
    )
    return {
      split: self._generate_examples(track(examples, f'writing {split}', len(examples)), shelf)
      for split, examples in made.examples.items()
    }

  def _generate_examples(
    self, examples: Iterable[tuple[str, Mapping[str, Any]]], shelf: Shelf
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, values in examples:
      yield name, {'image': shelf.data(name), **values}


def _feature(kind: str) -> Any:
  label = tfds.features.ClassLabel()
  if kind == 'text':
    return tfds.features.Text()
  if kind == 'number':
    return tfds.features.Scalar(np.float32)
  return tfds.features.Sequence(label) if kind == 'labels' else label
