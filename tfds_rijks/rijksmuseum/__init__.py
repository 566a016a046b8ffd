"""The Rijksmuseum Challenge 2014 (Mensink and van Gemert) as a TFDS dataset, under every
protocol."""

from tfds_rijks.rijksmuseum.rijksmuseum_dataset_builder import Builder

__all__ = ['Builder']
