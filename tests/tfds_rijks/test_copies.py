"""Likely copies: finding them, distinguishing others, and their effect on a build."""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from built_museum import records as museum_records
from built_museum import report
from collections_on_disk import build, records, write_table
from PIL import Image, ImageDraw, ImageFont

from tfds_rijks import build_report, pictures
from tfds_rijks.copies import Found, Rule, candidates
from tfds_rijks.copies.groups import Groups
from tfds_rijks.copies.sketches import SCALE, SIDE, TURNS, descriptors, turned, turning
from tfds_rijks.errors import ImageError, UserError
from tfds_rijks.prepare import prepare
from tfds_rijks.rijksmuseum.options import Preparation
from tfds_rijks.rijksmuseum.synthetic import draw_museum

N = 200


def found(
  paths: dict[str, Path], scratch: Path, *, rule: Rule = 'likely', processes: int = 1
) -> Found:
  reading = pictures.Reading(processes=processes, copies=rule)
  return pictures.read_all(paths, reading, folder=scratch).copies


def groups(copies: Found) -> list[list[str]]:
  members = defaultdict(list)
  for name, seed in copies.seed_of.items():
    members[seed].append(name)
  return sorted(sorted(names) for names in members.values())


def scene(seed: int, n: int = N) -> np.ndarray:
  """A picture with the spectrum of natural ones, `[n, n, 3]`."""
  rng = np.random.default_rng(seed)
  at = np.fft.fftfreq(n)
  steep = np.maximum(np.hypot(at, at[:, None]), 1 / n) ** 1.4
  shared, own = rng.normal(size=(2, 3, n, n))
  shared[:] = shared[0]
  planes = np.fft.ifft2(np.fft.fft2(shared + 0.4 * own) / steep).real
  planes = (planes - planes.mean((1, 2), keepdims=True)) / planes.std((1, 2), keepdims=True)
  return np.clip(128 + 50 * planes.transpose(1, 2, 0), 0, 255).astype(np.uint8)


def grained(image: np.ndarray, seed: int) -> np.ndarray:
  noise = np.random.default_rng(seed).normal(0, 2, image.shape)
  return np.clip(image + noise, 0, 255).astype(np.uint8)


def paper(seed: int) -> np.ndarray:
  return grained(np.full((N, N, 3), [240.0, 235, 220]), seed)


def shaded(seed: int) -> np.ndarray:
  return grained(np.full((N, N, 3), 235.0) - np.linspace(0, 60, N)[:, None, None], seed)


def coin(seed: int) -> np.ndarray:
  image = np.full((N, N, 3), 10.0)
  far = np.hypot(*(np.mgrid[:N, :N] - N / 2))[:, :, None]
  image = np.where(far < 84, 150.0, image)
  image = np.where((far < 84) & (far > 77), 190.0, image)
  relief = scene(seed).mean(axis=2, keepdims=True) - 128
  return grained(np.where(far < 70, image + 0.7 * relief, image), seed)


def text(seed: int) -> np.ndarray:
  letters = np.random.default_rng(seed).choice([*'abcdefghijklmnopqrst   '], (13, 26))
  image = Image.new('RGB', (N, N), (245, 240, 230))
  for k, line in enumerate(letters):
    ImageDraw.Draw(image).text((20, 12 + 13 * k), ''.join(line), fill=(30, 25, 20))
  return np.asarray(image)


def plate(state: int) -> np.ndarray:
  """A print in its first state, with two areas hatched, and with an address below."""
  rng = np.random.default_rng(1)
  image = Image.new('RGB', (2 * N, 2 * N), (245, 240, 225))
  draw = ImageDraw.Draw(image)
  for x, y, turn, long in rng.uniform((20, 20, 0, 10), (370, 370, 6.3, 80), (350, 4)):
    draw.line((x, y, x + long * np.cos(turn), y + long * np.sin(turn)), (30, 25, 20), width=2)
  for k in range(40) if state == 1 else ():
    draw.line((250, 60 + 3 * k, 370, 60 + 3 * k), (30, 25, 20))
  if state == 2:
    draw.text((150, 370), 'Rembrandt f. 1648', (30, 25, 20), font=ImageFont.load_default(20))
  return grained(np.asarray(image.resize((N, N), Image.Resampling.BOX)), state)


def icon(letter: int) -> np.ndarray:
  image = Image.new('RGB', (N, N), 'white')
  draw = ImageDraw.Draw(image)
  draw.rounded_rectangle((12, 12, 188, 188), 30, fill=(60, 120, 200))
  draw.text((N // 2, N // 2), chr(65 + letter), font=ImageFont.load_default(120), anchor='mm')
  return np.asarray(image)


def framed(seed: int) -> np.ndarray:
  image = scene(99)
  image[35:-35, 35:-35] = scene(seed)[35:-35, 35:-35]
  return image


@pytest.mark.parametrize(
  'draw', [paper, shaded, coin, text, plate, icon, framed, scene], ids=lambda draw: draw.__name__
)
def test_works_that_look_alike_are_not_copies(draw: Callable[[int], np.ndarray], tmp_path):
  paths = {}
  for k in range(3 if draw is plate else 6):
    paths[str(k)] = tmp_path / f'{k}.png'
    Image.fromarray(draw(k)).save(paths[str(k)])
  copies = found(paths, tmp_path)
  assert not copies.seed_of and not copies.likely
  # A state that differs only by a line of writing is doubtful; so are shadows on blank paper.
  doubtful = {name for pair in copies.doubtful for name in pair[:2]}
  assert doubtful <= set({plate: '02', shaded: '012345'}.get(draw, ''))
  assert doubtful == set(copies.small) and (draw is not plate or doubtful)


LIKELY = {
  'mirrored': lambda a: a[:, ::-1],
  'upside down': lambda a: a[::-1, ::-1],
  'darker': lambda a: a * 0.7,
  'browned': lambda a: a.mean(axis=2, keepdims=True) * 0.3 + a * [0.8, 0.7, 0.5],
  'smaller, turned and cropped': lambda a: np.asarray(
    Image.fromarray(a[8:, :-6]).resize((97, 96)).transpose(Image.Transpose.ROTATE_90)
  ),
}
DOUBTFUL = {
  'grey': lambda a: a.mean(axis=2, keepdims=True).repeat(3, 2),
  # Two crops, neither inside the other: more of the scene on one side.
  'moved': lambda a: np.pad(a, ((0, 0), (6, 0), (0, 0)), mode='reflect')[:, :-6],
}
UNLIKE = {
  'negative': lambda a: 255 - a,
  'a detail': lambda a: a[:130, :130],
  'two on one sheet': lambda a: np.concatenate([a, scene(3)], axis=1),
  'another shape': lambda a: np.asarray(Image.fromarray(a).resize((N, N + N // 4))),
}


@pytest.mark.parametrize('rule', ['likely', 'doubtful'])
@pytest.mark.parametrize('how', [*LIKELY, *DOUBTFUL, *UNLIKE])
def test_changes_to_a_picture(how: str, rule: Rule, tmp_path):
  first = scene(5)
  change = {**LIKELY, **DOUBTFUL, **UNLIKE}[how]
  paths = {name: tmp_path / name for name in ('a.png', 'b.png', 'c.png')}
  other = np.clip(change(first), 0, 255).astype(np.uint8)
  for path, image in zip(paths.values(), (first, scene(6), other), strict=True):
    Image.fromarray(np.ascontiguousarray(image)).save(path)
  tied = how in LIKELY or (how in DOUBTFUL and rule == 'doubtful')
  copies = found(paths, tmp_path, rule=rule)
  assert groups(copies) == ([['a.png', 'c.png']] if tied else [])
  assert [pair[:2] for pair in copies.doubtful] == (
    [('a.png', 'c.png')] if how in DOUBTFUL and not tied else []
  )


@pytest.fixture(scope='module')
def museum(tmp_path_factory) -> Path:
  return draw_museum(tmp_path_factory.mktemp('museum') / 'source', objects=90, copies=88)


@pytest.fixture(scope='module')
def planted(museum) -> list[dict[str, str]]:
  with (museum / 'copies.csv').open(newline='') as file:
    return list(csv.DictReader(file))


def test_planted_copies_are_found_in_any_order(museum, planted, tmp_path):
  paths = {path.stem: path for path in sorted((museum / 'jpg2').iterdir())}
  shelf = pictures.read_all(paths, pictures.Reading(processes=1, copies='likely'), folder=tmp_path)
  copies = shelf.copies
  # Of equal pictures, the first represents all.
  first = {one.digest: name for name, one in reversed(shelf.pictures.items()) if one.digest}
  stands = {name: first.get(one.digest, name) for name, one in shelf.pictures.items()}
  original = {row['copy']: stands[row['original']] for row in planted}
  made = Counter(row['how'] for row in planted)
  hits = Counter(
    row['how']
    for row in planted
    if copies.seed_of.get(row['copy'], '') == copies.seed_of.get(original[row['copy']])
  )
  assert len(made) == 11 and set(made.values()) == {8}
  assert all(hits[how] >= 7 for how in made) and sum(hits.values()) >= 0.95 * len(planted)
  works = [{original.get(name, stands[name]) for name in pair[:2]} for pair in copies.likely]
  assert [pair for pair in works if len(pair) > 1] == []
  order = np.random.default_rng(0).permutation(list(paths)).tolist()
  again = found({name: paths[name] for name in order}, tmp_path, processes=2)
  assert groups(again) == groups(copies)
  assert {(*sorted(pair[:2]), pair[2]) for pair in again.likely} == {
    (*sorted(pair[:2]), pair[2]) for pair in copies.likely
  }


def test_a_turned_picture_is_found_without_rendering_it(tmp_path):
  """Against all descriptors of all turned sketches, each with each."""
  small = [Image.fromarray(scene(k, 80)).convert('L').resize((SIDE, SIDE)) for k in range(40)]
  sketches = np.stack([np.asarray(image) for image in small])
  mixed = [turned(s, k % 8) // 5 * 4 + sketches[k + 1] // 5 for k, s in enumerate(sketches[:20])]
  sketches[20:] = mixed
  every = descriptors(sketches).astype(np.int64)
  shapes = np.full(40, 1.25)
  shapes[20:] = [2 if k % 5 == 0 else (1.25, 0.8)[k % 8 // 4] for k in range(20)]
  expected = set()
  for turn in TURNS:
    other = descriptors(np.stack([turned(s, turn) for s in sketches])).astype(np.int64)
    np.testing.assert_array_equal(other, every @ turning(turn).astype(np.int64))
    ratio = np.log((1 / shapes if turn >= 4 else shapes) / shapes[:, None])
    near = (every @ other.T >= candidates.NEAR * SCALE**2) & (abs(ratio) < 0.12)
    expected |= {(a, b, turn) for a, b in zip(*np.nonzero(np.triu(near, 1)), strict=True)}
  assert len(expected) > 15 and {turn for *_, turn in expected} == set(TURNS)
  (block,) = candidates.write(tmp_path, every.astype(np.int8), shapes)
  got = {(a, b, turn) for a, b, turn in candidates.nearest(block).tolist()}
  assert got <= expected
  assert {pair[:2] for pair in got} == {pair[:2] for pair in expected}


def test_a_chain_of_ties_is_not_a_group():
  """Each of a series is like the next: only those like the seed stay with it."""
  asked: list[tuple[int, int]] = []

  def compare(pairs):
    asked.extend(pairs)
    return {(a, b): 0.5 * (b - a) for a, b in pairs}

  chain = Groups(compare, tie=0.5, stay=2.0)
  chain.add({(k, k + 1): 0.5 for k in range(40)})
  sizes = Counter(chain.seed_of.values())
  assert max(sizes.values()) <= 9 and sum(sizes.values()) > 30  # 4 on each side of a seed
  assert all(abs(k - seed) <= 4 for k, seed in chain.seed_of.items())
  assert asked and len(set(asked)) == len(asked)


@pytest.fixture(scope='module')
def saved_again(tmp_path_factory) -> Path:
  """Ten works, each as a master, as JPEG, and smaller; every file a separate object."""
  folder = tmp_path_factory.mktemp('again') / 'source'
  folder.mkdir()
  rows = []
  for k in range(10):
    image = Image.fromarray(scene(k))
    image.save(folder / f'{k}_a.png')
    image.save(folder / f'{k}_b.jpg', quality=88)
    image.resize((90, 90)).save(folder / f'{k}_c.jpg')
    rows += [(f'{k}_a.png', 'AB'[k % 2]), (f'{k}_b.jpg', 'AB'[k % 2]), (f'{k}_c.jpg', 'AB'[k % 2])]
  write_table(folder / 'metadata.csv', ['image', 'artist'], rows)
  return folder


def test_a_collection_keeps_copies_together(saved_again, capsys):
  path = build(saved_again)
  lie = defaultdict(set)
  for record in records(path):
    lie[record['object_number'][0]].add((record['split'], record['group']))
  assert len(lie) == 10 and {len(places) for places in lie.values()} == {1}
  about = build_report.read(path)['copies']
  assert (about['rule'], about['pictures'], about['groups'], about['largest']) == (
    'likely',
    30,
    10,
    3,
  )
  assert '30 pictures are likely copies of each other' in capsys.readouterr().out
  assert not (path / 'copies.html').exists()  # nothing is in doubt
  path = build(saved_again, copies='equal', overwrite=True)
  assert len({record['group'] for record in records(path)}) == 30
  assert build_report.read(path)['copies']['rule'] == 'equal'
  with pytest.raises(UserError, match='--copies=all: expected equal, likely, doubtful'):
    build(saved_again, copies='all', overwrite=True)


def test_a_given_split_is_kept(saved_again, tmp_path, capsys):
  shutil.copytree(saved_again, tmp_path / 's')
  names = sorted(path.name for path in saved_again.iterdir() if path.suffix != '.csv')
  rows = [(name, 'A', 'test' if '_b' in name else 'train') for name in names]
  write_table(tmp_path / 's' / 'metadata.csv', ['image', 'artist', 'split'], rows)
  path = build(tmp_path / 's')
  assert {r['object_number']: r['split'] for r in records(path)} == {
    a: split for a, _, split in rows
  }
  assert build_report.read(path)['copies']['across_the_given_split'] >= 10
  assert 'likely copies in different splits of the table' in capsys.readouterr().out


def test_doubtful_pairs_are_shown(tmp_path, capsys):
  rows = [(f'<state {k}>.png', 'R') for k in (0, 2)]
  for k, (name, _) in zip((0, 2), rows, strict=True):
    Image.fromarray(plate(k)).save(tmp_path / name)
  write_table(tmp_path / 'metadata.csv', ['image', 'artist'], rows)
  path = build(tmp_path)
  page = (path / 'copies.html').read_text()
  assert page.count('data:image/jpeg;base64,') == 2 and '&lt;state 0&gt;.png' in page
  assert '<state' not in page
  assert '1 doubtful pair is not tied: look at copies.html' in capsys.readouterr().out
  path = build(tmp_path, copies='doubtful', overwrite=True)
  assert len({record['group'] for record in records(path)}) == 1
  assert not (path / 'copies.html').exists()


def test_the_museum_keeps_planted_copies_together(museum, planted, tmp_path):
  splits = {}
  for config in ('multitask', 'multitask_copies-equal'):
    prepare(f'rijksmuseum/{config}', manual_dir=museum, data_dir=tmp_path, processes=1)
    splits[config] = {
      record['object_number'].decode(): split
      for split in ('train', 'val', 'test')
      for record in museum_records(tmp_path, config, split)
    }
  torn = {
    config: sum(split.get(row['copy'][8:]) != split.get(row['original'][8:]) for row in planted)
    for config, split in splits.items()
  }
  assert torn['multitask'] <= 4 < 16 < torn['multitask_copies-equal']
  about = report(tmp_path, 'multitask')['copies']
  assert about['rule'] == 'likely' and about['groups'] >= 50


@pytest.mark.parametrize(
  ('config', 'copies', 'message'),
  [
    (
      'challenge2014',
      'likely',
      'challenge2014 takes equal: its split is published',
    ),
    ('full', 'some', '--copies=some: full takes equal, likely, doubtful'),
    ('full_copies-equal', 'doubtful', 'the name has copies=equal, the option is doubtful'),
  ],
)
def test_rules_that_are_refused(config, copies, message):
  with pytest.raises(UserError, match=message):
    Preparation(config, Path(), copies=copies)


def test_the_name_has_the_rule():
  assert Preparation('full', Path(), copies='equal').config.name == 'full_copies-equal'
  assert Preparation('full', Path(), copies='likely').config.name == 'full'
  assert Preparation('challenge2014', Path(), copies='equal').config.name == 'challenge2014'


def test_a_worker_that_dies_ends_the_search(saved_again, tmp_path, monkeypatch):
  paths = {path.name: path for path in saved_again.iterdir() if path.suffix != '.csv'}

  def dies(part):
    raise ImageError(part.name, 'crashes the decoder')

  monkeypatch.setattr('tfds_rijks.copies.search.described', dies)
  with pytest.raises(UserError, match='describing pictures: a worker process was killed'):
    found(paths, tmp_path)
  assert not list(tmp_path.iterdir())
