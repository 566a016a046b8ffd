"""Roles, qualifiers, names; and who counts as the artist."""

from __future__ import annotations

import pytest

from tfds_rijks.rijksmuseum.creators import DISTANCING, Creator, artist, parse

DOUBT = 'toegeschreven aan'


@pytest.mark.parametrize(
  ('text', 'creator'),
  [
    (
      'prentmaker: Coornhert, Dirck Volckertsz',
      Creator('Coornhert, Dirck Volckertsz', 'prentmaker'),
    ),
    (' tekenaar: Bernard, Jean', Creator('Bernard, Jean', 'tekenaar')),
    (
      'vermeld op object prentmaker: Dürer, Albrecht',
      Creator('Dürer, Albrecht', 'prentmaker', 'vermeld op object'),
    ),
    (
      'atelier van prentmaker: Hogenberg, Frans',
      Creator('Hogenberg, Frans', 'prentmaker', 'atelier van'),
    ),
    (
      'naar ontwerp van: Heemskerck, Maarten van',
      Creator('Heemskerck, Maarten van', '', 'naar ontwerp van'),
    ),
    ('naar prent van: Dürer, Albrecht', Creator('Dürer, Albrecht', '', 'naar prent van')),
    (
      'porseleinfabriek: Meissener Porzellan Manufaktur',
      Creator('Meissener Porzellan Manufaktur', 'porseleinfabriek'),
    ),
    ('fotograaf: Woodbury &amp; Page', Creator('Woodbury & Page', 'fotograaf')),
    ('uitgever: Boekwinkel: In den Passer', Creator('Boekwinkel: In den Passer', 'uitgever')),
    ('Vermeer, Johannes', Creator('Vermeer, Johannes')),
    ('toegeschreven aan Vermeer, Johannes', Creator('Vermeer, Johannes', '', 'toegeschreven aan')),
    ('vermeld op object naar schilder: X', Creator('X', 'schilder', 'naar')),
    ('Toegeschreven aan Schilder: X', Creator('X', 'schilder', 'toegeschreven aan')),
    ('schilder: D\u0075\u0308rer', Creator('Dürer', 'schilder')),
    (' : ', Creator('')),
    ('', Creator('')),
    ('anoniem', Creator('')),
    ('Anoniem', Creator('')),
    ('prentmaker: anoniem', Creator('', 'prentmaker')),
    ('schilder: Lievens, Jan (toegeschreven aan)', Creator('Lievens, Jan', 'schilder', DOUBT)),
    ('schilder: Lievens, Jan, Toegeschreven aan', Creator('Lievens, Jan', 'schilder', DOUBT)),
    ('schilder: Lievens, Jan [mogelijk]', Creator('Lievens, Jan', 'schilder', 'mogelijk')),
    ('Steen, Jan (kopie naar) (mogelijk)', Creator('Steen, Jan', '', 'mogelijk')),
    ('schilder: Borch, Gerard ter (I)', Creator('Borch, Gerard ter (I)', 'schilder')),
    ('naar eigen ontwerp van: X', Creator('X', '', 'naar eigen ontwerp van')),
    ('tekenaar: Naar, Jan', Creator('Naar, Jan', 'tekenaar')),
    ('naarder: X', Creator('X', 'naarder')),  # no qualifier: a word that starts like one
  ],
)
def test_parse(text, creator):
  assert parse(text) == creator


def test_every_distancing_qualifier_parts_the_artist():
  for qualifier in DISTANCING:
    creator = parse(f'{qualifier} schilder: X')
    assert (creator.qualifier, creator.role, creator.distanced) == (qualifier, 'schilder', True)
    assert artist([creator], attribution='as_published') == 'X'
    assert artist([creator], attribution='strict') == ''


@pytest.mark.parametrize(
  ('texts', 'as_published', 'strict'),
  [
    (['schilder: A', 'schilder: B'], 'A', 'A'),
    (['uitgever: P', 'prentmaker: B'], 'P', 'B'),
    (['uitgever: P'], 'P', ''),
    (['opdrachtgever: P', 'schilder: B'], 'P', 'B'),
    (['toegeschreven aan schilder: A', 'schilder: B'], 'A', ''),
    (['prentmaker: anoniem', 'schilder: B'], '', ''),
    (['vermeld op object prentmaker: A'], 'A', 'A'),
    (['mijnwerker: A'], 'A', 'A'),  # an unknown role is a maker's
    (['schilder: A (verworpen toeschrijving)', 'schilder: B'], 'A', ''),
    (['schilder: A?'], 'A?', ''),
    (['schilder: Koning, Cornelis (?-1671)'], *['Koning, Cornelis (?-1671)'] * 2),
    (['anoniem, Nederland'], 'anoniem, Nederland', ''),
    (['onbekend (vervaardiger)'], 'onbekend (vervaardiger)', ''),
    (['Onbekende schilder', 'schilder: B'], 'Onbekende schilder', ''),
    (['N.N.'], 'N.N.', ''),
    (['prentmaker: Monogrammist AB'], *['Monogrammist AB'] * 2),
    ([], '', ''),
  ],
)
def test_artist(texts, as_published, strict):
  creators = [parse(text) for text in texts]
  assert artist(creators, attribution='as_published') == as_published
  assert artist(creators, attribution='strict') == strict


def test_known_roles():
  assert parse('schilder: A').known_role
  assert parse('uitgever: A').known_role
  assert not parse('mijnwerker: A').known_role
