"""Invented makers of the synthetic museum, and the dependence of labels.

A maker works in a few types of object, a type is made of a few materials, so the three labels are
correlated, as in a real collection. Every name here is invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Maker:
  """One maker: share of the signed works, years of activity, kinds of work, hand.

  `tint` and `ink` are the two colours of the hand, `pattern` the habit of filling a surface (see
  `drawing.PATTERNS`); all three show in every work, whatever its type.
  """

  name: str
  share: float
  active: tuple[int, int]
  types: Mapping[str, float]
  tint: Colour
  ink: Colour
  pattern: str


# Type: share among anonymous works, role of the maker, materials (the first value of the record),
# finer types, object number prefixes.
@dataclass(frozen=True)
class Kind:
  share: float
  role: str
  materials: Mapping[str, float]
  finer: tuple[str, ...]
  numbers: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
  'prent': Kind(
    0.30,
    'prentmaker',
    {'papier': 0.92, 'perkament': 0.08},
    ('historieprent', 'topografische prent', 'boekillustratie', 'portret'),
    ('RP-P-{year}-{n}', 'RP-P-OB-{n}.{m}', 'RP-P-OB-{n}', 'RP-P-{year}-A-1{n}'),
  ),
  'tekening': Kind(
    0.16,
    'tekenaar',
    {'papier': 0.6, 'perkament': 0.4},
    ('schetsboekblad', 'ontwerptekening'),
    ('RP-T-{year}-{n}', 'RP-T-00-{n}', 'RP-T-{year}-A-4{n}'),
  ),
  'schilderij': Kind(
    0.14, 'schilder', {'olieverf': 1.0}, ('portret', 'schuttersstuk'), ('SK-A-{n}', 'SK-C-{n}')
  ),
  'vaas': Kind(
    0.10,
    'plateelbakker',
    {'porselein': 0.6, 'faience': 0.4},
    ('dekselvaas',),
    ('BK-NM-{n}', 'BK-{year}-{m}'),
  ),
  'bord': Kind(
    0.09,
    'plateelbakker',
    {'faience': 0.65, 'porselein': 0.35},
    ('schotel',),
    ('BK-NM-{n}', 'BK-KOG-{n}'),
  ),
  'penning': Kind(
    0.09,
    'medailleur',
    {'zilver': 0.55, 'brons': 0.45},
    ('legpenning',),
    ('NG-VG-1-{n}', 'NG-{year}-{m}-{n}'),
  ),
  'stoel': Kind(0.06, 'meubelmaker', {'hout': 1.0}, ('armstoel',), ('BK-{n}', 'BK-{year}-{m}')),
  'beeld': Kind(
    0.06,
    'beeldhouwer',
    {'hout': 0.45, 'brons': 0.55},
    ('heiligenbeeld', 'buste'),
    ('BK-NM-{n}', 'BK-{n}'),
  ),
}

# Materials that a record names after the first.
SECOND_MATERIAL: Mapping[str, tuple[str, ...]] = {
  'olieverf': ('doek', 'paneel', 'koper'),
  'hout': ('fluweel', 'messing'),
  'porselein': ('glazuur',),
  'papier': ('inkt',),
  'zilver': (),
  'brons': (),
  'faience': (),
  'perkament': ('inkt',),
}

TECHNIQUES: Mapping[str, str] = {
  'prent': 'etsen',
  'tekening': 'penseel',
  'schilderij': 'schilderen',
  'vaas': 'draaien',
  'bord': 'draaien',
  'penning': 'slaan',
  'stoel': 'draaien',
  'beeld': 'gieten',
}

MAKERS: tuple[Maker, ...] = (
  Maker(
    'Vlieringh, Joost van der',
    0.170,
    (1598, 1660),
    {'prent': 0.90, 'tekening': 0.10},
    (222, 190, 140),
    (84, 52, 24),
    'lines',
  ),
  Maker(
    'Quaeckernaat, Pieter',
    0.115,
    (1620, 1671),
    {'prent': 0.85, 'tekening': 0.15},
    (160, 196, 222),
    (22, 50, 110),
    'waves',
  ),
  Maker(
    'Osterzeel, Hendrick (I)',
    0.095,
    (1570, 1612),
    {'prent': 1.0},
    (224, 150, 136),
    (132, 22, 22),
    'cross',
  ),
  Maker(
    'Wittebroeck, Machteld',
    0.080,
    (1641, 1700),
    {'schilderij': 0.85, 'tekening': 0.15},
    (96, 156, 214),
    (60, 70, 30),
    'waves',
  ),
  Maker(
    'Meerdonck, Cornelis Ambrosius',
    0.068,
    (1655, 1720),
    {'prent': 0.7, 'schilderij': 0.3},
    (150, 190, 140),
    (18, 78, 42),
    'dots',
  ),
  Maker(
    "'t Hoenderveld, Sijbrand",
    0.058,
    (1630, 1690),
    {'schilderij': 0.8, 'tekening': 0.2},
    (232, 150, 66),
    (96, 26, 20),
    'lines',
  ),
  Maker(
    'De Drie Kraaijen',
    0.055,
    (1680, 1760),
    {'vaas': 0.55, 'bord': 0.45},
    (70, 110, 200),
    (20, 34, 120),
    'waves',
  ),
  Maker(
    'Plateelbakkerij Het Gulden Anker & Zonen',
    0.050,
    (1700, 1790),
    {'bord': 0.6, 'vaas': 0.4},
    (230, 160, 40),
    (176, 60, 16),
    'dots',
  ),
  Maker(
    'Lünenschloß, Käthe',
    0.045,
    (1740, 1801),
    {'vaas': 0.7, 'bord': 0.3},
    (206, 92, 140),
    (120, 16, 74),
    'lines',
  ),
  Maker(
    'Abbekerck, Thomas (II)',
    0.042,
    (1710, 1768),
    {'penning': 1.0},
    (40, 120, 190),
    (16, 44, 96),
    'dots',
  ),
  Maker(
    'Morgenster, Eva',
    0.040,
    (1760, 1820),
    {'tekening': 0.75, 'prent': 0.25},
    (188, 150, 206),
    (86, 30, 122),
    'dots',
  ),
  Maker(
    'Zandbergen, Adriaan',
    0.036,
    (1665, 1740),
    {'stoel': 0.75, 'beeld': 0.25},
    (176, 34, 44),
    (236, 190, 80),
    'lines',
  ),
  Maker(
    'Étienne-Duvallon, René',
    0.033,
    (1720, 1775),
    {'stoel': 0.8, 'beeld': 0.2},
    (52, 128, 92),
    (236, 226, 180),
    'cross',
  ),
  Maker(
    'Holtkamp, Gerrit',
    0.030,
    (1600, 1650),
    {'beeld': 0.9, 'penning': 0.1},
    (206, 176, 60),
    (130, 84, 20),
    'cross',
  ),
  Maker(
    'Roosendonck, Isaac',
    0.027,
    (1690, 1750),
    {'penning': 0.8, 'beeld': 0.2},
    (196, 50, 50),
    (90, 14, 18),
    'lines',
  ),
  Maker(
    'Nachtegaal, Lysbeth',
    0.024,
    (1850, 1910),
    {'tekening': 0.6, 'schilderij': 0.4},
    (64, 170, 168),
    (12, 74, 84),
    'cross',
  ),
  Maker(
    'Spiegelaer, Barent',
    0.018,
    (1555, 1599),
    {'prent': 1.0},
    (206, 206, 202),
    (14, 14, 16),
    'cross',
  ),
  Maker(
    'Ten Oeverloo, Willem',
    0.014,
    (1820, 1880),
    {'schilderij': 1.0},
    (120, 60, 150),
    (240, 200, 90),
    'dots',
  ),
)

# The long tail: makers with one or two works, which any class rule drops.
FAMILY_NAMES = (
  'Blankevoort',
  'Duynkercke',
  'Eelsingh',
  'Fockema',
  'Grootveldt',
  'Haverschmidt',
  'IJsbrandt',
  'Jongheer',
  'Kalverla',
  'Loenersloot',
  'Muijsenbergh',
  'Nooteboem',
  'Overgaauw',
  'Pauwelsz',
  'Rietvinck',
  'Schaapherder',
  'Tromperman',
  'Uijtenwael',
  'Voskuijlen',
  'Winterkoningh',
)
FIRST_NAMES = (
  'Anna',
  'Bartholomeus',
  'Claes',
  'Dirck',
  'Elisabeth',
  'Frans',
  'Geertruyd',
  'Hessel',
  'Ida',
  'Jan',
  'Krijn',
  'Lucas',
  'Margaretha',
  'Nicolaes',
)
PUBLISHERS = (
  'Claverbladt, Jacob',
  'Weduwe Pers & Comp.',
  'Boeckverkooper: In den Vergulden Passer',
)

SUBJECTS = ('landschap', 'schip', 'portret', 'stad', 'stilleven')
