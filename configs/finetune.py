"""Fine-tuning: everything learns, starting from a trunk that exists (Sabatelli et al., 2018).

Command: python -m flaxart.main --config=configs/finetune.py --config.data.data_dir=T \
             [--config.init=WEIGHTS.safetensors | --config.init=WORKDIR]

SGD with learning rate 1e-3 and Nesterov momentum 0.9, as in the paper's text. Needs weights; stops
without them. BatchNorm keeps the statistics that came with the trunk (`model.bn = auto`).
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.trainable = 'all'
  config.optim.name = 'sgd'
  config.optim.learning_rate = 1e-3
  config.optim.momentum = 0.9
  return config
