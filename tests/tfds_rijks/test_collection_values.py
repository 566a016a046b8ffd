"""Label texts, spellings, doubtful makers, numbers."""

from __future__ import annotations

import json
import math
import unicodedata

import pytest
from collections_on_disk import build, records, simple, write_collection
from hypothesis import given
from hypothesis import strategies as st

from tfds_rijks import build_report
from tfds_rijks.collection import values
from tfds_rijks.collection.numbers import middle, number
from tfds_rijks.errors import UserError

DOUBTFUL = [
  'workshop of Rembrandt',
  'Workshop of Rembrandt',
  'Rembrandt, workshop of',
  'Rembrandt (follower of)',
  'attr. to Hals',
  'Hals (attr.)',
  'attributed to Frans Hals',
  'after Dürer',
  'school van Leiden',
  'omgeving van Steen',
  'naar Rubens',
  'naar ontwerp van Rubens',
  'toegeschreven aan Hals',
  'mogelijk Jan Steen',
  'Werkstatt des Cranach',
  'Umkreis von Cranach',
  'zugeschrieben: Holbein',
  'Holbein, zugeschrieben',
  'atelier de Rodin',
  "d'après Ingres",
  'd’après Ingres',
  'attribué à Watteau',
  'école de Fontainebleau',
  'Jan Steen?',
  '?',
  'Jan (?) Steen',
]
CERTAIN = [
  'Rembrandt',
  'Naarden, Jan van',
  'Schoolmaster',
  'Afterman',
  'Jan Werkstatt',
  'Attridge',
  'Possiblyson',
  'Jan van de Omgeving',
  'Studio Drift',
  'Nachtwacht, Meester van de',
]


def cleaner(**options) -> values.Cleaner:
  return values.Cleaner(
    aliases=options.get('aliases', {}),
    phrases=options.get('phrases') or values.read_phrases(options.get('distancing')),
    maker_columns=options.get('maker_columns'),
  )


@pytest.mark.parametrize('text', DOUBTFUL)
def test_doubtful_makers_are_missing(text):
  clean = cleaner()
  assert clean.clean(text, column='artist') == ''
  assert sum(clean.distanced.values()) == 1


@pytest.mark.parametrize('text', CERTAIN)
def test_names_that_only_look_so_stay(text):
  assert cleaner().clean(text, column='artist') == text


@pytest.mark.parametrize('column', ['Artist', 'maker', 'vervaardiger', 'Künstler'])
def test_distancing_is_for_makers(column):
  assert cleaner().clean('naar Rubens', column=column) == ''
  assert cleaner().clean('naar Rubens', column='title') == 'naar Rubens'
  assert cleaner(maker_columns='title').clean('naar Rubens', column='title') == ''
  assert cleaner(maker_columns='title').clean('naar Rubens', column='artist') == 'naar Rubens'


def test_distancing_off_and_from_a_file(tmp_path):
  assert cleaner(distancing='none').clean('naar Rubens', column='artist') == 'naar Rubens'
  file = tmp_path / 'd.txt'
  file.write_text('# ours\nstudio of\n*\n', encoding='utf-8')
  clean = cleaner(distancing=str(file))
  assert clean.clean('Studio of Hals', column='artist') == ''
  assert clean.clean('Hals*', column='artist') == ''
  assert clean.clean('naar Rubens', column='artist') == 'naar Rubens'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'begins with nothing'),
    ('a,b\nx,y\n', 'begins with a, b; expected the columns from,to'),
    ('from,to\nx\n', 'row 2 is x; expected from,to'),
    ('from,to\n,y\n', 'row 2'),
    ('from,to\nx,y\nx,z\n', "'x' becomes 'y' and 'z'"),
    ('from,to\nx,y\ny,x\n', 'leads back to itself'),
  ],
)
def test_bad_aliases(tmp_path, text, message):
  file = tmp_path / 'a.csv'
  file.write_text(text)
  with pytest.raises(UserError, match=message):
    values.read_aliases(str(file))


def test_files_of_flags_that_are_not_there(tmp_path):
  with pytest.raises(UserError, match=r'--aliases=.*no such file'):
    values.read_aliases(str(tmp_path / 'no.csv'))
  with pytest.raises(UserError, match=r'--distancing=.*no such file'):
    values.read_phrases(str(tmp_path / 'no.txt'))
  for flag in ('aliases', 'distancing'):  # as a user comes there
    for path in (tmp_path / 'no.txt', tmp_path):
      with pytest.raises(UserError, match=f'--{flag}=.*no such file'):
        build(simple(tmp_path / 'source', n=4), **{flag: str(path)})
  (tmp_path / 'empty.txt').write_text('# nothing\n')
  with pytest.raises(UserError, match='holds no phrase'):
    values.read_phrases(str(tmp_path / 'empty.txt'))


def test_aliases_of_a_spreadsheet_on_a_mac(tmp_path):
  path = tmp_path / 'aliases.csv'
  path.write_bytes(b'from,to\rJ. Steen,Jan Steen\r')
  assert values.read_aliases(str(path)) == {'J. Steen': 'Jan Steen'}
  path.write_text('from,to\n"J. Steen,Jan Steen\n')
  with pytest.raises(UserError, match='expected CSV with quotes in pairs'):
    values.read_aliases(str(path))


def test_columns_are_found_however_their_accents_are_written(tmp_path):
  source = write_collection(
    tmp_path / 'source',
    ['image', unicodedata.normalize('NFD', 'Künstler')],
    [(f'{i}.png', ['Rembrandt', 'Umkreis von Rembrandt'][i % 2]) for i in range(8)],
  )
  path = build(source, labels='Künstler')
  assert json.loads((path / 'build_report.json').read_text())['distancing'] == {'umkreis von': 4}
  with pytest.raises(UserError, match=r"--maker_columns: .* has no column 'Kunstler'"):
    build(source, maker_columns='Kunstler')


def test_a_phrase_of_nothing_visible_matches_nothing():
  assert cleaner(phrases=['\u200b', 'naar']).clean('Rubens', column='artist') == 'Rubens'


def test_aliases_are_followed_to_the_end_and_travel_with_the_data(tmp_path):
  rows = [
    ('a.png', 'Jan Steen'),
    ('b.png', 'J. Steen'),
    ('c.png', 'Jan Havicksz. Steen'),
    ('d.png', 'naar Steen'),
    ('e.png', 'anoniem'),
  ]
  source = write_collection(tmp_path / 's', ['image', 'artist'], rows)
  aliases = tmp_path / 'aliases.csv'
  aliases.write_text(
    'from,to\nJ. Steen,Jan Havicksz. Steen\nJan Havicksz. Steen,Jan Steen\nanoniem,\n',
    encoding='utf-8',
  )
  path = build(source, aliases=str(aliases))
  assert [r['artist'] for r in records(path)] == ['Jan Steen'] * 3 + [None] * 2
  about = build_report.read(path)
  assert about['aliases'] == {'J. Steen': 1, 'Jan Havicksz. Steen': 1, 'anoniem': 1}
  assert about['alias_table'] == {
    'J. Steen': 'Jan Steen',
    'Jan Havicksz. Steen': 'Jan Steen',
    'anoniem': '',
  }
  assert about['distancing'] == {'naar': 1}
  aliases.write_text('from,to\nJ. Steen,Jan Steen\n')  # the content decides, not the name
  with pytest.raises(UserError, match='aliases='):
    build(source, aliases=str(aliases))


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    ('1642', 1642),
    (' 1642 ', 1642),
    ('1642?', 1642),
    ('ca. 1650', 1650),
    ('c 1650', 1650),
    ('um 1650', 1650),
    ('±1650', 1650),
    ('1640-1650', 1645),
    ('1640/50', 1645),
    ('1640 – 1650', 1645),
    ('900-1100', 1000),
    ('980-90', 985),
    ('1889-06', None),
    ('-500', -500),
    ('12.5', 12.5),
    ('1e39', None),
    ('12,5', 12.5),
    ('1e3', 1000),
    ('17th century', None),
    ('1.234.567', None),
    ('1e999', None),
    ('n.d.', None),
  ],
)
def test_numbers(text, value):
  assert number(text) == value


def test_missing_numbers_and_middles():
  assert math.isnan(number('')) and math.isnan(number('  '))
  assert middle(1640, 1650) == 1645
  assert middle(math.nan, 1650) == middle(1650, math.nan) == 1650
  assert math.isnan(middle(math.nan, math.nan))


@given(st.text())
def test_any_text_is_a_finite_number_or_missing_or_none(text):
  value = number(text)
  assert value is None or math.isnan(value) or math.isfinite(value)


def test_cells_that_are_no_number_are_missing_and_listed(tmp_path, capsys):
  rows = [('a.png', 'Ann', '1600'), ('b.png', 'Ann', '17th century')]
  path = build(write_collection(tmp_path / 's', ['image', 'artist', 'year'], rows))
  assert math.isnan(records(path)[1]['year'])
  assert build_report.read(path)['not_numbers'] == {'year': ['17th century']}
  assert 'year: 1 cells are no number: 17th century' in capsys.readouterr().out
