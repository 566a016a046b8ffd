"""The measurement before a run does the same as the run."""

from __future__ import annotations

import re

import jax
import pytest

from flaxart.data import loader
from flaxart.machine.sharding import CompiledStep
from flaxart.train import train_and_evaluate
from tfds_rijks.rijksmuseum.synthetic import draw_museum


def test_the_timed_steps_are_fed_like_those_of_the_run(tiny, tmp_path, monkeypatch):
  tiny.data.workers, tiny.data.shuffle = 1, False
  asked, taken = [], []

  def prefetched(batches, workers, batch, prefetched=loader._prefetched):
    asked.append((workers, batch))
    return prefetched(batches, workers, batch)

  def step(self, state, batch, step=CompiledStep.__call__):
    taken.append(batch['record'].tolist())
    return step(self, state, batch)

  monkeypatch.setattr(loader, '_prefetched', prefetched)
  monkeypatch.setattr(CompiledStep, '__call__', step)
  # As if another process had the other half of each batch.
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  train_and_evaluate(tiny, tmp_path / 'run', dry_run=True)
  assert asked == [(1, 8)]
  assert taken == [list(range(16 * i + 1, 16 * (i + 1), 2)) for i in range(4)]


@pytest.mark.parametrize('drawn', [True, False])
def test_before_its_data_are_prepared_a_run_is_estimated_and_nothing_is_written(
  tiny, tmp_path, capsys, caplog, drawn
):
  caplog.set_level('INFO', 'flaxart')
  home, source = tmp_path / 'home', tmp_path / 'source'
  home.mkdir()
  tiny.data.manual_dir, tiny.data.data_dir = str(home / 'museum'), str(home / 'prepared')
  tiny.data.dataset = 'rijksmuseum/multitask'
  if drawn:
    tiny.data.synthetic_objects = 300
  else:
    draw_museum(source, objects=300)
    tiny.data.manual_dir = str(source)
  before = sorted(source.rglob('*'))
  assert train_and_evaluate(tiny, home / 'run', dry_run=True) is None
  assert not list(home.iterdir()) and sorted(source.rglob('*')) == before
  said = caplog.text
  assert 'not prepared yet; measuring on 150 drawn objects in place of ' in said
  steps = int(re.search(r'estimate: .* ([\d,]+) steps of', said)[1])
  # Two thirds of the objects have all labels that the protocol asks for.
  expected = 300 * 0.66 * 0.8 / tiny.train.batch_size * tiny.train.epochs
  assert expected * 0.7 < steps < expected * 1.3
  assert drawn or 'GB needed' in capsys.readouterr().out
