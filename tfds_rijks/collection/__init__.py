"""Any collection as a TFDS dataset: a folder of pictures and a table of labels."""

from tfds_rijks.collection.collection_dataset_builder import Builder

__all__ = ['Builder']
