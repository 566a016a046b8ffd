"""What is known of a network beside its arithmetic: its pictures, its paper, its published weights,
its looks. Each network's file has one; whoever needs a fact about a network asks its card.
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
  """What to cite; the fields are those of BibTeX, `authors` as `Last, First and Last, First`."""

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

  `preprocess`: what stands before them, where it is not what stands before others of their source.
  """

  url: str
  preprocess: Preprocess | None = None

  @property
  def name(self) -> str:
    """The file's name, in the URL and in the caches of its library."""
    return self.url.rsplit('/', 1)[-1]

  @property
  def sha256(self) -> str | None:
    """How the hash of the file begins, which torchvision writes into its name."""
    found = re.search(r'-([0-9a-f]{8})\.pth$', self.name)
    return found[1] if found else None

  @property
  def repository(self) -> str:
    """`timm/resnet50.a1_in1k`, of a repository."""
    return urlsplit(self.url).path.strip('/')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Official(File):
  """A file whose publisher gives its `size` in bytes and its hash: fetched where it is missing."""

  size: int
  md5: str


@dataclasses.dataclass(frozen=True)
class Source:
  """A library that has the network, with weights.

  `variant` of ours computes what it computes; `builder` makes the network there. `classifier` are
  its names of our classifier's layers, `maps` those of the maps of `Card.maps` and of the last one.
  """

  library: str  # keras | torchvision | timm
  variant: str
  builder: str
  licence: str
  files: tuple[File, ...]  # best first
  maps: tuple[str, str, str]
  classifier: tuple[str, ...] = ('fc',)
  preprocess: Preprocess | None = None  # None: what stands before the variant


@dataclasses.dataclass(frozen=True)
class Card:
  """The facts of one network.

  `features` and `parameters` (without the classifier) are those of the first variant at full width.
  `preprocess` says what stands before each variant, the first being the one without weights.
  """

  name: str  # of config.model.name
  title: str  # in print
  min_size: int  # smallest height and width that its originals take, pixels
  features: int
  parameters: int
  preprocess: Mapping[str, Preprocess]
  paper: Paper
  colour: str  # in figures, with the shape of its points as Matplotlib names it
  marker: str
  sources: tuple[Source, ...] = ()  # in the order in which their files are looked for
  maps: tuple[str, str] | None = None  # two feature maps on the way, to compare with the sources'
  # The dense layers of its ImageNet classifier; `classifier_map`: the side of the last feature map
  # where the first of them takes that instead of pooled features.
  classifier: tuple[str, ...] = ('predictions',)
  classifier_map: int = 1

  @property
  def variants(self) -> tuple[str, ...]:
    """Whose details the network can follow."""
    return tuple(self.preprocess)

  @property
  def image_size(self) -> int:
    """The side of the pictures that it was published with, pixels."""
    return self.preprocess[self.variants[0]].size

  def source(self, library: str) -> Source | None:
    """What a library has of it."""
    return next((source for source in self.sources if source.library == library), None)

  @property
  def official(self) -> tuple[Source, Official] | None:
    """The weights that can be fetched from here."""
    files = ((source, file) for source in self.sources for file in source.files)
    return next(((source, file) for source, file in files if isinstance(file, Official)), None)
