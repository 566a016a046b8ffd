"""Off the shelf: the trunk stays as it is, only the heads learn (Sabatelli et al., 2018).

Command: python -m flaxart.main --config=configs/frozen.py --config.data.data_dir=T \
             [--config.init=WEIGHTS.safetensors | --config.init=WORKDIR]

RMSprop with learning rate 1e-3, as in the paper's text. Needs weights; stops without them.
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.trainable = 'heads'
  config.optim.name = 'rmsprop'
  config.optim.learning_rate = 1e-3
  return config
