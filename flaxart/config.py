"""Every setting of a run with its meaning and default.

What is refused is in `config_checks`, the grammar of settings that are lists or patterns in
`settings`.

`configs/*.py` start from `default_config()` and change what they are about. A run's settings are
stored as `config.json` in its workdir, and from there it is continued and evaluated: config files
are Python, a stored run is not.
"""

from __future__ import annotations

import json
from pathlib import Path

from ml_collections import ConfigDict

from flaxart.config_format import up_to_date
from tfds_rijks.errors import UserError
from tfds_rijks.images import Square

MODELS = ('vgg19', 'inception_v3', 'xception', 'resnet50')
OPTIMIZERS = ('sgd', 'adam', 'adamw', 'rmsprop')
# Fields that may differ when a run is continued: they change neither the data nor the arithmetic
# (but see `_counts_here`).
MAY_CHANGE = (
  'checkpoint.asynchronous',
  'data.cache',
  'data.cache_dir',
  'data.data_dir',
  'data.manual_dir',
  'data.workers',
  'log.every_steps',
  'log.profile',
  'parallelism',
  'probe.cache_dir',
)


def default_config() -> ConfigDict:
  """The defaults: fine-tuning a converted ImageNet trunk at 224 px, three heads."""
  config = ConfigDict()
  config.seed = 0
  config.tasks = 'artist,type,material'  # names of dataset features, separated by commas
  # What learns: 'heads', 'all', or a pattern of parameter paths such as 'heads/.*|trunk/stage4/.*'
  # (a full match learns, the rest is frozen: no gradient, no optimizer slot, no moving statistics).
  config.trainable = 'all'
  # Where the trunk starts: 'scratch', 'imagenet', a weights file, or the workdir of another run.
  config.init = 'imagenet'

  # How a step runs on several devices: jit (one program over the global batch) | shard_map (one a
  # device, with explicit sums).
  config.parallelism = 'jit'

  config.model = model = ConfigDict()
  model.name = 'resnet50'  # vgg19 | inception_v3 | xception | resnet50
  model.width = 1.0  # multiplies all channel counts; 1 is the published network
  model.shallow = False  # one block per stage, for tests and quick trials
  # BatchNorm that learns: 'batch' = statistics of the batch, 'frozen' = the stored ones,
  # 'auto' = frozen for a trunk that starts from weights, batch for one from scratch.
  # 'keras2_frozen' repeats what Keras 2 did to a frozen layer, for comparison only: statistics of
  # the batch in training, the stored ones in evaluation (keras-team/keras pull request 9965).
  model.bn = 'auto'
  model.bn_momentum = 0.99  # share of the old running statistics kept; 0.9 for under 1,000 steps
  # Under shard_map: statistics of the global batch, or of each device's part of it (faster).
  model.bn_sync = True
  model.dropout = 0.0  # on the pooled features
  model.dtype = 'auto'  # compute: float32 | bfloat16 | auto (float32 on CPU, bfloat16 elsewhere)

  config.data = data = ConfigDict()
  data.dataset = 'rijksmuseum/multitask'  # a TFDS name
  data.data_dir = '~/tensorflow_datasets'  # where prepared datasets lie
  data.manual_dir = ''  # the source folder; given, the dataset is prepared when it is not there yet
  data.image_size = 224  # pixels; pictures enter the network as squares
  data.fit = 'squash'  # how a picture becomes a square: squash (the paper), crop, or pad with white
  # What resizes it: pillow, or simd, four times as fast (extra `simd`); values differ by rounding.
  data.resize = 'pillow'
  data.pixels = 'network'  # what enters the network: its own preprocessing, or zero_one (x / 255)
  data.shuffle = True  # False: the same order in every epoch, as the paper's released code has it
  data.workers = 0  # decoding processes; 0 = threads of this process
  data.cache = (
    'none'  # decoded pictures: none, host (in memory), device, or auto: flaxart/data/cache.py
  )
  data.cache_dir = ''  # of their files; empty = ~/.cache/flaxart/decoded ($XDG_CACHE_HOME)
  data.synthetic_objects = 0  # draw a museum of so many objects into manual_dir first (the demo)

  config.augment = augment = ConfigDict()
  augment.flip = False  # mirror half of the training pictures
  augment.zoom = 0.0  # random crop of at least 1 - zoom of each side, resized back
  augment.randaugment = 0  # operations a picture, drawn from flaxart/data/randaugment.py
  augment.magnitude = 9.0  # of these operations, 0 to 10
  augment.mixup = 0.0  # alpha of the Beta distribution that mixes pairs of pictures; 0 = off

  config.train = train = ConfigDict()
  train.epochs = 20.0
  train.batch_size = 32  # global: over all devices and processes
  train.eval_every_epochs = 1.0
  # A loss, gradient or update that is not a number: abort = stop, skip = leave the update out.
  train.on_nonfinite = 'abort'
  train.max_skipped = 10  # updates that skip leaves out before it stops, too
  train.accumulate = 1  # parts in which a batch is computed, one after the other, to save memory
  train.early_stop_patience = 0  # evaluations without a lower val loss; 0 = never (the paper: 7)
  train.unfreeze = ''  # '0:heads/.*;3:.*': what learns from which epoch on; empty = all at once

  # What is minimised; the paper sums the tasks' plain losses.
  config.loss = loss = ConfigDict()
  loss.label_smoothing = 0.0
  # Weight of each task: 'artist=1,type=0.5' (not named = 1), or 'learned' (homoscedastic
  # uncertainty).
  loss.task_weights = ''
  # Weight of each class: none | sqrt | inverse | effective, for all tasks or 'artist=sqrt'.
  loss.class_weights = ''
  loss.class_weight_cap = 10.0  # no class counts more than so many average records
  loss.logit_adjustment = 0.0  # times the log of the class's share (Menon et al., 2021); 0 = off

  config.optim = optim = ConfigDict()
  optim.name = 'sgd'  # sgd (with momentum) | adam | adamw | rmsprop
  optim.learning_rate = 1e-3
  optim.momentum = 0.9
  optim.nesterov = True
  optim.weight_decay = 0.0  # decoupled, on kernels only
  optim.schedule = 'constant'  # constant | cosine (to zero at the last step) | plateau
  optim.plateau_patience = 2  # evaluations without a lower val loss before the rate falls
  optim.plateau_factor = 0.1
  optim.warmup_epochs = 0.0
  optim.clip_norm = 0.0  # global gradient norm; 0 = off
  optim.multipliers = ''  # 'trunk/.*=0.1': factors on the learning rate; the first match counts
  optim.ema = 0.0  # decay of a running average of the weights, which is evaluated and kept; 0 = off

  # Frozen trunk without augmentation: features are computed once, heads learn on them.
  config.probe = probe = ConfigDict()
  probe.cache_dir = ''  # where features are kept; empty = ~/.cache/flaxart/features
  # 'rmsprop:1e-3,adam:1e-4,sgd:0.1': optimizers and learning rates that are tried side by side, the
  # best on val is tested and kept; empty = the one of config.optim.
  probe.settings = ''

  config.checkpoint = checkpoint = ConfigDict()
  checkpoint.every_steps = 0  # saves between evaluations; 0 = only after each evaluation
  checkpoint.asynchronous = True  # write while training goes on; False: wait for each save
  checkpoint.keep_optimizer = False  # True: a finished run keeps best and latest, as they were
  checkpoint.best = 'score'  # on val: score (mean main score of the tasks) | loss; or last

  config.eval = evaluation = ConfigDict()
  evaluation.batch_size = 64
  evaluation.test = True  # False: a candidate of a grid, chosen on val; test is not looked at
  evaluation.baselines = True  # nearest neighbour on 16x16 pixels, and label-only

  config.log = log = ConfigDict()
  log.every_steps = 20
  log.profile = ''  # steps to trace, '100' or '100:103' (both included), into WORKDIR/profile
  log.tensorboard = True
  return config.lock()  # a name that is not above is a mistake


def square_of(config: ConfigDict) -> Square:
  """How pictures become squares in this run."""
  return Square(config.data.image_size, config.data.fit, config.data.resize)


def config_mode(arguments: str, modes: tuple[str, ...], *, default: str) -> str:
  """The mode in `--config=configs/X.py:mode=MODE`; a mistake is named with what there is."""
  name, _, mode = arguments.partition('=')
  if not arguments:
    return default
  if name != 'mode' or mode not in modes:
    raise UserError(
      f'--config: found {arguments!r} behind the file, expected mode=M, M one of {", ".join(modes)}'
    )
  return mode


def read(path: Path) -> ConfigDict:
  """The settings of a stored run; fields that are newer than the run get their default."""
  return _read(path)[0]


def lost(path: Path) -> dict[str, object]:
  """`{'head_devices': 4}`: what a stored run was told and `read` leaves out (`config_format`)."""
  return _read(path)[1]


def _read(path: Path) -> tuple[ConfigDict, dict[str, object]]:
  config = default_config()
  try:
    stored, gone = up_to_date(json.loads(path.read_text(encoding='utf-8')))
    config.update(stored)
  except (FileNotFoundError, NotADirectoryError):
    raise not_a_run(path) from None
  except (TypeError, ValueError, AttributeError, KeyError) as error:
    raise UserError(f'{path}: is not the settings of a run ({error})') from None
  return config, gone


def not_a_run(missing: Path) -> UserError:
  """What to raise where a file that every run has is not there."""
  return UserError(
    f'{missing}: not found; expected the folder of a run instead of {missing.parent}'
  )


def to_json(config: ConfigDict) -> str:
  """The settings as text, the way they are stored."""
  return json.dumps(config.to_dict(), indent=2, sort_keys=True) + '\n'


def differences(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[object, object]]:
  """Fields whose values differ and may not: `{'optim.learning_rate': (0.1, 0.2)}`."""
  a, b = flat(old), flat(new)
  may_change = set(MAY_CHANGE) - _counts_here(old)
  return {
    field: (a.get(field), b.get(field))
    for field in sorted(a | b)
    if a.get(field) != b.get(field) and field not in may_change
  }


def _counts_here(config: ConfigDict) -> set[str]:
  """Of `MAY_CHANGE`, what may change the arithmetic of this run."""
  fields = set()
  # Under shard_map each device draws its own dropout, mixes its own pictures and may have its own
  # statistics.
  if config.model.dropout or config.augment.mixup or not config.model.bn_sync:
    fields.add('parallelism')
  return fields


def flat(config: ConfigDict, prefix: str = '') -> dict[str, object]:
  """`{'optim.learning_rate': 0.1, ...}`."""
  fields: dict[str, object] = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      fields |= flat(value, f'{prefix}{key}.')
    else:
      fields[prefix + key] = value
  return fields
