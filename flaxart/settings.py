r"""Settings with a syntax, parsed once into one frozen object. One grammar for all:

    setting = [part {("," | ";") part}]
    part    = word [("=" | ":") word]

A word is a name, a number or a pattern, with any spaces around it. Inside brackets of any kind, and
after a backslash, a separator is part of the word: `stage\d{1,2}`, `(?:a|b)`, `\=`. Empty parts are
skipped. Each setting's `Form` below has its parts and errors: field, part, found, expected, an
example.

A pattern is a regular expression of RE2 (https://github.com/google/re2/wiki/Syntax), which always
runs in linear time; it must match a whole path, `trunk/stage4/block1/conv1/kernel`.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Mapping, Sequence

import re2
from ml_collections import ConfigDict

from flaxart.config import OPTIMIZERS
from tfds_rijks.errors import UserError

CLASS_RULES = ('none', 'sqrt', 'inverse', 'effective')
LEARNED = 'learned'
LONGEST = 4000  # characters of a setting
# An escaped character, a class of characters, or one character.
_TOKEN = re.compile(r'\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|.', re.DOTALL)
_QUIET = re2.Options()
_QUIET.log_errors = False
_LACKS = {  # the end of RE2's message: what it found
  '(?=': 'look-ahead',
  '(?!': 'look-ahead',
  '(?<=': 'look-behind',
  '(?<!': 'look-behind',
  '(?P': 'back reference',
  '(?>': 'atomic group',
  '(?(': 'condition',
} | {f'\\{i}': 'back reference' for i in range(1, 10)}


@dataclasses.dataclass(frozen=True)
class Form:
  """The form of a setting's parts, with an example of a whole setting."""

  field: str
  expected: str
  example: str

  def wrong(self, found: str, why: str = '', *, part: int = 0) -> UserError:
    """The one-line error for such a setting."""
    place, reason = f', part {part}' if part else '', f' ({why})' if why else ''
    return UserError(
      f'config.{self.field}{place}: found {found!r}{reason}; expected {self.expected}, such as '
      f'{self.example}'
    )

  def _check_length(self, text: str) -> None:
    if len(text) > LONGEST:
      raise self.wrong(f'{text[:40]}…', f'{len(text):,} characters of at most {LONGEST:,}')

  def parts(self, config: ConfigDict) -> list[Part]:
    """The parts of this setting."""
    parts: list[list[str]] = [['']]
    depth = 0
    whole = operator.attrgetter(self.field)(config)
    self._check_length(whole)
    for token in _TOKEN.findall(whole):
      depth = max(0, depth + (token in ('(', '{')) - (token in (')', '}')))
      if not depth and token in (',', ';'):
        parts.append([''])
      elif not depth and token in ('=', ':'):
        parts[-1] += [token, '']
      else:
        parts[-1][-1] += token
    words = [[word.strip() for word in part] for part in parts]
    filled = [part for part in words if part != ['']]
    return [
      Part(self, i if len(filled) > 1 else 0, ''.join(part), tuple(part[::2]))
      for i, part in enumerate(filled, start=1)
    ]

  def pattern(self, text: str, *, part: int = 0) -> Pattern:
    """The pattern `text`; `UserError` names syntax that RE2 lacks."""
    self._check_length(text)
    try:
      re2.compile(text, _QUIET)
    except re2.error as error:
      why = error.args[0].decode()
      lacks = _LACKS.get(why.rpartition(': ')[2])
      raise self.wrong(text, f'RE2 has no {lacks}' if lacks else why, part=part) from None
    return Pattern(text)


TASKS = Form('tasks', 'different names of dataset features', 'artist,type')
TRAINABLE = Form('trainable', 'heads, all or a PATTERN', 'heads/.*|trunk/stage4/.*')
UNFREEZE = Form('train.unfreeze', 'EPOCH:PATTERN, epochs rising from 0', '0:heads/.*;3:.*')
MULTIPLIERS = Form('optim.multipliers', 'PATTERN=FACTOR', 'trunk/.*=0.1')
TASK_WEIGHTS = Form('loss.task_weights', 'TASK=WEIGHT, or learned', 'artist=1,type=0.5')
CLASS_WEIGHTS = Form(
  'loss.class_weights',
  'RULE for all tasks with classes, TASK=RULE for one',
  'artist=sqrt,type=inverse',
)
TRIALS = Form('probe.settings', 'different OPTIMIZER:LEARNING_RATE', 'rmsprop:1e-3,adam:1e-4')
PROFILE = Form('log.profile', 'STEP or FIRST:LAST, counted from 1', '100:103')


@dataclasses.dataclass(frozen=True)
class Pattern:
  """A regular expression over whole paths of parameters."""

  text: str

  def matches(self, path: str) -> bool:
    """Whether the whole `path` matches."""
    return re2.fullmatch(self.text, path, _QUIET) is not None


@dataclasses.dataclass(frozen=True)
class Part:
  """One part of a setting; `number` 0 means the only one."""

  form: Form
  number: int
  text: str
  words: tuple[str, ...]

  def wrong(self, why: str = '') -> UserError:
    """The error for this part."""
    return self.form.wrong(self.text, why, part=self.number)

  def word(self) -> str:
    """The part as one word."""
    if len(self.words) > 1:
      raise self.wrong()
    return self.words[0]

  def pair(self) -> tuple[str, str]:
    """The part as two words."""
    if len(self.words) != 2 or not all(self.words):
      raise self.wrong()
    return self.words[0], self.words[1]

  def number_in(self, word: str, *, above: float = -math.inf) -> float:
    """A finite number of at least 0, and more than `above`."""
    try:
      value = float(word)
    except ValueError:
      raise self.wrong(f'{word!r} is not a number') from None
    if not 0 <= value < math.inf or value <= above:
      raise self.wrong(f'{word} is out of range')
    return value

  def one_of(self, word: str, allowed: Sequence[str], what: str) -> str:
    """The word, which must be one of `allowed`."""
    if word not in allowed:
      raise self.wrong(f'{word!r} is not {what}: {", ".join(filter(None, allowed))}')
    return word

  def pattern(self, word: str) -> Pattern:
    """The word as a pattern."""
    return self.form.pattern(word, part=self.number)


@dataclasses.dataclass(frozen=True)
class Stage:
  """Parameters that `pattern` matches learn from `epoch` on."""

  epoch: float
  pattern: Pattern


ALL_AT_ONCE = (Stage(0.0, Pattern('.*')),)


@dataclasses.dataclass(frozen=True)
class Trial:
  """An optimizer and a learning rate; `name` has the rate as given, `adam:1e-3`."""

  name: str
  optimizer: str
  learning_rate: float


@dataclasses.dataclass(frozen=True)
class Settings:
  """The parsed settings of a config.

  `task_weights`: of every task, 1 by default; parameters under `learned_weights`. `trainable`: what
  learns; `stages`: from when on, at least one. `class_weights`: the rule of each named task; the
  rest have `class_weights_of_others`. `trials`: at least one. `profile`: the steps to trace.
  """

  tasks: tuple[str, ...]
  task_weights: Mapping[str, float]
  learned_weights: bool
  trainable: Pattern = Pattern('.*')
  stages: tuple[Stage, ...] = ALL_AT_ONCE
  multipliers: tuple[tuple[Pattern, float], ...] = ()
  class_weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
  class_weights_of_others: str = 'none'
  trials: tuple[Trial, ...] = ()
  profile: range = range(0)


def read_settings(config: ConfigDict) -> Settings:
  """Parses these settings of `config`; raises `UserError` at the first mistake."""
  trained = read_trained(config)
  class_weights, others = _class_weights(config, trained.tasks)
  return dataclasses.replace(
    trained,
    trainable=_trainable(config),
    stages=_stages(config),
    multipliers=_multipliers(config),
    class_weights=class_weights,
    class_weights_of_others=others,
    trials=read_trials(config),
    profile=_profile(config),
  )


def read_trained(config: ConfigDict) -> Settings:
  """The settings of a run that no longer trains: tasks and weights, which decide its parameters.
  The rest has defaults, so that a run with an outdated pattern can be loaded.
  """
  tasks = read_tasks(config)
  return Settings(tasks, *_task_weights(config, tasks))


def read_tasks(config: ConfigDict) -> tuple[str, ...]:
  """The tasks in the order given."""
  parts = TASKS.parts(config)
  if not parts:
    raise TASKS.wrong(config.tasks)
  return tuple(_once(parts, [part.word() for part in parts]))


def _trainable(config: ConfigDict) -> Pattern:
  by_name = {'all': '.*', 'heads': '(heads|log_variances)/.*'}
  return TRAINABLE.pattern(by_name.get(config.trainable, config.trainable))


def _stages(config: ConfigDict) -> tuple[Stage, ...]:
  stages: list[Stage] = []
  for part in UNFREEZE.parts(config):
    epoch, pattern = part.pair()
    stages.append(Stage(part.number_in(epoch), part.pattern(pattern)))
    if stages[0].epoch:
      raise part.wrong('the first epoch is not 0')
    if len(stages) > 1 and stages[-1].epoch <= stages[-2].epoch:
      raise part.wrong(f'epoch {epoch} does not come after {stages[-2].epoch:g}')
  return tuple(stages) or ALL_AT_ONCE


def _multipliers(config: ConfigDict) -> tuple[tuple[Pattern, float], ...]:
  parts = MULTIPLIERS.parts(config)
  pairs = [(part.pair(), part) for part in parts]
  _once(parts, [pattern for (pattern, _), _ in pairs])
  return tuple((part.pattern(p), part.number_in(factor)) for (p, factor), part in pairs)


def _task_weights(config: ConfigDict, tasks: tuple[str, ...]) -> tuple[dict[str, float], bool]:
  parts, weights = TASK_WEIGHTS.parts(config), dict.fromkeys(tasks, 1.0)
  if [part.words for part in parts] == [(LEARNED,)]:
    return weights, True
  _once(parts, [part.pair()[0] for part in parts])
  for part in parts:
    task, weight = part.pair()
    weights[part.one_of(task, tasks, 'a task')] = part.number_in(weight)
  return weights, False


def _class_weights(config: ConfigDict, tasks: tuple[str, ...]) -> tuple[dict[str, str], str]:
  rules: dict[str, str] = {}
  others = ''  # the name of the tasks that are not named
  for part in CLASS_WEIGHTS.parts(config):
    task, rule = part.pair() if len(part.words) > 1 else (others, part.word())
    if part.one_of(task, (*tasks, others), 'a task') in rules:
      raise part.wrong('a second rule for the same tasks')
    rules[task] = part.one_of(rule, CLASS_RULES, 'a rule')
  of_others = rules.pop(others, 'none')
  return rules, of_others


def read_trials(config: ConfigDict) -> tuple[Trial, ...]:
  """The optimizers to try; by default that of `config.optim`."""
  parts, trials = TRIALS.parts(config), []
  for part in parts:
    optimizer, rate = part.pair()
    part.one_of(optimizer, OPTIMIZERS, 'an optimizer')
    trials.append(Trial(f'{optimizer}:{rate}', optimizer, part.number_in(rate, above=0)))
  _once(parts, [trial.name for trial in trials])
  name, rate = config.optim.name, config.optim.learning_rate
  return tuple(trials) or (Trial(f'{name}:{rate:g}', name, rate),)


def _profile(config: ConfigDict) -> range:
  parts = PROFILE.parts(config)
  if not parts:
    return range(0)
  first, last = parts[0].words[0], parts[0].words[-1]
  if len(parts) > 1 or len(parts[0].words) > 2:
    raise PROFILE.wrong(config.log.profile)
  if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
    raise parts[0].wrong()
  return range(int(first), int(last) + 1)


def _once(parts: list[Part], names: list[str]) -> list[str]:
  """Returns `names`; raises `UserError` if one occurs twice."""
  for i, (part, name) in enumerate(zip(parts, names, strict=True)):
    if name in names[:i]:
      raise part.wrong(f'{name!r} is named twice')
  return names
