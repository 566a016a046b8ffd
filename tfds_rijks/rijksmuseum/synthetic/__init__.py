"""A synthetic museum in the layout of the Rijksmuseum Challenge 2014, for demos and tests.

Makers, pictures and records are invented; nothing in it comes from the Rijksmuseum.
"""

from tfds_rijks.rijksmuseum.synthetic.museum import draw_museum

__all__ = ['draw_museum']
