"""The experiments of Sabatelli et al. (2018) as the released code runs them.

Trains: one network on one task, Keras's own preprocessing, no augmentation, batches of 32 in the
same order in every epoch; until the val loss has not fallen for 7 epochs, 100 at most, then the
weights of the LAST epoch are tested. Modes: `off_the_shelf` (RMSprop, 1e-3; BatchNorm as Keras 2
ran frozen layers), `fine_tuned` (SGD, 1e-4, momentum 0.9, no Nesterov).

Command: python -m flaxart.main --config=configs/paper_code.py:mode=fine_tuned \
             --config.tasks=artist

Its split (scikit-learn, seed 42, over a list that was not published) cannot be repeated.
"""

from flaxart.config import config_mode, default_config

MODES = ('off_the_shelf', 'fine_tuned')


def get_config(arguments: str = ''):
  """See the module's docstring; `arguments` is `mode=MODE`."""
  mode = config_mode(arguments, MODES, default='fine_tuned')
  config = default_config()
  config.init = 'imagenet'
  config.trainable = 'heads' if mode == 'off_the_shelf' else 'all'
  config.tasks = 'artist'
  # The paper's selection of objects for that task.
  config.data.dataset = 'rijksmuseum/eccv2018_' + config.get_oneway_ref('tasks')
  config.data.image_size = 224  # for every network
  config.data.fit = 'squash'
  config.data.shuffle = False
  config.train.batch_size = 32
  config.train.epochs = 100.0
  config.train.early_stop_patience = 7
  config.checkpoint.best = 'last'
  config.optim.momentum = 0.9
  if mode == 'off_the_shelf':
    config.model.bn = 'keras2_frozen'
    config.optim.name = 'rmsprop'
    config.optim.learning_rate = 1e-3
  else:
    config.model.bn = 'batch'  # all layers are trainable: Keras 2 used the statistics of the batch
    config.optim.name = 'sgd'
    config.optim.learning_rate = 1e-4
    config.optim.nesterov = False
  return config
