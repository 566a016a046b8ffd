"""The facts about a network beside its arithmetic: picture size, paper, published weights, colour
and marker. Each network's file has one; all other code takes facts about networks from it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from flaxart.models.preprocess import Preprocess

# Where the libraries keep their files.
KERAS = 'https://storage.googleapis.com/tensorflow/keras-applications'
TORCH = 'https://download.pytorch.org/models'
HUB = 'https://huggingface.co'
TORCHVISION_LICENCE = 'BSD-3-Clause (torchvision); trained on ImageNet, see its terms of access'


@dataclasses.dataclass(frozen=True)
class Paper:
  """A paper to cite; the fields are BibTeX's, `authors` as `Last, First and Last, First`."""

  key: str
  authors: str
  title: str
  venue: str  # ends with its abbreviation: 'International ... Representations (ICLR)'
  year: int
  arxiv: str

  def __str__(self) -> str:
    """`Simonyan and Zisserman, Very Deep ..., ICLR 2015, arXiv:1409.1556`."""
    *names, last = (author.partition(',')[0] for author in self.authors.split(' and '))
    authors = f'{", ".join(names)} and {last}' if names else last
    title = re.sub('[{}]', '', self.title)
    venue = self.venue[self.venue.rindex('(') + 1 : -1]
    return f'{authors}, {title}, {venue} {self.year}, arXiv:{self.arxiv}'


@dataclasses.dataclass(frozen=True)
class File:
  """Published weights: a file, or a repository on the Hugging Face hub.

  `preprocess`: their preprocessing, if it differs from others of their source.
  """

  url: str
  preprocess: Preprocess | None = None

  @property
  def name(self) -> str:
    """The file's name, in the URL and in the caches of its library."""
    return self.url.rsplit('/', 1)[-1]

  @property
  def sha256(self) -> str | None:
    """The start of the file's SHA-256, which torchvision writes into its name."""
    found = re.search(r'-([0-9a-f]{8})\.pth$', self.name)
    return found[1] if found else None

  @property
  def repository(self) -> str:
    """The repository, such as `timm/resnet50.a1_in1k`."""
    return urlsplit(self.url).path.strip('/')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Official(File):
  """A file whose publisher gives its `size` in bytes and its hash: downloaded if missing."""

  size: int
  md5: str


@dataclasses.dataclass(frozen=True)
class Source:
  """A library that has the network, with weights.

  Our `variant` computes the same; `builder` makes the network there. `classifier` has its names of
  our classifier's layers, `maps` those of the maps in `Card.maps` and of the last one.
  """

  library: str  # keras | torchvision | timm
  variant: str
  builder: str
  licence: str
  files: tuple[File, ...]  # best first
  maps: tuple[str, str, str]
  classifier: tuple[str, ...] = ('fc',)
  preprocess: Preprocess | None = None  # None: the variant's own


@dataclasses.dataclass(frozen=True)
class Card:
  """The facts of one network.

  `features` and `parameters` (without the classifier) are those of the first variant at full width.
  `preprocess` is that of each variant; networks without weights use the first.
  """

  name: str  # of config.model.name
  title: str  # in print
  min_size: int  # smallest height and width that its originals accept, pixels
  features: int
  parameters: int
  preprocess: Mapping[str, Preprocess]
  paper: Paper
  colour: str  # in figures, with Matplotlib's name of the marker
  marker: str
  sources: tuple[Source, ...] = ()  # in the order in which their files are looked for
  maps: tuple[str, str] | None = None  # two inner feature maps, to compare with the sources'
  # The dense layers of its ImageNet classifier; `classifier_map`: the side of the last feature map,
  # if the first of them takes that instead of pooled features.
  classifier: tuple[str, ...] = ('predictions',)
  classifier_map: int = 1
  # Seconds in which two idle cores compile its training step: the first call in
  # docs/performance.md. 0 if not measured.
  compiles_s: int = 0

  @property
  def variants(self) -> tuple[str, ...]:
    """The names of the variants."""
    return tuple(self.preprocess)

  @property
  def image_size(self) -> int:
    """The picture size it was published with, pixels."""
    return self.preprocess[self.variants[0]].size

  def source(self, library: str) -> Source | None:
    """The network in a library."""
    return next((source for source in self.sources if source.library == library), None)

  @property
  def official(self) -> tuple[Source, Official] | None:
    """The weights that can be downloaded."""
    files = ((source, file) for source in self.sources for file in source.files)
    return next(((source, file) for source, file in files if isinstance(file, Official)), None)
