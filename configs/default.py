"""The defaults themselves: every field with its meaning stands in `flaxart/config.py`.

Trains: a ResNet50 around converted ImageNet weights, all of it, heads artist, type and material.
Command: python -m flaxart.main --config=configs/default.py --config.data.data_dir=T
"""

from flaxart.config import default_config as get_config

__all__ = ['get_config']
