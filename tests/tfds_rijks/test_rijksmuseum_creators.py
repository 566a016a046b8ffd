"""Roles, qualifiers, names; and who counts as the artist."""

from __future__ import annotations

import pytest

from tfds_rijks.rijksmuseum.creators import DISTANCING, Creator, artist, is_anonymous, parse


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
    ('naarder: X', Creator('X', 'naarder')),  # no qualifier: a word that begins like one
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


@pytest.mark.parametrize(
  ('name', 'nobody'),
  [
    ('anoniem', True),
    ('unknown', True),
    (' Anoniem ', True),
    ('', True),
    ('Anoniemus, Jan', False),
  ],
)
def test_is_anonymous(name, nobody):
  assert is_anonymous(name) is nobody
