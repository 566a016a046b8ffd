"""Settings with a syntax: their meaning, and one-line errors."""

from __future__ import annotations

import re

import pytest

from flaxart.config import default_config
from flaxart.settings import Pattern, Stage, Trial, read_settings
from tfds_rijks.errors import UserError

DIGITS = r'trunk/stage\d{1,2}/.*'


def read(**fields):
  config = default_config()
  config.update_from_flattened_dict({k.replace('__', '.'): v for k, v in fields.items()})
  return read_settings(config)


@pytest.mark.parametrize(
  ('field', 'text', 'name', 'expected'),
  [
    ('tasks', ' type ,, artist,', 'tasks', ('type', 'artist')),
    ('trainable', 'heads', 'trainable', Pattern('(heads|log_variances)/.*')),
    ('trainable', 'all', 'trainable', Pattern('.*')),
    ('trainable', '(?:a,b|c=d);.*', 'trainable', Pattern('(?:a,b|c=d);.*')),
    ('train.unfreeze', '', 'stages', (Stage(0.0, Pattern('.*')),)),
    (
      'train.unfreeze',
      f'0: heads/.* ;1.5:{DIGITS};6:.*',
      'stages',
      (Stage(0.0, Pattern('heads/.*')), Stage(1.5, Pattern(DIGITS)), Stage(6.0, Pattern('.*'))),
    ),
    ('train.unfreeze', '0=a,2=b', 'stages', (Stage(0.0, Pattern('a')), Stage(2.0, Pattern('b')))),
    ('optim.multipliers', '', 'multipliers', ()),
    # Separators inside brackets, character classes or after a backslash do not split a pattern.
    (
      'optim.multipliers',
      rf'{DIGITS}=0.1,(?i:x|y{{2,}})=0,[],;=:(]+=1,[^]=[:alpha:],]=2,a\=\:\,\;\(=3',
      'multipliers',
      (
        (Pattern(DIGITS), 0.1),
        (Pattern('(?i:x|y{2,})'), 0.0),
        (Pattern('[],;=:(]+'), 1.0),
        (Pattern('[^]=[:alpha:],]'), 2.0),
        (Pattern(r'a\=\:\,\;\('), 3.0),
      ),
    ),
    ('loss.task_weights', 'type=.5', 'task_weights', {'artist': 1.0, 'type': 0.5, 'material': 1}),
    ('loss.task_weights', '', 'learned_weights', False),
    ('loss.task_weights', 'learned', 'learned_weights', True),
    ('loss.task_weights', 'learned', 'task_weights', {'artist': 1, 'type': 1, 'material': 1}),
    ('loss.class_weights', 'sqrt', 'class_weights_of_others', 'sqrt'),
    ('loss.class_weights', 'artist=sqrt', 'class_weights_of_others', 'none'),
    ('loss.class_weights', 'inverse,type=none', 'class_weights_of_others', 'inverse'),
    ('loss.class_weights', 'inverse,type=none', 'class_weights', {'type': 'none'}),
    ('probe.settings', '', 'trials', (Trial('sgd:0.001', 'sgd', 1e-3),)),
    (
      'probe.settings',
      ' sgd = 0.5 ,adam:1e-3',
      'trials',
      (Trial('sgd:0.5', 'sgd', 0.5), Trial('adam:1e-3', 'adam', 1e-3)),
    ),
    ('log.profile', '', 'profile', range(0)),
    ('log.profile', '20', 'profile', range(20, 21)),
    ('log.profile', '100:103', 'profile', range(100, 104)),
  ],
)
def test_the_meaning_of_a_setting(field, text, name, expected):
  assert getattr(read(**{field: text}), name) == expected


@pytest.mark.parametrize(
  ('field', 'text', 'line'),
  [
    ('tasks', ' , ', "found ' , '; expected different names of dataset features, such as artist,"),
    ('tasks', 'artist,b=2', ", part 2: found 'b=2'; expected different names"),
    ('tasks', 'a,b,a', ", part 3: found 'a' ('a' is named twice)"),
    ('trainable', 'heads/(', "found 'heads/(' (missing ): heads/(); expected heads, all or a PAT"),
    ('trainable', '(?=a)b', "found '(?=a)b' (RE2 has no look-ahead); expected"),
    ('trainable', '(?!a)b', "found '(?!a)b' (RE2 has no look-ahead); expected"),
    ('trainable', 'a(?<=a)b', "found 'a(?<=a)b' (RE2 has no look-behind); expected"),
    ('trainable', 'a(?<!a)b', "found 'a(?<!a)b' (RE2 has no look-behind); expected"),
    ('trainable', r'(a)\1', r"found '(a)\\1' (RE2 has no back reference); expected"),
    ('trainable', '(?P<n>a)(?P=n)', "found '(?P<n>a)(?P=n)' (RE2 has no back reference); expected"),
    ('trainable', '(?>a)', "found '(?>a)' (RE2 has no atomic group); expected"),
    ('train.unfreeze', 'heads/.*', "found 'heads/.*'; expected EPOCH:PATTERN, epochs rising from"),
    ('train.unfreeze', '0:a;3', ", part 2: found '3'; expected EPOCH:PATTERN"),
    ('train.unfreeze', '0:a;3:', ", part 2: found '3:'; expected EPOCH:PATTERN"),
    ('train.unfreeze', '0:a;b:c', ", part 2: found 'b:c' ('b' is not a number); expected EPOCH"),
    ('train.unfreeze', '0:a;nan:c', ", part 2: found 'nan:c' (nan is out of range); expected"),
    ('train.unfreeze', '1:.*', "found '1:.*' (the first epoch is not 0); expected EPOCH:PATTERN"),
    ('train.unfreeze', '0:a;2:b;2:c', ", part 3: found '2:c' (epoch 2 does not come after 2)"),
    ('train.unfreeze', '0:a;2:(?!b)', ", part 2: found '(?!b)' (RE2 has no look-ahead); expected"),
    ('train.unfreeze', '0:a:b', "found '0:a:b'; expected EPOCH:PATTERN"),
    ('optim.multipliers', 'trunk/.*', "found 'trunk/.*'; expected PATTERN=FACTOR, such as trunk"),
    ('optim.multipliers', '=1', "found '=1'; expected PATTERN=FACTOR"),
    ('optim.multipliers', 'a=-1', "found 'a=-1' (-1 is out of range); expected PATTERN=FACTOR"),
    ('optim.multipliers', 'a=1,b=inf', ", part 2: found 'b=inf' (inf is out of range)"),
    ('optim.multipliers', 'a=1,a=2', ", part 2: found 'a=2' ('a' is named twice); expected"),
    ('optim.multipliers', 'stage{1,2=1', "found 'stage{1,2=1'; expected PATTERN=FACTOR"),
    ('loss.task_weights', 'artist=-1', "found 'artist=-1' (-1 is out of range); expected TASK="),
    ('loss.task_weights', 'artist=nan', "found 'artist=nan' (nan is out of range); expected"),
    ('loss.task_weights', 'artist=much', "found 'artist=much' ('much' is not a number)"),
    ('loss.task_weights', 'artist=1,artist=2', ", part 2: found 'artist=2' ('artist' is named tw"),
    ('loss.task_weights', 'learned,artist=2', ", part 1: found 'learned'; expected TASK=WEIGHT"),
    (
      'loss.task_weights',
      'year=1',
      "found 'year=1' ('year' is not a task: artist, type, material); expected",
    ),
    (
      'loss.class_weights',
      'log',
      "found 'log' ('log' is not a rule: none, sqrt, inverse, effective); expected R",
    ),
    ('loss.class_weights', 'artst=sqrt', "found 'artst=sqrt' ('artst' is not a task: artist, type"),
    ('loss.class_weights', 'sqrt,inverse', ", part 2: found 'inverse' (a second rule for the s"),
    ('probe.settings', 'lion:1e-3', "found 'lion:1e-3' ('lion' is not an optimizer: sgd, adam"),
    ('probe.settings', 'adam', "found 'adam'; expected different OPTIMIZER:LEARNING_RATE, such"),
    ('probe.settings', 'adam:0', "found 'adam:0' (0 is out of range); expected different OPT"),
    ('probe.settings', 'adam:nan', "found 'adam:nan' (nan is out of range); expected different"),
    ('probe.settings', 'adam:1, adam:1', ", part 2: found 'adam:1' ('adam:1' is named twice)"),
    *(
      ('log.profile', text, f'found {text!r}; expected STEP or FIRST:LAST, counted from 1, such as')
      for text in ('3:2', '0', 'a', '1:', '-1:2', '1:2:3', ':4', '1.5', '1,2')
    ),
  ],
)
def test_a_mistake_is_one_line_with_field_part_and_an_example(field, text, line):
  with pytest.raises(UserError) as error:
    read(**{field: text})
  said = str(error.value)
  assert said.startswith((f'config.{field}: {line}', f'config.{field}{line}'))
  assert '; expected ' in said and ', such as ' in said and '\n' not in said


def test_a_pattern_matches_whole_paths_as_pythons_does():
  paths = [f'{a}/{b}/kernel' for a in ('trunk/stage4', 'trunk/stage12', 'heads') for b in 'xyz']
  for text in ('.*', 'heads/.*', DIGITS, 'trunk/stage4', '(trunk|heads)/[^/]*', '.*/[xy]/kernel'):
    expected = [re.fullmatch(text, path) is not None for path in paths]
    assert [Pattern(text).matches(path) for path in paths] == expected, text


def test_a_pattern_that_backtracks_forever_elsewhere_is_fast():
  assert not Pattern('(a*)*b').matches('a' * 50_000)
