"""One multi-task network: a shared trunk, one head per task, the losses summed 1:1:1.

Command: python -m flaxart.main --config=configs/mtl.py --workdir=W --config.data.data_dir=T \
             [--config.data.dataset=collection --config.tasks=artist,type]

Starts from scratch, so that it runs everywhere; --config.init=imagenet, --config.init=FILE or
--config.init=WORKDIR starts from weights.
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.init = 'scratch'
  config.tasks = 'artist,type,material'
  config.optim.name = 'adam'
  config.optim.learning_rate = 1e-3
  config.optim.schedule = 'cosine'
  config.optim.warmup_epochs = 1.0
  config.model.bn_momentum = 0.9
  config.augment.flip = True
  config.augment.zoom = 0.2
  return config
