"""Figure 1: one network, one task; off the shelf, fine-tuned or from scratch.

Command: python -m flaxart.main --workdir=runs/figure1/resnet50_artist_fine_tuned_s0 \
             --config=configs/figure1.py:model=resnet50,task=artist,mode=fine_tuned,seed=0 \
             --config.data.data_dir=T

launch/figure1.sh runs the whole grid: four networks, three tasks, three modes, three seeds.

As in the text of Sabatelli et al. (2018): RMSprop at 1e-3 off the shelf, SGD at 1e-3 with
Nesterov momentum 0.9 otherwise; batches of 32, no augmentation, pictures squashed to each network's
own size; until the val loss has not fallen for 7 epochs (100 at most), then the weights with the
lowest val loss are tested. Three things differ. Pixels are scaled as the weights expect, not as
x / 255 (--config.data.pixels=zero_one repeats the text); frozen BatchNorm stays frozen; and the
split is by object, over the objects that have all three labels (the paper's own selection is
--config.data.dataset=rijksmuseum/eccv2018_artist). The paper trains only Inception-V3 from scratch.
"""

from flaxart.config import default_config
from flaxart.models import cards
from tfds_rijks.errors import UserError

ALLOWED = {'model': tuple(cards()), 'mode': ('off_the_shelf', 'fine_tuned', 'scratch')}
FORM = 'model=M,task=T,mode=M[,seed=N]'


def get_config(arguments: str = ''):
  """See the module's docstring; `arguments` is `model=..,task=..,mode=..[,seed=..]`."""
  given = {'model': 'resnet50', 'task': 'artist', 'mode': 'fine_tuned', 'seed': '0'}
  for part in filter(None, arguments.split(',')):
    name, _, value = part.partition('=')
    if name not in given:
      raise UserError(f'--config: found {part!r} after the file, expected {FORM}')
    if not value or value not in ALLOWED.get(name, (value,)):
      expected = f'one of {", ".join(ALLOWED[name])}' if name in ALLOWED else 'the name of a label'
      raise UserError(f'--config: found {part!r} after the file, expected for {name} {expected}')
    given[name] = value
  if not given['seed'].isdecimal():
    raise UserError(f'--config: found seed={given["seed"]!r}, expected a whole number from 0')

  config = default_config()
  config.seed = int(given['seed'])
  config.tasks = given['task']
  config.model.name = given['model']
  config.init = 'scratch' if given['mode'] == 'scratch' else 'imagenet'
  config.trainable = 'heads' if given['mode'] == 'off_the_shelf' else 'all'
  config.data.image_size = cards()[given['model']].image_size
  config.data.fit = 'squash'
  config.train.batch_size = 32
  config.train.epochs = 100.0
  config.train.early_stop_patience = 7
  config.checkpoint.best = 'loss'
  config.optim.name = 'rmsprop' if given['mode'] == 'off_the_shelf' else 'sgd'
  config.optim.learning_rate = 1e-3
  config.optim.momentum = 0.9
  config.optim.nesterov = True
  return config
