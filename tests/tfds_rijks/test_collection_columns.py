"""What each column of a table becomes, and why: tasks are labels that repeat no other."""

from __future__ import annotations

import pytest
from collections_on_disk import build, records, write_collection, write_table

from tfds_rijks import build_report
from tfds_rijks.collection.kinds import Candidate, decide
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare

MAKERS = [  # name, sorted, died, number, page, style
  ('Jan Steen', 'Steen, Jan', '1679', '12', 'https://x.org/12', 'baroque'),
  ('Frans Hals', 'Hals, Frans', '1679', '7', 'https://x.org/7', 'baroque'),
  ('Ann Lee', 'Lee, Ann', '1990', '99', 'https://x.org/99', 'modern'),
  ('Bob Ray', 'Ray, Bob', '1666', '104', 'https://x.org/104', 'modern'),
]
TYPES = [('bowl', 'Applied'), ('print', 'Prints'), ('drawing', 'Prints')]
COLUMNS = (
  *('image', 'Object_Number', 'artist', 'artist sort', 'artist_died', 'artist_id', 'artist page'),
  *('style', 'type', 'department', 'Title', 'credit line', 'gallery', 'height', 'signature'),
  *('owner', 'empty'),
)


def rows(n: int = 48):
  return [
    (
      *(f'{i}.png', f'N-{i}', *MAKERS[i % 4], *TYPES[i // 4 % 3], f'No. {i % 5}', 'Gift of 1900'),
      *(f'{i * 7 % 5}', f'{10 + i}.5', f'signed {i // 3}', 'The Museum', ''),
    )
    for i in range(n)
  ]


def columns_of(path) -> dict[str, dict[str, str]]:
  return {one['name']: one for one in build_report.read(path)['columns']}


def test_what_each_column_becomes(tmp_path, capsys):
  path = build(write_collection(tmp_path / 's', COLUMNS, rows()), min_per_class=4)
  found = columns_of(path)
  assert set(found) == set(COLUMNS)
  becomes = {name: one['becomes'] for name, one in found.items()}
  assert becomes == {
    **dict.fromkeys(('image', 'Object_Number'), 'record'),
    **dict.fromkeys(('artist', 'style', 'type', 'department', 'gallery'), 'task'),
    **dict.fromkeys(('artist sort', 'artist_died', 'artist_id', 'artist page'), 'text'),
    **dict.fromkeys(('Title', 'credit line'), 'text'),
    **dict.fromkeys(('height', 'signature', 'owner', 'empty'), 'left out'),
  }
  for column, why, option in (
    ('artist sort', 'one to one with artist', '--labels'),
    ('artist_died', 'numbers or dates that artist determines', '--labels'),
    ('style', 'determined by artist: label-only reaches 100%', '--text=style'),
    ('department', 'determined by type: label-only reaches 100%', '--text=department'),
    ('gallery', '5 classes with 4 works or more', '--float_columns=gallery'),
    ('signature', "no value on 4 works; 'signed 0' on 3", '--min_per_class=3, --text=signature'),
    ('height', "no value on 4 works; '10.5' on 1", '--text=height'),
    ('owner', "only one value, 'The Museum'", '--labels'),
    ('empty', 'no work has a value', ''),
  ):
    assert why in found[column]['why'] and found[column]['option'] == option, column
  record = records(path)[0]
  assert (record['artist_died'], record['artist_page']) == ('1679', 'https://x.org/12')
  assert (record['Title'], record['credit_line']) == ('No. 0', 'Gift of 1900')
  assert 'determined' not in found['artist']['why'] + found['type']['why']
  out = capsys.readouterr().out
  assert out.index('artist_died  ') < out.index('pictures; about')  # before anything is built


def test_options_decide_otherwise(tmp_path):
  source = write_collection(tmp_path / 's', COLUMNS, rows())
  given = {'labels': 'ARTIST,artist_died,owner', 'text': 'Style', 'float_columns': 'Height'}
  found = columns_of(build(source, **given, min_per_class=4))
  kinds = {name: found[name]['becomes'] for name in ('artist', 'artist_died', 'owner', 'height')}
  assert kinds == {'artist': 'task', 'artist_died': 'task', 'owner': 'task', 'height': 'number'}
  assert found['style']['becomes'] == 'text' and found['type']['why'] == '--labels names others'
  with pytest.raises(UserError, match='--labels: signature has no value on 4 or more'):
    build(source, labels='artist,signature', min_per_class=4, overwrite=True)


def test_a_dry_run_without_pictures_still_shows_the_table(tmp_path, capsys):
  write_table(tmp_path / 's' / 'metadata.csv', COLUMNS[1:], [row[1:] for row in rows()])
  given = {'manual_dir': tmp_path / 's', 'data_dir': tmp_path / 'd', 'match': 'stem'}
  prepare('collection', dry_run=True, min_per_class=4, **given)
  out = capsys.readouterr().out
  assert '\nstyle          task' in out and 'nothing to build: --match=stem: no file name' in out
  with pytest.raises(UserError, match='no file name below'):
    prepare('collection', min_per_class=4, **given)
  assert not (tmp_path / 'd').exists()


def decided(*columns: tuple[str, list[str]], asked: bool = False) -> list[str]:
  found = [Candidate(name, [[v] if v else [] for v in cells], asked) for name, cells in columns]
  return [one.becomes for one in decide(found, min_per_class=2)]


@pytest.mark.parametrize(
  ('name', 'cells', 'becomes'),
  [
    ('code', ['17', '4', '9'] * 20, 'text'),  # one to one
    ('kin', ['x', 'y', 'z'] * 20, 'text'),
    ('born', ['1600', '1600', '1650'] * 20, 'text'),  # two of them in one year
    ('born', ['1600', '1600', '1650'] * 19 + ['1600', '1700', '1650'], 'text'),  # one slip
    ('place', ['x', 'x', 'z'] * 20, 'task'),
    ('code', [str(i % 5) for i in range(60)], 'task'),  # not given away
    ('weight', [str(600 + i // 2) for i in range(60)], 'left out'),  # not names
    ('home', [f'https://x.org/{i % 5}' for i in range(60)], 'text'),
    ('material', ['x', 'y', 'z'] * 20, 'task'),  # a separate label, whatever it is like
    ('artist name', ['X', 'Y', 'Z'] * 20, 'text'),  # repeats the maker
    ('inventory', [f'N{i}' for i in range(60)], 'left out'),
  ],
)
def test_beside_an_artist(name, cells, becomes):
  assert decided(('artist', ['A', 'B', 'C'] * 20), (name, cells)) == ['task', becomes]


def test_a_nearly_unique_column_determines_nothing():
  numbers, years = [f'{i // 2}' if i < 8 else f'{i}' for i in range(60)], ['1600', '1700'] * 30
  assert decided(('label', numbers), ('born', years)) == ['task', 'task']
