"""flaxart: recognise the artist, the material and the type of museum objects, in JAX and Flax."""

__version__ = '0.1.0'
