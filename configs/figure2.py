"""Figure 2: one network for artist, material and type, against one network for each.

Command: python -m flaxart.main --config=configs/figure2.py:run=multi,seed=0 \
             --workdir=runs/figure2/multi_s0 --config.data.data_dir=T

launch/figure2.sh runs multi and the three single tasks, three seeds each.

A matched comparison, which the abstract is not (its runs have validation sets of different sizes
and stop at different epochs): the same objects and splits, the same seeds, the same settings, and
the same number of pictures seen, so there is no early stopping. 43 epochs, as in the published log
of the multi-task network; ResNet50, fine-tuned by SGD at 1e-3 with Nesterov momentum 0.9, batches
of 32, losses summed 1:1:1; the weights with the lowest val loss are tested. The report puts the
cost beside the scores: one network's time against the sum of the others'.
"""

from flaxart.config import default_config
from tfds_rijks.errors import UserError

TASKS = ('artist', 'material', 'type')
RUNS = ('multi', *TASKS)
FORM = 'run=R[,seed=N]'


def get_config(arguments: str = ''):
  """See the module's docstring; `arguments` is `run=multi|TASK[,seed=..]`.

  Another task than these three is passed on: the dataset decides whether it exists.
  """
  given = {'run': 'multi', 'seed': '0'}
  for part in filter(None, arguments.split(',')):
    name, _, value = part.partition('=')
    if name not in given or not value:
      raise UserError(
        f'--config: found {part!r} after the file, expected {FORM}, R one of '
        f'{", ".join(RUNS)} or another label of the dataset'
      )
    given[name] = value
  if not given['seed'].isdecimal():
    raise UserError(f'--config: found seed={given["seed"]!r}, expected a whole number from 0')

  config = default_config()
  config.seed = int(given['seed'])
  config.tasks = ','.join(TASKS) if given['run'] == 'multi' else given['run']
  config.model.name = 'resnet50'
  config.init = 'imagenet'
  config.trainable = 'all'
  config.data.image_size = 224
  config.data.fit = 'squash'
  config.train.batch_size = 32
  config.train.epochs = 43.0
  config.train.early_stop_patience = 0
  config.checkpoint.best = 'loss'
  config.optim.name = 'sgd'
  config.optim.learning_rate = 1e-3
  config.optim.momentum = 0.9
  config.optim.nesterov = True
  return config
