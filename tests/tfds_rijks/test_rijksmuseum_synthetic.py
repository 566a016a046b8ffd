"""The synthetic museum: the same for the same seed, complete or absent, with every trap."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum import groundtruth, layout, survey
from tfds_rijks.rijksmuseum.creators import parse
from tfds_rijks.rijksmuseum.synthetic import draw_museum, drawing, makers, museum
from tfds_rijks.rijksmuseum.synthetic.canvas import PATTERNS, Hand


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
  return draw_museum(tmp_path_factory.mktemp('museum') / 'source', objects=240, seed=3)


def digest(folder: Path) -> dict[str, str]:
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.suffix != '.mat'
  }


def test_a_pure_function_of_its_arguments(tmp_path):
  one, two, other = (
    draw_museum(tmp_path / name, objects=40, seed=seed)
    for name, seed in (('a', 5), ('b', 5), ('c', 6))
  )
  assert digest(one) == digest(two) != digest(other)
  stems = layout.find(one).stems
  assert groundtruth.read_here(one / 'rijksgt.mat', rows=len(stems)) == groundtruth.read_here(
    two / 'rijksgt.mat', rows=len(stems)
  )


def test_copies_are_added_to_the_same_museum(tmp_path):
  plain, more = (draw_museum(tmp_path / str(n), objects=20, copies=n) for n in (0, 11))
  both, others = digest(plain), digest(more)
  assert len(others) == len(both) + 2 * 11 + 1  # pictures, records, copies.csv
  assert {name for name in both if both[name] != others[name]} == {museum.DRAWN}
  assert (more / museum.COPIES).read_text().count('\n') == 12


def test_kept_when_it_is_the_same_refused_when_not(tmp_path):
  drawn = draw_museum(tmp_path / 'm', objects=20)
  before = (drawn / 'rijksgt.mat').stat().st_mtime_ns
  assert draw_museum(tmp_path / 'm', objects=20) == drawn
  assert (drawn / 'rijksgt.mat').stat().st_mtime_ns == before
  with pytest.raises(UserError, match='not a synthetic museum of 30 objects'):
    draw_museum(tmp_path / 'm', objects=30)
  with pytest.raises(UserError, match='at least 20'):
    draw_museum(tmp_path / 'n', objects=3)
  with pytest.raises(UserError, match='copies=-1: expected 0 or more'):
    draw_museum(tmp_path / 'n', objects=20, copies=-1)
  assert not (tmp_path / 'n').exists()


def test_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
  def stop(*_: object, **__: object) -> bytes:
    raise KeyboardInterrupt

  monkeypatch.setattr(museum, '_xml', stop)
  with pytest.raises(KeyboardInterrupt):
    draw_museum(tmp_path / 'm', objects=20)
  assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path):
  command = [sys.executable, '-m', 'tfds_rijks.rijksmuseum.synthetic', f'--output={tmp_path / "m"}']
  done = subprocess.run([*command, '--objects=20'], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert len(layout.find(tmp_path / 'm').stems) == 20
  again = subprocess.run([*command, '--objects=25'], capture_output=True, text=True, check=False)
  assert again.returncode == 2
  assert again.stderr.startswith('error: ')
  assert len(again.stderr.splitlines()) == 1


def test_every_trap_is_there(folder):
  found = layout.find(folder)
  assert len(found.stems) == 240
  assert len(found.without_record) == len(found.without_picture) == 1
  read = survey.read_records(found, found.stems)
  assert set(read.refused) == {'XML has a DOCTYPE', 'XML is not well-formed'}
  assert any('cp1252' in repair for repair in read.repaired)
  assert any('utf-8' in repair for repair in read.repaired)
  raw = [path.read_bytes() for path in found.records.values()]
  assert any(b'xmlns' not in one for one in raw)
  assert any(b'<dc:creator> : </dc:creator>' in one for one in raw)
  assert any(b'&amp;amp;' in one for one in raw)
  assert any(b'<dc:creator> ' in one for one in raw)
  records = read.by_stem.values()
  creators = [[parse(text) for text in record.creators] for record in records]
  assert any(len(one) > 1 for one in creators)
  assert any(one[0].anonymous for one in creators)
  assert any(one[0].distanced for one in creators)
  assert any(one[0].role == 'uitgever' for one in creators)
  assert any(len(record.types) > 1 for record in records)
  assert any(not record.types for record in records)
  assert any(not record.materials for record in records)
  assert any(record.years is None for record in records)
  assert any(number.endswith('-B') for number in map(layout.object_number, found.stems))


def test_ground_truth_agrees_with_the_records(folder):
  found = layout.find(folder)
  truth = groundtruth.read_here(folder / 'rijksgt.mat', rows=len(found.stems))
  read = survey.read_records(found, found.stems)
  for stem, record in read.by_stem.items():
    row = found.stems.index(stem)
    assert truth.creators[row] == parse(record.creators[0]).name.lower()
    assert truth.types[row] == tuple(sorted(record.types))
    assert truth.years[row] == record.years
  shares = {
    split: truth.splits.count(split) / len(truth.splits) for split in ('train', 'val', 'test')
  }
  assert 0.6 < shares['train'] < 0.8


def nearest(labels: list[str], pixels: np.ndarray) -> float:
  """How often the nearest other picture (8x8 pixels) has the same label."""
  flat = pixels.reshape(len(pixels), -1).astype(np.float32)
  far = ((flat[:, None] - flat[None]) ** 2).sum(-1)
  np.fill_diagonal(far, np.inf)
  return float(np.mean([labels[i] == labels[j] for i, j in enumerate(far.argmin(1))]))


def test_every_label_shows_in_the_picture():
  """Without learning, the nearest picture predicts all three labels well above chance."""
  rng = np.random.default_rng(0)
  seen: list[np.ndarray] = []
  labels: dict[str, list[str]] = {'artist': [], 'type': [], 'material': []}
  for maker in makers.MAKERS:
    for _ in range(10):
      kind = str(rng.choice(list(maker.types), p=list(maker.types.values())))
      material = str(rng.choice(list(makers.KINDS[kind].materials)))
      picture = drawing.draw(
        kind,
        material=material,
        hand=Hand(maker.tint, maker.ink, maker.pattern),
        subject=str(rng.choice(makers.SUBJECTS)),
        size=(80, 90),
        rng=rng,
      )
      seen.append(np.asarray(picture.resize((8, 8), Image.Resampling.BOX)))
      for task, label in (('artist', maker.name), ('type', kind), ('material', material)):
        labels[task].append(label)
  scores = {task: nearest(names, np.stack(seen)) for task, names in labels.items()}
  assert scores['artist'] > 0.6  # 18 makers
  assert scores['type'] > 0.85
  assert scores['material'] > 0.8


def test_makers_are_invented_and_distinct():
  names = [maker.name for maker in makers.MAKERS]
  assert len(set(names)) == len(names)
  assert abs(sum(maker.share for maker in makers.MAKERS) - 1) < 0.01
  for maker in makers.MAKERS:
    assert abs(sum(maker.types.values()) - 1) < 1e-9
    assert set(maker.types) <= set(makers.KINDS)
    assert maker.pattern in PATTERNS
  assert len({(maker.tint, maker.ink, maker.pattern) for maker in makers.MAKERS}) == len(names)


def test_pictures_decode_to_their_size():
  rng = np.random.default_rng(1)
  for kind, about in makers.KINDS.items():
    for material in about.materials:
      for subject in makers.SUBJECTS[:2]:
        drawn = drawing.draw(
          kind,
          material=material,
          hand=Hand((200, 90, 60), (20, 30, 90), 'waves'),
          subject=subject,
          size=(61, 83),
          rng=rng,
        )
        assert drawn.size == (61, 83)
        assert np.asarray(drawn).std() > 15  # something is there
