"""One multi-task network, trained as has become usual since the paper.

Trains: all of a converted ImageNet trunk (at a tenth of the heads' learning rate) and three heads:
AdamW with warm-up and cosine, crops and flips, RandAugment, mixup, label smoothing, dropout, and a
running average of the weights, which is evaluated.

Command: python -m flaxart.main --config=configs/modern.py --config.data.data_dir=T \
             [--config.init=scratch --config.optim.multipliers= --config.model.bn_momentum=0.9]
"""

from flaxart.config import default_config


def get_config():
  """See the module's docstring."""
  config = default_config()
  config.tasks = 'artist,type,material'
  config.optim.name = 'adamw'
  config.optim.learning_rate = 1e-3
  config.optim.weight_decay = 0.05
  config.optim.schedule = 'cosine'
  config.optim.warmup_epochs = 1.0
  config.optim.multipliers = 'trunk/.*=0.1'
  config.loss.label_smoothing = 0.1
  config.optim.ema = 0.999
  config.optim.clip_norm = 1.0
  config.model.dropout = 0.2
  config.augment.flip = True
  config.augment.zoom = 0.4
  config.augment.randaugment = 2
  config.augment.magnitude = 7.0
  config.augment.mixup = 0.2
  return config
