"""The methods paragraph, from the settings and the provenance of the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flaxart.config import NO_PART, default_config, flat
from flaxart.report.numbers.experiments import Section, main_words
from flaxart.report.numbers.runs import FINE_TUNED, OFF_THE_SHELF, RANDOM_TRUNK, Run
from flaxart.report.numbers.statistics import DRAWS
from flaxart.settings import read_trials

OPTIMIZERS = {'sgd': 'SGD', 'adam': 'Adam', 'adamw': 'AdamW', 'rmsprop': 'RMSprop'}
# Settings described by the sentences below; the table of settings has the paths.
TOLD = (
  *NO_PART,
  'trainable',
  'init',
  'model.name',
  'model.width',
  'model.shallow',
  'data.dataset',
  'data.image_size',
  'data.fit',
  'augment.flip',
  'augment.zoom',
  'augment.randaugment',
  'augment.mixup',
  'train.epochs',
  'train.batch_size',
  'train.early_stop_patience',
  'optim.name',
  'optim.learning_rate',
  'optim.momentum',
  'optim.nesterov',
  'optim.weight_decay',
  'optim.schedule',
  'probe.settings',
  'checkpoint.best',
)
FITS = {'squash': 'squashed to', 'crop': 'cropped to', 'pad': 'padded with white to'}


def paragraphs(sections: Sequence[Section]) -> list[str]:
  """One for the data and the training of each section, one for the statistics."""
  texts = [_section(section) for section in sections if section.experiments]
  words = main_words(e for section in sections for e in section.experiments)
  texts.append(
    f'Each score is the mean over the seeds of the {words} '
    "on the test split, with the standard deviation and the 95 % interval of Student's t. "
    'The second interval is a bootstrap over test groups (pictures of one object, lettered parts '
    f'of one object number and equal pixels are one group): {DRAWS:,} draws with replacement, '
    "percentiles 2.5 and 97.5, the mean over seeds in each draw; Wilson's interval where all draws "
    'are right, or none. Differences use the same draws '
    'for both sides and only records that both experiments have with the same label. Beside '
    "scores: the training split's largest class, the nearest training picture on 16x16 pixels, and "
    "a guess from the record's other true labels. Settings and checkpoints were chosen on val."
  )
  return texts


def _section(section: Section) -> str:
  runs = [run for experiment in section.experiments for run in experiment.runs]
  first = runs[0]
  sizes = ', '.join(
    f'{name} {entry["records"]:,}' for name, entry in first.provenance['splits'].items()
  )
  size = _each((run.config.data.image_size for run in runs), '{} x {} pixels', twice=True)
  fit = _join(sorted({FITS[run.config.data.fit] for run in runs}))
  networks = _join(dict.fromkeys(_network(run) for run in runs))
  trained = ' '.join(f'{_training(run)}.' for run in _one_of_each(runs))
  packages = ', '.join(f'{k} {v}' for k, v in first.provenance.get('packages', {}).items())
  versions = _join(sorted({str(run.provenance['version']) for run in runs}))
  machines = _join(sorted({_machine(run) for run in runs}))
  invented = ' Its objects are invented, drawn by flaxart: no score says anything about real ones.'
  return (
    f'Dataset {section.dataset} (records: {sizes}; {first.provenance["grouping_rule"]}).'
    f'{invented * section.invented} Pictures '
    f'were {fit} {size}. Networks: {networks}, with one linear head per task on the pooled '
    f'features. {trained} Seeds: {_join(sorted({run.seed for run in runs}))}. flaxart {versions} '
    f'with {packages}; {machines}.'
  )


def _one_of_each(runs: Iterable[Run]) -> list[Run]:
  """One run for each distinct description of training."""
  return list({_training(run): run for run in runs}.values())


def _training(run: Run) -> str:
  """One sentence, without its full stop."""
  c = run.config
  mode = {
    OFF_THE_SHELF: 'Off the shelf: the trunk is frozen and only the heads learn',
    RANDOM_TRUNK: 'Control: a trunk of random weights is frozen and only the heads learn',
    FINE_TUNED: 'Fine-tuned: '
    + (
      'everything learns' if c.trainable == 'all' else f'parameters matching {c.trainable!r} learn'
    ),
  }.get(run.mode, 'From scratch: everything learns from He-uniform initial values')
  losses = 'weighted losses summed' if c.loss.task_weights else 'losses summed'
  shared = f', tasks sharing one trunk, {losses}' if run.joint else ''
  rate = _optimizer(run)
  if c.optim.schedule != 'constant':
    rate += f', {c.optim.schedule} schedule'
  if c.optim.weight_decay:
    rate += f', weight decay {c.optim.weight_decay:g}'
  stop = '1 epoch' if c.train.epochs == 1 else f'{c.train.epochs:g} epochs'
  if c.train.early_stop_patience:
    stop = (
      f'at most {stop}, stopped after {c.train.early_stop_patience} evaluations without a lower '
      'val loss'
    )
  chosen = {'loss': 'the lowest val loss', 'score': 'the best val score'}.get(c.checkpoint.best)
  tested = f'the checkpoint with {chosen} is tested' if chosen else 'the last checkpoint is tested'
  return (
    f'{mode}{shared}; {rate}, batches of {c.train.batch_size}, {stop}; {_augmented(run)}; '
    f'{"".join(f"{one}; " for one in _further(run))}{tested}'
  )


def _network(run: Run) -> str:
  model = run.config.model
  parts = [
    *([f'{model.width:g} of its width'] if model.width != 1 else []),
    *(['one block per stage'] if model.shallow else []),
  ]
  name = run.network
  return f'{name} ({", ".join(parts)})' if parts else name


def _optimizer(run: Run) -> str:
  """Optimizer and learning rate: those of the tested setting, if a run names it."""
  c, setting = run.config, run.train.get('setting')
  name, rate = setting.split(':') if setting else (c.optim.name, c.optim.learning_rate)
  text = f'{OPTIMIZERS[name]}, learning rate {float(rate):g}'
  if run.settings_tried > 1 and setting:
    among = ', '.join(trial.name for trial in read_trials(c))
    text = f'optimizer and learning rate chosen on val among {among}: {setting}'
  if name == 'sgd':
    nesterov = 'Nesterov momentum' if c.optim.nesterov else 'momentum'
    text += f', {nesterov} {c.optim.momentum:g}'
  return text


def _further(run: Run) -> list[str]:
  """Other settings that differ from the defaults and change the computation."""
  default = flat(default_config())
  return [
    f'{field} {value}'
    for field, value in flat(run.config).items()
    if field not in TOLD and value != default.get(field)
  ]


def _augmented(run: Run) -> str:
  a = run.config.augment
  parts = [
    *(['mirrored at random'] if a.flip else []),
    *([f'random crops of at least {1 - a.zoom:.0%} of a side'] if a.zoom else []),
    *([f'RandAugment ({a.randaugment} operations)'] if a.randaugment else []),
    *([f'mixup (alpha {a.mixup:g})'] if a.mixup else []),
  ]
  return ', '.join(parts) if parts else 'no augmentation'


def _machine(run: Run) -> str:
  hardware = run.provenance.get('hardware', {})
  if not hardware:
    return 'hardware not recorded'
  return f'{hardware.get("devices", 1)} x {hardware.get("device_kind", "?")}'


def _each(values: Iterable[Any], form: str, *, twice: bool = False) -> str:
  return _join(form.format(v, v) if twice else form.format(v) for v in sorted(set(values)))


def _join(parts: Iterable[object]) -> str:
  """`a, b and c`."""
  texts = [str(part) for part in parts]
  return ' and '.join(filter(None, [', '.join(texts[:-1]), texts[-1] if texts else '']))
