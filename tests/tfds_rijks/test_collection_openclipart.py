"""The worked example: names cleaned by a table, versions of one drawing kept together."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from collections_on_disk import build, records
from PIL import Image, ImageDraw

from tfds_rijks import build_report
from tfds_rijks.collection import near_twins, openclipart
from tfds_rijks.errors import UserError

ROOT = Path('/usr/share/openclipart')
HEAD = (
  '<svg xmlns="http://www.w3.org/2000/svg" '
  'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cc="http://x/cc" '
  'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><rdf:RDF><cc:Work>'
)


def put(root: Path, work: str, creators: list[str], *, seed: int = 0, colour=(200, 0, 0)) -> None:
  """A transparent PNG with a drawing from the seed, and its SVG."""
  png, svg = root / 'png' / f'{work}.png', root / 'svg' / f'{work}.svg'
  png.parent.mkdir(parents=True, exist_ok=True)
  svg.parent.mkdir(parents=True, exist_ok=True)
  image = Image.new('RGBA', (64, 64), (0, 0, 0, 0))
  rng = np.random.default_rng(seed)
  for _ in range(6):
    x, y = (int(v) for v in rng.integers(0, 50, 2))
    ImageDraw.Draw(image).rectangle((x, y, x + 12, y + 12), fill=(*colour, 255))
  image.save(png)
  agents = ''.join(
    f'<dc:creator><cc:Agent><dc:title>{name}</dc:title></cc:Agent></dc:creator>'
    for name in creators
  )
  svg.write_text(f'{HEAD}{agents}</cc:Work></rdf:RDF></metadata><g/></svg>', encoding='utf-8')


@pytest.fixture
def root(tmp_path):
  root = tmp_path / 'openclipart'
  put(root, 'animals/dog_ann_01', ['Ann'], seed=1)
  put(root, 'animals/dog_ann_02', ['Ann'], seed=2)
  put(root, 'animals/bugs/fly', ['PeterM'], seed=3)
  put(root, 'unsorted/x', ['http://www.treebuilder.de'], seed=4)
  put(root, 'shapes/stars/star', ['codifiedivining'], seed=5)
  put(root, 'buttons/ok_red', ['Mo'], seed=6)
  put(root, 'buttons/go', ['mo'], seed=6, colour=(0, 0, 200))
  return root


def test_the_folder_it_writes(root, tmp_path):
  works = openclipart.write_collection(root, tmp_path / 'out')
  with (tmp_path / 'out' / 'metadata.csv').open(encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  assert len(works) == len(rows) == 7
  by_name = {row['object_number']: row for row in rows}
  assert by_name['animals/bugs/fly'] == {
    'image': 'png/animals/bugs/fly.png',
    'object_number': 'animals/bugs/fly',
    'artist': 'PeterM',
    'type': 'animals',
    'subject': 'bugs',
    'group': 'animals/bugs/fly',
  }
  assert by_name['unsorted/x']['artist'] == by_name['unsorted/x']['type'] == ''
  assert by_name['animals/dog_ann_02']['group'] == 'animals/dog_ann_01'  # numbered
  assert by_name['buttons/ok_red']['group'] == by_name['buttons/go']['group']  # recoloured
  found = records(build(tmp_path / 'out', image_size=32))
  assert [r['artist'] for r in found if r['object_number'].startswith('buttons')] == ['Mo', 'Mo']
  openclipart.write_collection(root, tmp_path / 'out', without=['shapes/stars'])  # again, in place
  assert 'shapes/stars' not in (tmp_path / 'out' / 'metadata.csv').read_text()


def test_the_halves_share_no_artist_and_no_picture(root, tmp_path):
  put(root, 'tools/copy_of_dog', ['Zoe'], seed=1)  # Ann's first dog under another name
  put(root, 'tools/hammer', ['Zoe'], seed=9)
  (root / 'png' / 'unsorted' / 'broken.png').write_bytes(b'no picture')  # is like nothing
  first = openclipart.write_collection(root, tmp_path / 'one', half=1)
  second = openclipart.write_collection(root, tmp_path / 'two', half=2)
  artists = [{work.artist for work in half} for half in (first, second)]
  assert not artists[0] & artists[1] and artists[0] | artists[1] == {
    '',
    'Ann',
    'Mo',
    'PeterM',
    'Zoe',
    'codifiedivining',
  }
  # Ann, Mo and Zoe have two works each: Ann | Mo | Zoe, PeterM | codifiedivining by turns.
  assert artists[0] == {'', 'Ann', 'Zoe'} and artists[1] == {'Mo', 'PeterM', 'codifiedivining'}
  names = {work.object_number for work in first}
  assert names == {
    'animals/dog_ann_01',
    'animals/dog_ann_02',
    'unsorted/x',
    'unsorted/broken',
    'tools/copy_of_dog',
    'tools/hammer',
  }
  put(root, 'unsorted/star', [], seed=5)  # a picture of the second half
  again = openclipart.write_collection(root, tmp_path / 'one', half=1)
  assert {work.object_number for work in again} == names
  # Leaving works out moves no artist to the other half.
  rest = openclipart.write_collection(root, tmp_path / 'two', half=2, without=['shapes/stars'])
  assert {work.artist for work in rest} == {'Mo', 'PeterM'}


def test_bad_roots_and_folders(root, tmp_path):
  with pytest.raises(UserError, match='has no folder png; expected that of Debian'):
    openclipart.write_collection(tmp_path / 'no', tmp_path / 'out')
  with pytest.raises(UserError, match='--without=shapes/planets: no such folder'):
    openclipart.write_collection(root, tmp_path / 'out', without=['shapes/planets'])
  inside = str(root / 'png' / 'shapes' / 'stars')
  with pytest.raises(UserError, match=f'--without={inside}: no such folder'):
    openclipart.write_collection(root, tmp_path / 'out', without=[inside])
  (tmp_path / 'empty' / 'png').mkdir(parents=True)
  (tmp_path / 'empty' / 'svg').mkdir()
  with pytest.raises(UserError, match=r'empty: has no \.png below png/ that is not'):
    openclipart.write_collection(tmp_path / 'empty', tmp_path / 'out')
  (tmp_path / 'out' / 'png').mkdir(parents=True)
  with pytest.raises(UserError, match='exists and is not a link'):
    openclipart.write_collection(root, tmp_path / 'out')


@pytest.mark.parametrize(
  ('written', 'meant'),
  [
    ('Architetto Francesco Rollandin', 'Francesco Rollandin'),
    ('Jean-VIctor Balin', 'Jean-Victor Balin'),
    ('Jean-Victor Balin (balin_j@epita.fr)', 'Jean-Victor Balin'),
    ('Martin Kozák &lt;martin.kozak@openoffice.cz&gt;', 'Martin Kozák'),
    ('Jakob [chaosinfaith@hotmail.com]', 'Jakob'),
    ('J&ouml;rgen Scheibengruber', 'Jörgen Scheibengruber'),
    ('Tom&Atilde;&iexcl;&Aring;&iexcl; Kratochv&Atilde;&shy;la', 'Tomáš Kratochvíla'),
    ('U.S. Army (public domain clipart)', ''),
    ('http://www.puntocero.tk', ''),
    ('giulio@goodgame.it', ''),
    ('HASH(0x89c79d4)', ''),
    ('Anonymous', ''),
    ('', ''),
    ('Nicu Buculei and Nathan Eady', ''),
    ('Pixelator', 'Pixelator'),
  ],
)
def test_names(written, meant):
  assert openclipart.artist([written], openclipart.read_names()) == meant


def test_two_makers_are_not_a_label_but_one_maker_twice_is():
  names = openclipart.read_names()
  assert openclipart.artist(['Ann', 'Bob'], names) == ''
  assert openclipart.artist(['Mo', 'mo'], names) == 'Mo'


def test_the_table_of_names_has_an_end():
  names = openclipart.read_names()
  assert not [name for name, target in names.items() if target in names]


@pytest.mark.parametrize(
  ('stem', 'name'),
  [
    ('pill-button-green_benji_02', 'pill button benji'),
    ('foo_01', 'foo'),
    ('12', '12'),
    ('red', 'red'),
    ('pancake_bw', 'pancake'),
    ('Drum_KIT1', 'drum kit'),
  ],
)
def test_name_without_version(stem, name):
  assert near_twins.name_without_version(stem) == name


@pytest.mark.openclipart
@pytest.mark.skipif(
  not ROOT.is_dir(), reason='openclipart-png and openclipart-svg are not installed'
)
def test_the_real_packages():
  works = list(openclipart.read_works(ROOT))
  assert len(works) == 8121
  named = [work.artist for work in works if work.artist]
  assert 7_800 < len(named) < 7_900
  assert {'Francesco Rollandin', 'Nicu Buculei', 'codifiedivining'} <= set(named)
  assert not [name for name in named if '@' in name or '&' in name or 'http' in name]
  assert not {'unsorted', 'special'} & {work.type for work in works}
  assert len([work for work in works if work.image.startswith('png/shapes/stars/')]) == 1378


def test_unreadable_vectors_leave_the_maker_unknown(root):
  (root / 'svg' / 'animals' / 'dog_ann_01.svg').write_text('<svg')
  (root / 'svg' / 'animals' / 'dog_ann_02.svg').unlink()
  works = {work.object_number: work.artist for work in openclipart.read_works(root)}
  assert works['animals/dog_ann_01'] == works['animals/dog_ann_02'] == ''


def test_the_report_says_what_was_kept_together(root, tmp_path):
  openclipart.write_collection(root, tmp_path / 'out')
  assert build_report.read(build(tmp_path / 'out'))['groups'] == {
    'groups': 5,
    'records_in_groups_of_several': 4,
    'largest': 2,
  }
