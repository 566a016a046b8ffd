"""Parses a `dc:creator` into role, qualifier and name, and decides who is the artist.

The tables below are those of the README. A creator reads `[qualifier ]role: Name`; the museum
writes the main maker first. Real strings: `prentmaker: Coornhert, Dirck Volckertsz`, ` tekenaar:
Bernard, Jean`, `atelier van prentmaker: Hogenberg, Frans`, `naar ontwerp van: Heemskerck, Maarten
van`, ` : `, `anoniem`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tfds_rijks import nobody
from tfds_rijks.rijksmuseum.oai import clean

Attribution = Literal['as_published', 'strict']
ANONYMOUS = 'anoniem'

# The object is not, or not certainly, by this person's own hand.
DISTANCING = (
  'naar',
  'naar ontwerp van',
  'naar tekening van',
  'naar schilderij van',
  'naar prent van',
  'naar model van',
  'naar foto van',
  'naar beeldhouwwerk van',
  'kopie naar',
  'vrij naar',
  'atelier van',
  'werkplaats van',
  'omgeving van',
  'kring van',
  'school van',
  'navolger van',
  'volgeling van',
  'manier van',
  'stijl van',
  'toegeschreven aan',
  'mogelijk',
  'waarschijnlijk',
  'verworpen',
  'verworpen toeschrijving',
  'voorheen toegeschreven aan',
)
# Say where the name is written, or that the model was the maker's own.
NEUTRAL = ('vermeld op object', 'naar eigen ontwerp van', 'naar eigen tekening van')
# In the record for another reason than having made the object.
PUBLISHERS = ('uitgever', 'uitgeverij', 'uitgever en drukker', 'drukker en uitgever')
NOT_MAKERS = ('opdrachtgever', 'eigenaar', 'verzamelaar', 'schenker', 'handelaar', 'verkoper')
# Roles in the published lists; others are counted by their text and treated as makers.
MAKERS = (
  'prentmaker',
  'tekenaar',
  'schilder',
  'fotograaf',
  'beeldhouwer',
  'ontwerper',
  'drukker',
  'graveur',
  'etser',
  'plateelbakker',
  'plateelbakkerij',
  'plateelschilder',
  'pottenbakker',
  'pottenbakkerij',
  'porseleinfabriek',
  'porseleinschilder',
  'fabriek',
  'fabrikant',
  'glasblazer',
  'glasfabriek',
  'glasgraveur',
  'glasschilder',
  'zilversmid',
  'goudsmid',
  'edelsmid',
  'tingieter',
  'bronsgieter',
  'geelgieter',
  'klokkengieter',
  'medailleur',
  'stempelsnijder',
  'meubelmaker',
  'houtsnijder',
  'ivoorsnijder',
  'steenhouwer',
  'wever',
  'weverij',
  'borduurder',
  'kantwerker',
  'scheepsbouwer',
  'instrumentmaker',
  'horlogemaker',
  'klokkenmaker',
  'wapensmid',
  'geweermaker',
  'boekbinder',
  'schrijver',
  'auteur',
  'kalligraaf',
  'cartograaf',
  'landmeter',
  'architect',
  'modelleur',
  'boetseerder',
  'emailleur',
  'juwelier',
  'vervaardiger',
  'maker',
  'kunstenaar',
  'firma',
  'bedrijf',
  'atelier',
)
_QUALIFIERS = sorted((*DISTANCING, *NEUTRAL), key=len, reverse=True)
# `Lievens, Jan (toegeschreven aan)`, `Lievens, Jan, mogelijk`: after the name.
_BEHIND = re.compile(
  rf'\s*(?:,\s*|[(\[]\s*)(?P<qualifier>{"|".join(map(re.escape, _QUALIFIERS))})\s*[)\]]?$',
  re.IGNORECASE,
)
# As in the published sets; `strict` uses every word of `nobody.txt`.
_NOBODY = frozenset(('', ANONYMOUS, 'onbekend', 'unknown', 'anonymous', 'n.v.t.', '-', '?'))


@dataclass(frozen=True)
class Creator:
  """One creator. `name` is empty for nobody; `role` and `qualifier` are empty if not given."""

  name: str
  role: str = ''
  qualifier: str = ''

  @property
  def anonymous(self) -> bool:
    return not self.name

  @property
  def distanced(self) -> bool:
    """Whether the object is not, or not certainly, by this person's hand."""
    return self.qualifier in DISTANCING or self.name.endswith(('?', '(?)'))

  @property
  def made_it(self) -> bool:
    """Whether the role is that of a maker (an unknown role counts as one)."""
    return self.role not in PUBLISHERS and self.role not in NOT_MAKERS

  @property
  def known_role(self) -> bool:
    return not self.role or self.role in MAKERS or not self.made_it


def parse(text: str) -> Creator:
  """Splits `[qualifier ]role: Name` at the first colon; without a colon it is all name."""
  before, colon, after = clean(text).partition(':')
  name = (after if colon else before).strip()
  role = ' '.join(before.split()).lower() if colon else ''
  qualifiers = []
  while True:
    found = next((q for q in _QUALIFIERS if role == q or role.startswith(q + ' ')), None)
    if found is None:
      break
    qualifiers.append(found)
    role = role[len(found) :].strip()
  if not colon:  # `toegeschreven aan Vermeer`: a qualifier before the bare name
    lowered = name.lower()
    found = next((q for q in _QUALIFIERS if lowered.startswith(q + ' ')), None)
    if found is not None:
      qualifiers.append(found)
      name = name[len(found) :].strip()
  while found_behind := _BEHIND.search(name):
    qualifiers.append(found_behind['qualifier'].lower())
    name = name[: found_behind.start()].strip()
  if name.lower() in _NOBODY:
    name = ''
  # Several qualifiers (`vermeld op object naar`): the distancing one decides.
  qualifier = next((q for q in qualifiers if q in DISTANCING), qualifiers[0] if qualifiers else '')
  return Creator(name=name, role=role, qualifier=qualifier)


def artist(creators: Iterable[Creator], *, attribution: Attribution) -> str:
  """The artist label of an object; empty if it has none.

  `as_published`: the first creator, whatever the role (the rule of the published lists). `strict`:
  the first creator who is a maker and not a publisher, if named and not distanced. A doubtful or
  copied first maker is not replaced by the next one in the record.
  """
  for creator in creators:
    if attribution == 'as_published':
      return creator.name
    if creator.made_it:
      return '' if creator.distanced or nobody.KNOWN(creator.name, maker=True) else creator.name
  return ''
