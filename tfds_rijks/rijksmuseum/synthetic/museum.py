"""Draws a whole museum: works, records with their traps, broken files, ground truth."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import shutil
import string
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfds_rijks.errors import UserError
from tfds_rijks.progress import track
from tfds_rijks.rijksmuseum.layout import DRAWN
from tfds_rijks.rijksmuseum.synthetic import drawing, makers, records
from tfds_rijks.rijksmuseum.synthetic.canvas import PATTERNS, Hand
from tfds_rijks.rijksmuseum.synthetic.copying import HOW, copied

RECIPE = 2  # raised with every change of the drawings, so that older folders are not reused
COPIES = 'copies.csv'
MIN_OBJECTS = 20
SIZES = (160, 240)  # pixels, each side
ANONYMOUS_SHARE, TAIL_SHARE, SET_SHARE = 0.09, 0.04, 0.3
DISTANCED = (
  'toegeschreven aan',
  'naar ontwerp van',
  'atelier van',
  'kopie naar',
  'omgeving van',
  'mogelijk',
  'vermeld op object',
)  # the last is not distancing
TITLES = {
  'landschap': 'Landschap met molen',
  'schip': 'Schip op zee',
  'portret': 'Portret van een onbekende',
  'stad': 'Gezicht op een gracht',
  'stilleven': 'Stilleven met vruchten',
}


@dataclass(frozen=True)
class Plan:
  """A work and its look; `twin_of` is the index of a work with the same picture."""

  work: records.Work
  kind: str
  material: str
  hand: Hand
  subject: str
  twin_of: int | None = None
  how: str = ''  # it was copied from its twin


def draw_museum(
  folder: str | os.PathLike[str], *, objects: int = 1200, seed: int = 0, copies: int = 0
) -> Path:
  """Writes `folder/jpg2`, `folder/xml2` and `folder/rijksgt.mat` as the challenge is distributed.

  A folder written with the same arguments is reused. Nothing half-written stays: the museum is
  drawn beside `folder` and moved there.

  Args:
    folder: the target; otherwise must not exist or be empty.
    objects: number of records, at least 20.
    seed: another seed is another museum.
    copies: number of additional records, each with a copy of a picture under another number;
      `copies.csv` says of which, and how it was made.

  Returns:
    `folder`.

  Raises:
    UserError: the folder holds something else, `objects` is too small, or `copies` negative.
  """
  if objects < MIN_OBJECTS:
    raise UserError(f'objects={objects}: a museum needs at least {MIN_OBJECTS}')
  folder = Path(folder).expanduser()
  if copies < 0:
    raise UserError(f'copies={copies}: expected 0 or more')
  if folder.exists() and not folder.is_dir():
    raise UserError(f'{folder}: exists and is not a folder; choose another name')
  recipe = {'objects': objects, 'seed': seed, 'recipe': RECIPE}
  recipe |= {'copies': copies} if copies else {}
  if folder.is_dir() and any(folder.iterdir()):
    marker = folder / DRAWN
    if marker.is_file() and json.loads(marker.read_text()) == recipe:
      return folder
    raise UserError(
      f'{folder}: is not empty and is not a synthetic museum of {objects} objects with '
      f'seed {seed}; choose another folder or remove it'
    )
  folder.parent.mkdir(parents=True, exist_ok=True)
  temporary = Path(tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=folder.parent))
  try:
    temporary.chmod(0o755)
    _write(temporary, objects=objects, seed=seed, copies=copies)
    (temporary / DRAWN).write_text(json.dumps(recipe) + '\n')
    if folder.is_dir():
      folder.rmdir()
    temporary.rename(folder)
  except BaseException:
    shutil.rmtree(temporary, ignore_errors=True)
    raise
  return folder


def _write(folder: Path, *, objects: int, seed: int, copies: int) -> None:
  rng = np.random.default_rng([seed, 1])
  plans = list(itertools.islice(_plan(rng), objects))
  rng.shuffle(plans)
  for _ in range(max(1, objects // 150)):  # two records of one picture
    a, b = rng.choice(objects, 2, replace=False).tolist()
    plans[b] = replace(
      plans[a], work=replace(plans[a].work, number=plans[b].work.number), twin_of=a
    )
  plans = [
    replace(plan, work=replace(plan.work, stem=f'{i:07d}_{plan.work.number}'))
    for i, plan in enumerate(plans, start=1)
  ]
  pictures, xmls = folder / 'jpg2', folder / 'xml2'
  pictures.mkdir()
  xmls.mkdir()
  damage = _damage(objects, rng)
  if copies:
    plans += _copies(plans, copies, damage=damage, seed=seed)
    _write_copies(folder / COPIES, plans)
  for i, plan in enumerate(track(plans, 'drawing the museum', len(plans), unit='objects')):
    harm, stem = damage.get(i), plan.work.stem
    picture = _picture(plan, seed=seed, index=i if plan.twin_of is None else plan.twin_of)
    if plan.how:
      picture = copied(picture, plan.how, np.random.default_rng([seed, 4, i]))
    xml = _xml(plan.work, np.random.default_rng([seed, 2, i]))
    if harm != 'no xml':
      (xmls / f'{stem}.xml').write_bytes(
        {
          'cut xml': xml[: len(xml) * 2 // 3],
          'doctype': b'<!DOCTYPE record [<!ENTITY maker "anoniem">]>\n' + xml.split(b'?>\n')[-1],
        }.get(str(harm), xml)
      )
    if harm != 'no picture':
      (pictures / f'{stem}.jpg').write_bytes(
        {
          'cut picture': picture[: len(picture) * 3 // 5],
          'empty picture': b'',
          'html': b'<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n',
        }.get(str(harm), picture)
      )
  sets = rng.choice([1, 2, 3], len(plans), p=[0.7, 0.1, 0.2])
  known = [None if damage.get(i) == 'no xml' else plan.work for i, plan in enumerate(plans)]
  names = {creator: _bare_name(creator) for plan in plans for creator in plan.work.creators}
  records.write_ground_truth(folder / 'rijksgt.mat', known, names=names, sets=sets)


def _copies(plans: list[Plan], copies: int, *, damage: dict[int, str], seed: int) -> Iterator[Plan]:
  """Records with a copy of an existing picture, using each way of copying equally often."""
  rng = np.random.default_rng([seed, 5])
  sound = [i for i, plan in enumerate(plans) if i not in damage and plan.twin_of is None]
  chosen = rng.choice(sound, copies, replace=copies > len(sound)).tolist()
  for k, (i, how) in enumerate(zip(chosen, itertools.cycle(HOW), strict=False)):
    number = f'RP-F-F{k:05d}'
    work = replace(plans[i].work, number=number, stem=f'{len(plans) + k + 1:07d}_{number}')
    yield replace(plans[i], work=work, twin_of=i, how=how)


def _write_copies(path: Path, plans: list[Plan]) -> None:
  with path.open('w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('copy', 'original', 'how'))
    writer.writerows(
      (plan.work.stem, plans[plan.twin_of].work.stem, plan.how)
      for plan in plans
      if plan.how and plan.twin_of is not None
    )


def _damage(objects: int, rng: np.random.Generator) -> dict[int, str]:
  """Which records are broken and how."""
  kinds = ['cut picture', 'empty picture', 'html', 'no picture', 'no xml', 'cut xml', 'doctype']
  kinds *= max(1, objects // 400)
  return dict(zip(rng.choice(objects, len(kinds), replace=False).tolist(), kinds, strict=True))


def _plan(rng: np.random.Generator) -> Iterator[Plan]:
  """Endless works: single ones, and sets of lettered parts under one object number."""
  numbers = itertools.count(100)
  tail = [f'{family}, {first}' for family in makers.FAMILY_NAMES for first in makers.FIRST_NAMES]
  rng.shuffle(tail)
  shares = np.array([maker.share for maker in makers.MAKERS])
  while True:
    kind = str(rng.choice(list(makers.KINDS), p=[k.share for k in makers.KINDS.values()]))
    hand = Hand(_colour(90, 240, rng), _colour(10, 120, rng), str(rng.choice(PATTERNS)))
    active, draw, name = (1550, 1850), rng.random(), ''
    if draw < TAIL_SHARE and tail:
      name = tail.pop()
    elif draw > TAIL_SHARE + ANONYMOUS_SHARE:
      maker = makers.MAKERS[int(rng.choice(len(shares), p=shares / shares.sum()))]
      kind = str(rng.choice(list(maker.types), p=list(maker.types.values())))
      hand, active, name = Hand(maker.tint, maker.ink, maker.pattern), maker.active, maker.name
    yield from _works(kind, name=name, hand=hand, active=active, number=next(numbers), rng=rng)


def _colour(low: int, high: int, rng: np.random.Generator) -> makers.Colour:
  r, g, b = rng.integers(low, high, 3).tolist()
  return r, g, b


def _works(
  kind: str,
  *,
  name: str,
  hand: Hand,
  active: tuple[int, int],
  number: int,
  rng: np.random.Generator,
) -> Iterator[Plan]:
  """One work, or the lettered parts of a set (and recto and verso of some drawings)."""
  about = makers.KINDS[kind]
  material = str(rng.choice(list(about.materials), p=list(about.materials.values())))
  begin = int(rng.integers(active[0], active[1] - 4))
  years = None if rng.random() < 0.06 else (begin, begin + int(rng.choice([0, 0, 1, 5, 30])))
  template = str(rng.choice(about.numbers))
  base = template.format(year=int(rng.integers(1880, 2012)), n=number, m=int(rng.integers(10, 99)))
  suffixes = ['']
  if kind in ('vaas', 'bord', 'stoel', 'beeld', 'penning') and rng.random() < SET_SHARE:
    suffixes = [f'-{letter}' for letter in string.ascii_uppercase[: int(rng.integers(2, 4))]]
  elif kind == 'tekening' and rng.random() < 0.08:
    suffixes = ['(R)', '(V)']
  for suffix in suffixes:
    subject = str(rng.choice(makers.SUBJECTS))
    second = [m for m in makers.SECOND_MATERIAL[material] if rng.random() < 0.4][:1]
    finer = [str(rng.choice(about.finer))] if rng.random() < 0.3 else []
    yield Plan(
      records.Work(
        stem='',
        number=base + suffix,
        title=TITLES[subject],
        creators=_creators(kind, name, rng),
        types=() if rng.random() < 0.02 else (kind, *finer),
        materials=() if rng.random() < 0.03 else (material, *second),
        techniques=(makers.TECHNIQUES[kind],),
        years=years,
      ),
      kind=kind,
      material=material,
      hand=hand,
      subject=subject,
    )


def _creators(kind: str, name: str, rng: np.random.Generator) -> tuple[str, ...]:
  """The `dc:creator` values: role, qualifier, leading blanks, empty ones, and publishers."""
  role = makers.KINDS[kind].role
  blank = ' ' if rng.random() < 0.5 else ''
  if not name:
    first = (' : ', 'anoniem', f'{blank}{role}: anoniem')[int(rng.integers(3))]
  else:
    qualifier = f'{rng.choice(DISTANCED)} ' if rng.random() < 0.08 else ''
    first = f'{blank}{qualifier}{role}: {name}'
    if qualifier.startswith('naar ontwerp van'):  # the role is that of the design
      first = f'{blank}naar ontwerp van: {name}'
  if rng.random() < 0.03:
    first = unicodedata.normalize('NFD', first)
  if kind != 'prent' or rng.random() > 0.3:
    return (first,)
  publisher = f' uitgever: {rng.choice(makers.PUBLISHERS)}'
  return (publisher, first) if rng.random() < 0.05 else (first, publisher)


def _bare_name(creator: str) -> str:
  """The name as the ground truth spells it: without role, composed, `anoniem` for nobody."""
  name = unicodedata.normalize('NFC', creator.partition(':')[2] or creator).strip()
  return name or records.ANONYMOUS


def _picture(plan: Plan, *, seed: int, index: int) -> bytes:
  rng = np.random.default_rng([seed, 3, index])
  w, h = rng.integers(SIZES[0], SIZES[1] + 1, 2).tolist()
  if plan.kind in ('vaas', 'stoel', 'beeld') and w > h:
    w, h = h, w
  picture = drawing.draw(
    plan.kind, material=plan.material, hand=plan.hand, subject=plan.subject, size=(w, h), rng=rng
  )
  out = io.BytesIO()
  picture.save(out, 'JPEG', quality=88, dpi=(300, 300))
  return out.getvalue()


def _xml(work: records.Work, rng: np.random.Generator) -> bytes:
  plain = all(text.isascii() for text in (*work.creators, work.title))
  shares = [0.9, 0.1, 0, 0] if plain else [0.4, 0.1, 0.25, 0.25]
  encoding = str(rng.choice(records.ENCODINGS, p=shares))
  if (
    work.creators and '&' in work.creators[0] and rng.random() < 0.3
  ):  # escaped twice, as on the real site
    work = replace(work, creators=(work.creators[0].replace('&', '&amp;'), *work.creators[1:]))
  return records.oai_dc(work, declared=rng.random() > 0.15, encoding=encoding)
