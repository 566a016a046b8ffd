"""From scratch: everything learns from He-uniform initial values; only the data is needed.

Command: python -m flaxart.main --config=configs/scratch.py --config.data.data_dir=T
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.init = 'scratch'
  config.trainable = 'all'
  config.optim.name = 'adam'
  config.optim.learning_rate = 1e-3
  config.optim.schedule = 'cosine'
  config.optim.warmup_epochs = 1.0
  config.augment.flip = True
  config.augment.zoom = 0.2
  return config
