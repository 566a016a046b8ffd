"""TFDS builders for museum collections: prepared and read without TensorFlow.

Importing the package registers `rijksmuseum` and `collection` with TFDS.
"""

from tfds_rijks import collection as collection
from tfds_rijks import rijksmuseum as rijksmuseum
