"""The official ImageNet files: where they lie, how large they are, their hashes and licences.

Keras publishes MD5 hashes only (`keras/src/applications/*.py`); torchvision puts the beginning of
the SHA-256 into the file name.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from tfds_rijks.errors import UserError

_KERAS = 'https://storage.googleapis.com/tensorflow/keras-applications'


@dataclasses.dataclass(frozen=True)
class Official:
  """One file of Keras Applications; `size` in bytes."""

  url: str
  size: int
  md5: str

  @property
  def name(self) -> str:
    """The file's name, in the URL and in Keras's cache."""
    return self.url.rsplit('/', 1)[-1]

  def check(self, path: Path) -> None:
    """Raises `UserError` if the file at `path` is not this one."""
    size = path.stat().st_size
    if size != self.size:
      raise UserError(
        f'{path}: found {size:,} bytes, expected {self.size:,}; delete it and fetch '
        f'{self.url} again'
      )
    with path.open('rb') as file:
      # Guards against damage, as Keras does; `usedforsecurity` lets it run where MD5 is forbidden.
      found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != self.md5:
      raise UserError(
        f'{path}: found MD5 {found}, expected {self.md5}; delete it and fetch {self.url} again'
      )


# Without the classifier. ResNet50 is the first version ("v1"), the paper's.
KERAS_FILES = {
  'vgg19': Official(
    f'{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5',
    80_134_624,
    '253f8cb515780f3b799900260a226db6',
  ),
  'inception_v3': Official(
    f'{_KERAS}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5',
    87_910_968,
    'bcbd6486424b2319ff4ef7d526e38f63',
  ),
  'xception': Official(
    f'{_KERAS}/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5',
    83_683_744,
    'b0042744bf5b25fce3cb969f33bebb97',
  ),
  'resnet50': Official(
    f'{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5',
    94_765_736,
    '4d473c1dd8becc155b73f8504c6f6626',
  ),
}

# Names in torch-hub's cache; the hexadecimal part begins the file's SHA-256. Best first.
TORCHVISION_FILES = {
  'vgg19': ('vgg19-dcbb9e9d.pth',),
  'inception_v3': ('inception_v3_google-0cc3c7bd.pth',),
  'resnet50': ('resnet50-11ad3fa6.pth', 'resnet50-0676ba61.pth'),
}

# Repositories on the Hugging Face hub. Best first.
TIMM_REPOSITORIES = {
  'vgg19': ('timm/vgg19.tv_in1k',),
  'inception_v3': ('timm/inception_v3.tv_in1k', 'timm/inception_v3.tf_in1k'),
  'xception': ('timm/legacy_xception.tf_in1k',),
  'resnet50': ('timm/resnet50.a1_in1k', 'timm/resnet50.tv_in1k', 'timm/resnet50.tv2_in1k'),
}

_VGG = 'CC BY 4.0 (Visual Geometry Group, University of Oxford)'
_TORCHVISION = 'BSD-3-Clause (torchvision); trained on ImageNet, see its terms of access'
LICENCES = {
  ('vgg19', 'keras'): _VGG,
  ('inception_v3', 'keras'): 'Apache-2.0 (Google)',
  ('xception', 'keras'): 'Apache-2.0 (Keras)',
  ('resnet50', 'keras'): 'MIT (Kaiming He)',
  ('vgg19', 'torchvision'): _TORCHVISION,
  ('inception_v3', 'torchvision'): _TORCHVISION,
  ('resnet50', 'torchvision'): _TORCHVISION,
  ('vgg19', 'timm'): 'BSD-3-Clause (torchvision, through timm)',
  ('inception_v3', 'timm'): 'Apache-2.0 (timm)',
  ('xception', 'timm'): 'Apache-2.0 (timm)',
  ('resnet50', 'timm'): 'Apache-2.0 (timm)',
}
CITATIONS = {
  'vgg19': 'Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image '
  'Recognition, ICLR 2015, arXiv:1409.1556',
  'inception_v3': 'Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, Rethinking the Inception '
  'Architecture for Computer Vision, CVPR 2016, arXiv:1512.00567',
  'xception': 'Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017, '
  'arXiv:1610.02357',
  'resnet50': 'He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016, '
  'arXiv:1512.03385',
}
