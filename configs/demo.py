"""A complete run without any download, in a few minutes on two cores.

Draws a museum of 1,200 objects in the layout of the Rijksmuseum Challenge, prepares it with the
real `rijksmuseum` builder, and trains a ResNet50 with three heads from scratch on small pictures.

Command: python -m flaxart.main --config=configs/demo.py
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.init = 'scratch'
  config.data.dataset = 'rijksmuseum/multitask'
  config.data.manual_dir = 'runs/demo_museum/source'
  config.data.data_dir = 'runs/demo_museum/prepared'
  config.data.synthetic_objects = 1200
  config.data.image_size = 48
  config.train.epochs = 6.0
  config.train.batch_size = 32
  config.optim.name = 'adam'
  config.optim.learning_rate = 1e-3
  config.optim.schedule = 'cosine'
  config.optim.warmup_epochs = 0.5
  config.model.bn_momentum = 0.9  # a few hundred steps: 0.99 would keep the initial statistics
  config.augment.flip = True
  return config
