"""TFDS builders for museum collections: prepared and read without TensorFlow.

Importing the package registers `rijksmuseum` and `collection` with TFDS.
"""

from absl import logging as _absl

from tfds_rijks import collection as collection
from tfds_rijks import rijksmuseum as rijksmuseum

# TFDS warns of what is as intended here: configurations of our own, pictures decoded by Pillow.
_EXPECTED = ('Using custom data configuration', 'OpenCV is not installed')
_absl.get_absl_logger().addFilter(lambda record: not str(record.msg).startswith(_EXPECTED))
