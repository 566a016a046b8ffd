"""Off the shelf: the trunk is frozen, only the heads learn (Sabatelli et al., 2018).

Command: python -m flaxart.main --config=configs/frozen.py --config.data.data_dir=T \
             [--config.init=WEIGHTS.safetensors | --config.init=WORKDIR]

RMSprop with learning rate 1e-3, as in the paper's text. Needs weights; stops without them. The
trunk sees each picture once; its features are kept, so that a second run trains heads immediately.
Several optimizers and learning rates can be tried on them in turn, and val chooses:
--config.probe.settings=rmsprop:1e-3,adam:1e-3,adam:1e-4,sgd:0.1
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.trainable = 'heads'
  config.optim.name = 'rmsprop'
  config.optim.learning_rate = 1e-3
  return config
