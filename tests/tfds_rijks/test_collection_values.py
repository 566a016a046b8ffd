"""Label texts, spellings, doubtful makers."""

from __future__ import annotations

import json
import shlex
import shutil
import unicodedata
from pathlib import Path

import pytest
from collections_on_disk import build, draw, records, simple, write_collection

from tfds_rijks import build_report
from tfds_rijks.collection import aliases, values
from tfds_rijks.collection.column_names import is_maker
from tfds_rijks.errors import UserError

CASES = Path(__file__).parents[2] / '../shared/cases'
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
  'Jan (?) Steen',
  'Doe, John (attributed to)',
  'Jan Luyken toegeschreven aan',
  'Hals [follower of]',
  'Ramberg, Johann (Atelier)',
  'eisen (school)',
  'Rembrandt, school',
  'kopie naar Hals',
  'in de stijl van Hals',
  'vermoedelijk Jan Steen',
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
  'Naar, Jan',
  'Koning, Cornelis (?-1671)',
  'Borch, Gerard ter (II)',
  'd’Angers, David',
  'Monogrammist AB',
]
NOBODY = [
  *(
    'unknown',
    'Anoniem',
    'onbekend',
    'Unknown maker',
    'N/A',
    'NULL',
    'nan',
    'None',
    '-',
    '?',
    'N.N.',
  ),
  *('Onbekende schilder', 'anoniem, Nederland', 'onbekend (vervaardiger)', 'Künstler unbekannt'),
  *(
    '[Unknown]',
    'Anonymous (Dutch, 17th c.)',
    'auteur inconnu',
    'non identifié',
    'n. v. t.',
    'k.A.',
  ),
]


def cleaner(**options) -> values.Cleaner:
  return values.Cleaner(
    aliases=options.get('aliases', {}),
    phrases=options.get('phrases') or values.read_phrases(options.get('distancing')),
    nobodies=values.read_nobody(options.get('nobody')),
    maker_columns=options.get('maker_columns', ()),
  )


@pytest.mark.parametrize('text', DOUBTFUL)
def test_doubtful_makers_are_missing(text):
  clean = cleaner()
  assert clean.clean(text, column='artist') == ''
  assert sum(clean.distanced.values()) == 1


@pytest.mark.parametrize('text', CERTAIN)
def test_names_that_only_look_doubtful_stay(text):
  assert cleaner().clean(text, column='artist') == text


@pytest.mark.parametrize('column', ['Artist', 'maker', 'vervaardiger', 'Künstler'])
def test_distancing_is_for_makers(column):
  assert cleaner().clean('naar Rubens', column=column) == ''
  assert cleaner().clean('naar Rubens', column='title') == 'naar Rubens'
  assert cleaner(maker_columns=['title']).clean('naar Rubens', column='title') == ''
  assert cleaner(maker_columns=['title']).clean('naar Rubens', column='artist') == 'naar Rubens'


@pytest.mark.parametrize('text', NOBODY)
def test_unknown_makers_are_missing(text):
  clean = cleaner()
  assert clean.clean(text, column='Artist Display Name') == ''
  assert clean.nobody == {'Artist Display Name': {text: 1}}
  assert cleaner(nobody='none', distancing='none').clean(text, column='artist') == text


def test_unknown_values_in_other_columns_and_words_from_a_file(tmp_path):
  clean = cleaner()
  for text, label in [('unknown', ''), ('NaN', ''), ('unknown wood', 'unknown wood'), ('Sn', 'Sn')]:
    assert clean.clean(text, column='material') == label
  (tmp_path / 'n.txt').write_text('# ours\nniemand *\n')
  clean = cleaner(nobody=str(tmp_path / 'n.txt'))
  assert clean.clean('Niemand, NL', column='maker') == ''
  assert clean.clean('unknown', column='maker') == 'unknown'


@pytest.mark.parametrize(
  ('column', 'makers'),
  [
    *[(name, True) for name in ('Artist', 'maker(s)', 'Artist Display Name', 'VERVAARDIGER')],
    *[(name, False) for name in ('artist_died', 'Artist Nationality', 'name', 'painting')],
  ],
)
def test_columns_of_makers(column, makers):
  assert is_maker(column) == makers


@pytest.mark.parametrize(
  ('text', 'label'),
  [
    ('Jan &amp;amp; Caspar Luyken', 'Jan & Caspar Luyken'),
    ('D&uuml;rer', 'Dürer'),
    ('&#68;&#x00FC;rer', 'Dürer'),
    ('Jan_x000D_\nSteen', 'Jan Steen'),
    ('R&D &copy that', 'R&D &copy that'),
    ('_x0041_', '_x0041_'),
  ],
)
def test_what_other_programs_escaped(text, label):
  assert cleaner().clean(text, column='artist') == label


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
    ('', 'starts with nothing'),
    ('a,b\nx,y\n', 'starts with a, b; expected the columns from,to'),
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
    aliases.read(str(file))


def test_missing_files_of_flags(tmp_path):
  with pytest.raises(UserError, match=r'--aliases=.*no such file'):
    aliases.read(str(tmp_path / 'no.csv'))
  with pytest.raises(UserError, match=r'--distancing=.*no such file'):
    values.read_phrases(str(tmp_path / 'no.txt'))
  for flag in ('aliases', 'distancing'):  # as a user comes there
    for path in (tmp_path / 'no.txt', tmp_path):
      with pytest.raises(UserError, match=f'--{flag}=.*no such file'):
        build(simple(tmp_path / 'source', n=4), **{flag: str(path)})
  (tmp_path / 'empty.txt').write_text('# nothing\n')
  with pytest.raises(UserError, match='has no phrases'):
    values.read_phrases(str(tmp_path / 'empty.txt'))


def test_aliases_of_a_spreadsheet_on_a_mac(tmp_path):
  path = tmp_path / 'aliases.csv'
  path.write_bytes(b'from,to\rJ. Steen,Jan Steen\r')
  assert aliases.read(str(path)) == {'J. Steen': 'Jan Steen'}
  path.write_text('from,to\n"J. Steen,Jan Steen\n')
  with pytest.raises(UserError, match='expected a table with quotes in pairs'):
    aliases.read(str(path))


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


def test_spellings_of_one_name_are_proposed_and_given_back(tmp_path, capsys):
  makers = ['Jan Luyken', 'Luyken, Jan', 'jan luyken', 'Jan Luyken (1649-1712)', 'Dürer', 'Durer']
  makers += ['Borch, Gerard ter (I)', 'Borch, Gerard ter (II)', 'anoniem']
  rows = [(f'{i}.png', name, 'a, b') for i, name in enumerate([*makers, 'Jan Luyken'])]
  source = write_collection(tmp_path / 's', ['image', 'maker', 'type'], rows)
  path = build(source)
  text = (path / aliases.PROPOSED).read_bytes().decode('utf-8-sig')
  assert sorted(text.splitlines()) == [
    '"Luyken, Jan",Jan Luyken,order of the names,1',
    'Durer,Dürer,"case, accents or signs",1',
    'Jan Luyken (1649-1712),Jan Luyken,dates after the name,1',
    'from,to,why,works',
    'jan luyken,Jan Luyken,"case, accents or signs",1',
  ]
  assert 'maker: 2 names seem to have several spellings: Durer = Dürer' in capsys.readouterr().out
  given = tmp_path / 'looked-through.csv'  # as a Dutch spreadsheet program saves it
  given.write_text('from;to;why;works\nLuyken, Jan;Jan Luyken;x;1\njan luyken;Jan Luyken;x;1\n')
  path = build(source, aliases=str(given), overwrite=True)
  assert [r['maker'] for r in records(path)].count('Jan Luyken') == 4


@pytest.mark.parametrize(
  ('cells', 'option'),
  [
    (['A; B', 'C', 'A; C'], "--multi_value_separator=';'"),
    (['A $ B', 'C', 'A'], "--multi_value_separator='$'"),
    (['A\nB', 'C', 'A'], r"--multi_value_separator='\n'"),
    (['Jan &amp; Caspar Luyken', 'Steen; ', 'A'], None),
  ],
)
def test_several_values_in_a_cell_are_noticed_and_split(tmp_path, capsys, cells, option):
  rows = [(f'{i}.png', cell) for i, cell in enumerate(cells)]
  source = write_collection(tmp_path / 's', ['image', 'artist'], rows)
  build(source)
  out = capsys.readouterr().out
  assert (f'{option} splits them' in out) if option else 'splits them' not in out
  separator = shlex.split(option)[0].partition('=')[2] if option else ';'
  found = records(build(source, multi_value_separator=separator, overwrite=True))
  assert found[0]['artist'] == (['A', 'B'] if option else 'Jan & Caspar Luyken')


def test_a_phrase_of_nothing_visible_matches_nothing():
  assert cleaner(phrases=['\u200b', 'naar']).clean('Rubens', column='artist') == 'Rubens'


def test_aliases_are_followed_to_the_end_and_stored_with_the_data(tmp_path):
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
  with pytest.raises(UserError, match='aliases was '):
    build(source, aliases=str(aliases))


def test_cases_of_words_and_years(tmp_path):
  for case, feature, key, value in (
    ('18', 'artist', 'counts', {'Jan Steen': 20}),
    ('18', 'type', 'counts', {'print': 30}),
    ('19', 'year', 'labelled', 0),
  ):
    found = next(CASES.glob(f'{case}-*/metadata.csv'), None)
    if found is None:
      pytest.skip('the inputs are in ../shared/cases')
    source = tmp_path / f'{case}{feature}'
    for i in range(60):
      draw(source / f'{i:03d}.png', i)
    shutil.copy(found, source / 'metadata.csv')
    path = build(source, overwrite=True)
    assert build_report.read(path)['tasks'][feature][key] == value, case


def test_doubt_in_a_column_of_its_own(tmp_path):
  rows = [
    ('a.png', 'Hals|Steen', 'Attributed to| '),
    ('b.png', 'Hals', ''),
    ('c.png', 'Steen', 'Workshop of'),
    ('d.png', 'Steen', 'signed'),
  ]
  source = write_collection(tmp_path / 's', ['image', 'Artist Name', 'Artist Prefix'], rows)
  path = build(source)
  assert [r['Artist_Name'] for r in records(path)] == [['Steen'], ['Hals'], [], ['Steen']]
  assert build_report.read(path)['distancing'] == {'attributed to': 1, 'workshop of': 1}
