"""The loader: order of examples, parts of several processes, padding, pictures and labels."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from grain import ReadOptions

from flaxart.data import loader
from flaxart.data.loader import Decode, Shard, TrainBatch, eval_batches, train_batches
from flaxart.data.order import example_order
from flaxart.data.source import Split, open_dataset
from tfds_rijks import images
from tfds_rijks.errors import UserError

SQUARE = images.Square(32, 'pad')
OPTIONS = {'square': SQUARE}


def batches_of(split, size=12, seed=0, square=SQUARE, *, start=0, workers=0, **options):
  batch = TrainBatch(Decode(split, square), size, seed, **options)
  return train_batches(batch, start_step=start, workers=workers)


@pytest.fixture(scope='module')
def split(collection) -> Split:
  """The training records of the drawn collection."""
  return open_dataset('collection', data_dir=collection, tasks=['artist', 'type']).split('train')


def test_every_epoch_is_a_permutation_of_its_own():
  def order(first, count, seed=3, **options):
    return example_order(10, first=first, count=count, seed=seed, **options).tolist()

  whole = order(0, 35)
  assert order(13, 22) == whole[13:] and order(10, 10) == whole[10:20]
  assert sorted(whole[:10]) == sorted(whole[10:20]) == list(range(10))
  assert whole[:10] != whole[10:20] and order(0, 10, seed=4) != whole[:10]
  assert order(8, 4, shuffle=False) == [8, 9, 0, 1]


def test_the_order_of_examples_is_a_function_of_seed_and_step(split):
  def order(*, start, steps, **options):
    batches = batches_of(split, 10, options.pop('seed', 3), start=start, **options)
    return [next(batches)['record'].tolist() for _ in range(steps)]

  whole = order(start=0, steps=30)
  assert order(start=13, steps=17) == whole[13:]
  assert order(start=4, steps=3, workers=2) == whole[4:7]
  assert order(start=0, steps=3, seed=4) != whole[:3]
  unshuffled = order(start=0, steps=1, shuffle=False)
  assert unshuffled == [list(range(10))]
  flat = [r for batch in whole for r in batch]
  first, second = flat[: len(split)], flat[len(split) : 2 * len(split)]
  assert sorted(first) == sorted(second) == list(range(len(split))) and first != second


def test_a_batch_holds_the_pictures_and_labels_of_its_records(split, resize):
  square = images.Square(32, 'pad', resize)
  batch = next(batches_of(split, square=square, start=7))
  assert batch['draw'].tolist() == list(range(84, 96))
  for i, record in enumerate(batch['record'].tolist()):
    whole = split.records[record]
    picture = images.decode(whole['image'], name=split.ids[record])
    np.testing.assert_array_equal(batch['image'][i], images.fit(picture, 32, how='pad', by=resize))
    assert batch['artist'][i] == whole['artist'] and batch['type'][i] == whole['type']


def test_batches_of_a_decoded_split_have_pictures_unless_the_devices_do(split):
  decoded = np.random.default_rng(0).integers(0, 256, (len(split), 32, 32, 3), np.uint8)
  there = dataclasses.replace(split, decoded=decoded)
  batch = next(batches_of(there, start=3))
  np.testing.assert_array_equal(batch['image'], decoded[batch['record']])
  bare = next(batches_of(dataclasses.replace(there, on_device=True), start=3))
  assert 'image' not in bare
  np.testing.assert_array_equal(bare['record'], batch['record'])


def test_processes_share_every_batch(split):
  whole = batches_of(split, start=2)
  parts = [batches_of(split, start=2, shard=Shard(i, 3)) for i in range(3)]
  for _ in range(2):
    batch, cut = next(whole), [next(part) for part in parts]
    for key in ('record', 'draw', 'artist', 'image'):
      together = np.stack([part[key] for part in cut], 1).reshape(batch[key].shape)
      np.testing.assert_array_equal(together, batch[key])


@pytest.mark.parametrize('first', [0, 5])
def test_evaluation_sees_every_record_once_and_masks_the_padding(split, first):
  shards = [
    list(eval_batches(split, batch_size=24, first=first, shard=Shard(i, 2), **OPTIONS))
    for i in range(2)
  ]
  records, masks = (
    [np.stack([part[key] for part in step], 1).ravel() for step in zip(*shards, strict=True)]
    for key in ('record', 'mask')
  )
  assert {len(batch) for batch in records} == {24}  # one shape
  records, masks = np.concatenate(records), np.concatenate(masks)
  assert records[masks].tolist() == list(range(first, len(split)))
  assert 0 < (~masks).sum() < 24 and (records[~masks] == 0).all()


def test_every_thread_has_a_batch_to_make(split, monkeypatch):
  found = []
  keep = lambda **options: found.append(options)  # noqa: E731
  monkeypatch.setattr(loader.grain, 'ReadOptions', lambda **o: keep(**o) or ReadOptions(**o))
  for cores in (1, 2, 16, 64):
    monkeypatch.setattr(loader, 'default_processes', lambda cores=cores: cores)
    for size in (1, 32, 1024):
      next(eval_batches(split, batch_size=size, **OPTIONS))
      assert found[-1]['num_threads'] == min(16, cores)
      assert found[-1]['prefetch_buffer_size'] >= max(2, found[-1]['num_threads'])


def test_a_worker_that_is_killed_is_one_line(split):
  batches = batches_of(split, 8, workers=1)
  next(batches)
  children = multiprocessing.active_children()
  assert children
  for child in children:
    os.kill(child.pid, signal.SIGKILL)
  with pytest.raises(UserError, match=r'config.data.workers: one of 1 .* code -9 .*give fewer'):
    for _ in range(100):  # what it had made is still there
      next(batches)


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_ctrl_c_never_reaches_a_worker_not_even_while_it_starts(split):
  batches = batches_of(split, 8, workers=1)
  next(batches)
  mask = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
  (worker,) = multiprocessing.active_children()
  status = dict(
    line.split(':', 1) for line in Path(f'/proc/{worker.pid}/status').read_text().splitlines()
  )
  batches.close()
  assert int(status['SigBlk'], 16) & mask == mask  # from its first instruction on
  assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


def test_what_workers_leave_is_not_mentioned(monkeypatch):
  monkeypatch.delenv('PYTHONWARNINGS', raising=False)
  code = (
    'from multiprocessing.shared_memory import SharedMemory\n'
    'from flaxart.data import workers\n'
    '{}\n'
    'SharedMemory(create=True, size=8).close()'
  )
  said = [
    subprocess.run([sys.executable, '-c', code.format(line)], capture_output=True, text=True).stderr
    for line in ('', 'workers.leftovers_unmentioned()')
  ]
  assert 'resource_tracker' in said[0] and said[1] == ''
