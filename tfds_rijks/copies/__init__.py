"""Likely copies: a picture saved again, resized, tinted, slightly cropped or turned.

docs/copies.md has the rule and its figures.
"""

from tfds_rijks.copies.looks import Source
from tfds_rijks.copies.search import Found, Rule, find
from tfds_rijks.copies.sketches import sketch

__all__ = ['Found', 'Rule', 'Source', 'find', 'sketch']
