"""The defaults: every field, with its meaning, is in `flaxart/config.py`.

Trains: all of a ResNet50 with converted ImageNet weights, and heads for artist, type and material.
Command: python -m flaxart.main --config=configs/default.py --config.data.data_dir=T
"""

from flaxart.config import default_config as get_config

__all__ = ['get_config']
