"""Every setting of a run with its meaning and default.

Checks are in `config_checks`, the grammar of settings that are lists or patterns in `settings`.
`configs/*.py` start from `default_config()` and change some of them. A run's settings are stored as
`config.json` in its workdir, from which it is continued and evaluated: config files are Python,
stored runs are not.

A setting must not change when a run is continued, and runs that differ in one are two experiments
in the report, unless its default is marked:

* `free(...)`: how the run is carried out. It may change, and does not make another experiment.
* `folder(...)`: the same; a path on this machine, which the report does not show.
* `aside(...)`: names the run, or what is kept of it. It must not change, but does not make another
experiment.
* `of_network(...)`, `of_mode(...)`, `of_tasks(...)`: changes along with the network, the mode (the
paper has another optimizer for each mode), or the tasks. Experiments that differ in both differ in
one thing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flaxart.config_format import up_to_date
from flaxart.machine import form
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError
from tfds_rijks.images import Square

OPTIMIZERS = ('sgd', 'adam', 'adamw', 'rmsprop')


@dataclasses.dataclass(frozen=True)
class _Marked:
  """A default, and what its field means to a continued run and to the report."""

  mark: str
  default: Any


free = functools.partial(_Marked, 'free')
folder = functools.partial(_Marked, 'folder')
aside = functools.partial(_Marked, 'aside')
of_network = functools.partial(_Marked, 'of_network')
of_mode = functools.partial(_Marked, 'of_mode')
of_tasks = functools.partial(_Marked, 'of_tasks')


def _all(section: ConfigDict, mark: Callable[[Any], _Marked]) -> None:
  """Marks every default of a section."""
  with section.ignore_type():
    section.update({name: mark(default) for name, default in section.items()})


def default_config() -> ConfigDict:
  """The defaults: fine-tuning a converted ImageNet trunk, three heads."""
  return _plain(_defaults()).lock()  # unknown names are refused


def _defaults() -> ConfigDict:
  config = ConfigDict()
  config.seed = aside(0)
  config.tasks = aside('artist,type,material')  # names of dataset features, separated by commas
  # What learns: 'heads', 'all', or a pattern of parameter paths such as 'heads/.*|trunk/stage4/.*'
  # (a full match learns, the rest is frozen: no gradient, no optimizer slot, no moving statistics).
  config.trainable = of_mode('all')
  # Where the trunk starts: 'scratch', 'imagenet', a weights file, or the workdir of another run.
  config.init = of_mode('imagenet')

  # How a step runs on several devices: jit (one program over the global batch) | shard_map (one per
  # device, with explicit sums).
  config.parallelism = free('jit')

  config.model = model = ConfigDict()
  model.name = of_network('resnet50')  # a network of flaxart/models, such as vgg19 or xception
  model.width = 1.0  # multiplies all channel counts; 1 is the published network
  model.shallow = False  # one block per stage, for tests and quick trials
  # BatchNorm that learns: 'batch' = statistics of the batch, 'frozen' = the stored ones,
  # 'auto' = frozen for a trunk that starts from weights, batch for one from scratch.
  # 'keras2_frozen' repeats what Keras 2 did to a frozen layer, for comparison only: statistics of
  # the batch in training, the stored ones in evaluation (keras-team/keras pull request 9965).
  model.bn = of_mode('auto')
  # Share of the old running statistics kept; 0.9 for under 1,000 steps.
  model.bn_momentum = of_mode(0.99)
  # Under shard_map: statistics of the global batch, or of each device's part of it (faster).
  model.bn_sync = of_mode(True)
  model.dropout = 0.0  # on the pooled features
  model.dtype = 'auto'  # compute: float32 | bfloat16 | auto (float32 on CPU, bfloat16 elsewhere)

  config.data = data = ConfigDict()
  data.dataset = 'rijksmuseum/multitask'  # a TFDS name
  data.data_dir = folder('~/tensorflow_datasets')  # where prepared datasets are
  # The source folder; if given, the dataset is prepared when it does not exist yet.
  data.manual_dir = folder('')
  # Side in pixels of the squares that enter the network; 0 = the size its weights were trained at,
  # or the network was published with.
  data.image_size = of_network(0)
  data.fit = 'squash'  # how a picture becomes a square: squash (the paper), crop, or pad with white
  # Resizer: pillow, or simd, four times as fast (extra `simd`); values differ by rounding.
  data.resize = 'pillow'
  data.pixels = 'network'  # what enters the network: its own preprocessing, or zero_one (x / 255)
  data.shuffle = True  # False: the same order in every epoch, as in the paper's released code
  data.workers = free(0)  # decoding processes; 0 = threads of this process
  # Decoded pictures: none, host (in memory), device, or auto: flaxart/data/cache.py.
  data.cache = free('none')
  data.cache_dir = folder('')  # of their files; empty = ~/.cache/flaxart/decoded ($XDG_CACHE_HOME)
  # First draw a museum of this many objects into manual_dir (the demo).
  data.synthetic_objects = aside(0)

  config.augment = augment = ConfigDict()
  augment.flip = False  # mirror half of the training pictures
  augment.zoom = 0.0  # random crop of at least 1 - zoom of each side, resized back
  augment.randaugment = 0  # operations per picture, drawn from flaxart/data/randaugment.py
  augment.magnitude = 9.0  # of these operations, 0 to 10
  # Alpha of the Beta distribution that mixes pairs of pictures; 0 = off.
  augment.mixup = 0.0
  _all(augment, of_mode)

  config.train = train = ConfigDict()
  train.epochs = of_mode(20.0)
  train.batch_size = 32  # global: over all devices and processes
  train.eval_every_epochs = 1.0
  # If a loss, gradient or update is NaN or infinite: abort = stop, skip = drop the update.
  train.on_nonfinite = 'abort'
  train.max_skipped = 10  # updates that skip drops before it stops as well
  # Number of parts in which a batch is computed, to save memory.
  train.accumulate = aside(1)
  # Evaluations without a lower val loss; 0 = never (the paper: 7).
  train.early_stop_patience = of_mode(0)
  # '0:heads/.*;3:.*': what learns from which epoch on; empty = all at once.
  train.unfreeze = of_mode('')

  # The training loss; the paper sums the tasks' plain losses.
  config.loss = loss = ConfigDict()
  loss.label_smoothing = 0.0
  # Weight of each task: 'artist=1,type=0.5' (others = 1), or 'learned' (homoscedastic uncertainty).
  loss.task_weights = of_tasks('')
  # Weight of each class: none | sqrt | inverse | effective, for all tasks or 'artist=sqrt'.
  loss.class_weights = ''
  loss.class_weight_cap = 10.0  # the largest weight of a class
  loss.logit_adjustment = 0.0  # times the log of the class's share (Menon et al., 2021); 0 = off

  config.optim = optim = ConfigDict()
  optim.name = 'sgd'  # sgd (with momentum) | adam | adamw | rmsprop
  optim.learning_rate = 1e-3
  optim.momentum = 0.9
  optim.nesterov = True
  optim.weight_decay = 0.0  # decoupled, on kernels only
  optim.schedule = 'constant'  # constant | cosine (to zero at the last step) | plateau
  optim.plateau_patience = 2  # evaluations without a lower val loss before the rate drops
  optim.plateau_factor = 0.1
  optim.warmup_epochs = 0.0
  optim.clip_norm = 0.0  # global gradient norm; 0 = off
  # 'trunk/.*=0.1': factors on the learning rate; the first match counts.
  optim.multipliers = ''
  # Decay of a running average of the weights, which is evaluated and kept; 0 = off.
  optim.ema = 0.0
  _all(optim, of_mode)

  # Frozen trunk without augmentation: features are computed once, heads learn on them.
  config.probe = probe = ConfigDict()
  probe.cache_dir = folder('')  # where features are kept; empty = ~/.cache/flaxart/features
  # 'rmsprop:1e-3,adam:1e-4,sgd:0.1': optimizers and learning rates, tried one after the other; the
  # best on val is tested and kept; empty = the one of config.optim.
  probe.settings = of_mode('')

  config.checkpoint = checkpoint = ConfigDict()
  checkpoint.every_steps = aside(0)  # saves between evaluations; 0 = only after each evaluation
  checkpoint.asynchronous = free(True)  # save in the background; False: wait for each save
  # True: a finished run keeps best and latest in full.
  checkpoint.keep_optimizer = aside(False)
  checkpoint.best = 'score'  # on val: score (mean main score of the tasks) | loss; or last

  config.eval = evaluation = ConfigDict()
  evaluation.batch_size = aside(64)
  # False: a candidate of a grid, chosen on val; test is not looked at.
  evaluation.test = aside(True)
  evaluation.baselines = aside(True)  # nearest neighbour on 16x16 pixels, and label-only

  config.log = log = ConfigDict()
  log.every_steps = free(20)
  log.profile = free('')  # steps to trace, '100' or '100:103' (both included), into WORKDIR/profile
  log.tensorboard = aside(True)
  return config


def square_of(config: ConfigDict) -> Square:
  """How pictures become squares in this run; `image_size` must be resolved."""
  assert config.data.image_size > 0
  return Square(config.data.image_size, config.data.fit, config.data.resize)


def config_mode(arguments: str, modes: tuple[str, ...], *, default: str) -> str:
  """The mode in `--config=configs/X.py:mode=MODE`; `UserError` lists the modes for any other."""
  name, _, mode = arguments.partition('=')
  if not arguments:
    return default
  if name != 'mode' or mode not in modes:
    raise UserError(
      f'--config: found {arguments!r} after the file, expected mode=M, M one of {", ".join(modes)}'
    )
  return mode


def read(path: Path) -> ConfigDict:
  """The settings of a stored run; fields newer than the run get their default."""
  return _read(path)[0]


def lost(path: Path) -> dict[str, object]:
  """`{'head_devices': 4}`: settings of a stored run that no longer exist, which `read` drops."""
  return _read(path)[1]


def _read(path: Path) -> tuple[ConfigDict, dict[str, object]]:
  config = default_config()
  try:
    found = strict_json.read(path)
    form.each(form.anything)(found, '')
    stored, gone = up_to_date(found)
    config.update(stored)
    _check_kinds(config)
  except (FileNotFoundError, NotADirectoryError):
    raise not_a_run(path) from None
  except (TypeError, ValueError, AttributeError, KeyError) as error:
    raise UserError(f'{path}: does not hold the settings of a run ({error})') from None
  return config, gone


def _check_kinds(config: ConfigDict) -> None:
  """Raises `ValueError` for a field that holds another kind of value than its default."""
  found = flat(config)
  for field, default in flat(default_config()).items():
    value = found[field]
    if type(value) is not type(default):  # `ConfigDict` lets null through
      raise ValueError(f'{field} is {value!r}, expected {type(default).__name__}')
    if isinstance(value, str):
      form.name(value, field)


def not_a_run(missing: Path) -> UserError:
  """The error for a missing file that every run has."""
  return UserError(f'{missing}: not found; expected {missing.parent} to be the folder of a run')


def to_json(config: ConfigDict) -> str:
  """The settings as text, as they are stored."""
  return json.dumps(config.to_dict(), indent=2, sort_keys=True) + '\n'


def differences(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[object, object]]:
  """Fields that must not differ but do: `{'optim.learning_rate': (0.1, 0.2)}`."""
  a, b = flat(old), flat(new)
  may_change = MAY_CHANGE - _counts_here(old)
  return {
    field: (a.get(field), b.get(field))
    for field in sorted(a | b)
    if a.get(field) != b.get(field) and field not in may_change
  }


def _counts_here(config: ConfigDict) -> set[str]:
  """Fields of `MAY_CHANGE` that change the arithmetic of this run."""
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


def _plain(section: ConfigDict) -> ConfigDict:
  """A copy without marks."""
  plain = ConfigDict()
  for key, value in section.items():
    if isinstance(value, ConfigDict):
      plain[key] = _plain(value)
    else:
      plain[key] = value.default if isinstance(value, _Marked) else value
  return plain


def _marked(*marks: str) -> frozenset[str]:
  """Fields whose defaults have one of these marks."""
  return frozenset(
    field
    for field, value in flat(_defaults()).items()
    if isinstance(value, _Marked) and value.mark in marks
  )


FOLDERS = _marked('folder')
MAY_CHANGE = _marked('free', 'folder')  # when a run is continued; but see `_counts_here`
NO_PART = _marked('free', 'folder', 'aside')  # of what defines an experiment
OF_NETWORK, OF_MODE, OF_TASKS = _marked('of_network'), _marked('of_mode'), _marked('of_tasks')
