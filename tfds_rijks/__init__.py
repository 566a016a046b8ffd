"""TFDS builders for museum collections: prepared and read without TensorFlow.

Importing the package registers `rijksmuseum` and `collection` with TFDS.
"""

import importlib.util

from tfds_rijks import collection as collection

if importlib.util.find_spec('tfds_rijks.rijksmuseum.rijksmuseum_dataset_builder'):
  from tfds_rijks import rijksmuseum as rijksmuseum
