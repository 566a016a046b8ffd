"""The experiments of Sabatelli et al. (2018) as the text of the paper describes them.

Trains: one network on one task, pictures squashed to the network's usual size, pixels
in [0, 1], no augmentation, batches of 32; until the val loss has not fallen for 7 epochs, then the
best weights are tested. Modes: `off_the_shelf` (RMSprop, 1e-3, rho 0.9, epsilon 1e-8), `fine_tuned`
(SGD, 1e-3, Nesterov momentum 0.9) and `scratch` (He-uniform, otherwise as fine-tuned).

Command: python -m flaxart.main --config=configs/paper_text.py:mode=fine_tuned \
             --config.tasks=artist

Differs from configs/paper_code.py, which repeats the released code. The text's [0, 1] pixels are
not what ImageNet weights expect: --config.data.pixels=network is the sound choice.
"""

from flaxart.config import config_mode, default_config

MODES = ('off_the_shelf', 'fine_tuned', 'scratch')


def get_config(arguments: str = ''):
  """See the module's docstring; `arguments` is `mode=MODE`."""
  mode = config_mode(arguments, MODES, default='fine_tuned')
  config = default_config()
  config.init = 'scratch' if mode == 'scratch' else 'imagenet'
  config.trainable = 'heads' if mode == 'off_the_shelf' else 'all'
  config.tasks = 'artist'
  # The paper's selection of objects for that task.
  config.data.dataset = 'rijksmuseum/eccv2018_' + config.get_oneway_ref('tasks')
  config.data.pixels = 'zero_one'
  config.data.fit = 'squash'
  config.train.batch_size = 32
  config.train.epochs = 100.0
  config.train.early_stop_patience = 7
  config.checkpoint.best = 'loss'
  config.optim.name = 'rmsprop' if mode == 'off_the_shelf' else 'sgd'
  config.optim.learning_rate = 1e-3
  config.optim.momentum = 0.9
  config.optim.nesterov = True
  return config
