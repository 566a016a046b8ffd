"""Every benchmark runs from end to end; speed is not tested."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from trainer import ROOT

from benchmarks import end_to_end, sides, table, targets, waiting
from flaxart.weights.originals import missing_peer
from tfds_rijks.errors import UserError

pytestmark = pytest.mark.benchmark
FIELDS = {'model', 'peer', 'mode', 'ratio', 'ours', 'theirs'}
SMALL = ['--rounds=1']
NETWORK = ['--models=vgg19', '--size=32', '--batch=2', '--seconds=0', *SMALL]


def benchmark(name, *flags, output):
  """Runs it and returns its results."""
  line = [sys.executable, '-m', f'benchmarks.{name}', *flags, f'--output={output}']
  done = subprocess.run(line, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600)
  assert done.returncode == 0, done.stderr[-2000:]
  document = json.loads(output.read_text())
  assert {'hardware', 'versions', 'commit', 'command', 'results'} <= document.keys()
  assert document['command'].startswith(f'python -m benchmarks.{name} ')
  for result in document['results']:
    assert result.keys() >= FIELDS
    assert result['ours'] > 0 and (result['theirs'] is None or result['theirs'] > 0)
  return document['results']


def test_train_step_and_features(tmp_path):
  train = benchmark('train_step', '--peers=three_heads,plain', *NETWORK, output=tmp_path / 'a.json')
  assert [(r['peer'], r['mode']) for r in train] == [('three_heads', 'train'), ('plain', 'train')]
  half = ['--peers=plain', '--dtype=bfloat16', *NETWORK]
  features = benchmark('features', *half, output=tmp_path / 'b.json')
  assert [(r['peer'], r['mode'], r['dtype']) for r in features] == [
    ('plain', 'features', 'bfloat16')
  ]


@pytest.mark.parity
@pytest.mark.skipif(bool(missing_peer('torchvision')), reason=str(missing_peer('torchvision')))
@pytest.mark.skipif(find_spec('cykooz_resizer') is None, reason='needs extra `simd`')
def test_the_peers(tmp_path):
  for name in ('train_step', 'features'):
    peers = '--peers=torch,keras' if missing_peer('keras') is None else '--peers=torch'
    benchmark(name, peers, '--dtype=bfloat16', *NETWORK, output=tmp_path / f'{name}.json')
  flags = ['--pictures=40', '--seconds=0', *SMALL]
  results = benchmark('input', '--peers=torch', *flags, output=tmp_path / 'input.json')
  assert [r['mode'] for r in results] == [
    'input_large', 'input_prepared', 'input_small', 'input_simd', 'input_decoded',
  ]  # fmt: skip


def test_probe(tmp_path):
  peers = ['numpy', 'jit_loop'] + ['torch'] * (missing_peer('torchvision') is None)
  flags = ['--pictures=256', '--batch=64', '--seconds=0', f'--peers={",".join(peers)}', *SMALL]
  results = benchmark('probe', *flags, '--models=vgg19', output=tmp_path / 'probe.json')
  first = results[0]['mode']
  assert [r['peer'] for r in results if r['mode'] == first] == peers
  assert not [r for r in results if ',' in r['mode']]  # settings take turns


def test_each_side_leaves_room_on_a_gpu_and_the_environment_as_it_was(monkeypatch):
  monkeypatch.delenv('XLA_PYTHON_CLIENT_PREALLOCATE', raising=False)
  before = dict(os.environ)
  with sides._environment(sides.Side(int, 1)):
    assert os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false'
  assert dict(os.environ) == before
  monkeypatch.setenv('XLA_PYTHON_CLIENT_PREALLOCATE', 'true')  # a user's choice is left alone
  with sides._environment(sides.Side(int, 1)):
    assert os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'true'


def test_no_side_finds_kernels_of_an_earlier_run(monkeypatch):
  monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', '/of/an/earlier/run')
  found = []

  def build():
    folder = Path(os.environ['TORCHINDUCTOR_CACHE_DIR'])
    found.append((folder, list(folder.iterdir())))
    return int

  ours, its = multiprocessing.Pipe()
  ours.send(None)  # no turn
  sides._serve(sides.Side(build, 1), its)
  ((folder, files),) = found
  assert files == [] and not folder.exists()


def test_startup(tmp_path):
  flags = ['--models=vgg19', '--size=32', '--width=0.125', *SMALL]
  results = benchmark('startup', *flags, output=tmp_path / 'startup.json')
  assert results[0]['imports_s'] < results[0]['ours']


def test_the_whole_job(tmp_path):
  flags = ['--pictures=40', '--size=32', '--width=0.125']
  results = benchmark('end_to_end', *flags, output=tmp_path / 'end_to_end.json')
  assert [r['mode'] for r in results] == ['prepare', 'features_and_heads', 'predict']
  assert all(r['memory_gb'] > 0 and r['hours_for']['30000'] > 0 for r in results)
  assert '| together | | | **' in table.page(table.read(tmp_path))


def test_waiting_for_input(tmp_path):
  flags = ['--models=vgg19', '--width=0.125', '--size=32', '--steps=60', '--pictures=64', *SMALL]
  results = benchmark('waiting', *flags, '--inputs=pillow,device', output=tmp_path / 'waiting.json')
  assert [r['mode'] for r in results] == ['waiting_pillow', 'waiting_device']
  assert all(0 <= r['waiting'] < 1 and r['ours'] > 0 for r in results)
  assert table.page(table.read(tmp_path)).count('| decoded once onto the device') == 1


def test_the_share_of_waiting_is_that_of_the_time_after_the_first_steps(tmp_path, monkeypatch):
  # Step, seconds of training and of waiting so far; the first ones use batches made before.
  lines = [(9, 1.0, 0.0), (29, 3.0, 0.5), (39, 4.0, 0.6), (60, 7.0, 1.5)]
  found = [
    {'split': 'train', 'step': step, 'train_s': train, 'input_wait_s': waited}
    for step, train, waited in lines
  ]
  text = '\n'.join(map(json.dumps, [*found, {'split': 'val', 'step': 60}]))
  (tmp_path / 'metrics.jsonl').write_text(text, encoding='utf-8')
  said = 'decoded pictures: cache host (1.00 GB)'
  monkeypatch.setattr(waiting, 'timed', lambda line: end_to_end.Timed(1.0, 1.0, said))
  share, rate = waiting.trained([], 'host', tmp_path, batch=16)
  assert share == pytest.approx(1.0 / 4) and rate == pytest.approx(31 * 16 / 4)
  with pytest.raises(UserError, match=r'data\.cache=device: no room'):
    waiting.trained([], 'device', tmp_path, batch=16)


def test_the_off_the_shelf_experiment(tmp_path):
  flags = ['--models=vgg19', '--width=0.125', '--size=32', '--pictures=64', *SMALL]
  (result,) = benchmark('off_the_shelf', *flags, output=tmp_path / 'off_the_shelf.json')
  parts = result['features_s'] + result['heads_s'] + result['rest_s']
  assert parts == pytest.approx(result['seconds'], abs=0.05) and result['rest_s'] > 1
  assert table.page(table.read(tmp_path)).count('| vgg19, 32 px | 64 |') == 1


def test_the_share_of_the_roofline(tmp_path):
  flags = ['--models=vgg19', '--size=32', '--batch=2', '--seconds=0', '--matrix=256']
  results = benchmark('roofline', *flags, '--dtype=bfloat16', output=tmp_path / 'roofline.json')
  assert [r['mode'] for r in results] == ['roofline_train', 'roofline_features']
  for r in results:
    names, shares = zip(*r['operations'], strict=True)
    assert len(names) > 3 and 'the rest' in names and shares[0] < 1 and sum(shares) < 1.01
    assert r['share_product'] == pytest.approx(r['ours'] / r['roof_product'], rel=0.02, abs=1e-3)
    assert r['share_memory'] == pytest.approx(r['ours'] / r['roof_memory'], rel=0.02, abs=1e-3)
  # 39 GFLOP at 224 px without the classifier, less where padding is more of the picture.
  train, features = results
  assert 2.5 < train['gflop'] / features['gflop'] < 3.4
  assert features['gflop'] == pytest.approx(39 * (32 / 224) ** 2, rel=0.25)
  # 14.86 million values at 224 px, of two bytes, twice in features and nine times in training.
  values = 14.86 * (32 / 224) ** 2
  assert features['mb'] == pytest.approx(values * 2 * 2, abs=0.06)
  assert train['mb'] == pytest.approx(values * 2 * 9, rel=0.02)
  assert table.page(table.read(tmp_path)).count('| features: vgg19, 32 px, batch 2') == 1


def test_what_devices_add_up(tmp_path):
  flags = ['--models=vgg19', '--width=0.03125', '--ways=jit_stored,shard_map_stored', *SMALL]
  jit, shard = benchmark('collectives', *flags, output=tmp_path / 'collectives.json')
  assert jit['arrays']['bf16'] == 16  # the kernels
  assert 'bf16' not in shard['arrays'] and shard['arrays']['f32'] >= 2 * 16 + 2
  assert shard['mb']['f32'] > 2 * jit['mb']['bf16']
  assert '| vgg19, 4 devices, `shard_map`, stored' in table.page(table.read(tmp_path))


@pytest.mark.skipif(find_spec('cykooz_resizer') is None, reason='needs extra `simd`')
def test_what_the_host_does(tmp_path):
  flags = ['--models=vgg19', '--calls=3', '--batch=2', '--seconds=0']
  step, batch, *decoders = benchmark('host', *flags, output=tmp_path / 'host.json')
  assert step['arrays'] > 60 and batch['batch'] == 2 and len(decoders) == 8
  assert '`data.resize=simd`' in table.page(table.read(tmp_path))


def test_every_machine_has_its_table(tmp_path):
  documents = table.read(ROOT / 'benchmarks' / 'results')
  for kind in ('probe', 'startup', 'end_to_end'):
    hardware = {**documents[kind]['hardware'], 'device': 'another device'}
    more = {**documents, f'{kind}-other': {**documents[kind], 'hardware': hardware}}
    assert table.page(more).count('another device') == 1


def test_a_side_has_its_own_memory():
  ballast = bytearray(10**9)
  ballast[::4096] = b'.' * len(ballast[::4096])
  several = {name: sides.Side(functools.partial(functools.partial, int), 1) for name in ('a', 'b')}
  sides.in_turns(several, rounds=1, seconds=0.0)
  assert all(0.01 < side.memory_gb < 0.9 for side in several.values())


def test_one_device_is_compared_with_one(tmp_path):
  line = [sys.executable, '-m', 'benchmarks.features', '--peers=plain', *NETWORK]
  several = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
  done = subprocess.run(
    [*line, f'--output={tmp_path}/f'], cwd=ROOT, env=several, capture_output=True, text=True
  )
  assert done.returncode == 2 and 'JAX sees 2: start them with' in done.stderr


def test_a_command_with_much_output_does_not_block(monkeypatch, tmp_path):
  (tmp_path / 'talks.py').write_text('import sys; sys.stderr.write("x" * 200_000); sys.exit(3)')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  with pytest.raises(UserError, match=r'talks: x{500}$'):
    end_to_end.timed(['talks'])


def test_a_peer_that_does_not_exist_is_one_line(tmp_path):
  line = [sys.executable, '-m', 'benchmarks.features', '--peers=abacus', f'--output={tmp_path}/f']
  done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 2 and done.stderr.startswith("error: --peers: found 'abacus', expected")
  assert done.stderr.count('\n') == 1 and not list(tmp_path.iterdir())


def test_the_page_follows_from_the_files(tmp_path):
  documents = table.read(ROOT / 'benchmarks' / 'results')
  assert (ROOT / 'docs' / 'performance.md').read_text() == table.page(documents)
  empty = table.page({})
  assert empty.count('Not measured yet.') == len(table.KINDS)
  slow = {'model': 'resnet50', 'peer': 'torch', 'mode': 'train', 'ratio': 0.96, 'ours': 96.0}
  assert targets.verdict(slow) == '1.00: **missed**'
  assert targets.verdict({**slow, 'ratio': 1.0}) == '1.00: met'
  assert targets.verdict({**slow, 'peer': 'numpy'}) == ''


def test_an_accelerator_has_targets_of_its_own():
  fast = {'model': 'resnet50', 'peer': 'torch', 'mode': 'train', 'ratio': 1.12, 'ours': 5000.0}
  fast |= {'dtype': 'bfloat16', 'batch': 256, 'size': 224}
  assert targets.verdict(fast, device='NVIDIA H200') == '1.15: **missed**; 5,000/s: met'
  assert targets.verdict(fast, device='NVIDIA H100') == '1.15: **missed**'
  assert targets.verdict({**fast, 'batch': 16}, device='NVIDIA H200') == ''  # another measurement
  other = {**fast, 'model': 'xception', 'size': 299}
  assert targets.verdict(other, device='NVIDIA H200') == '1.10: met'
  loader = {'model': 'loader', 'peer': 'torch', 'mode': 'input_small', 'ratio': 1.6}
  assert targets.verdict(loader, device='NVIDIA H200') == '1.50: met'
  waits = {'mode': 'waiting_device', 'waiting': 0.03}
  assert targets.waiting(waits, device='NVIDIA H200') == '2%: **missed**'
  whole = {'pictures': 112_039, 'seconds': 61.0}
  assert targets.experiment(whole, device='NVIDIA H200') == '60 s: **missed**'
  assert targets.experiment({**whole, 'pictures': 3000}, device='NVIDIA H200') == ''
  assert targets.waiting(waits, device='cpu') == targets.experiment(whole, device='cpu') == ''


def test_missing_measurements_of_accelerators_stay_listed():
  files = [entry[1][2] for entry in targets.MISSING]
  assert len(set(files)) == len(files)
  assert len(table.missing({})) == len(table.missing(dict.fromkeys(files[1:]))) + len(files) - 1
  assert table.missing(dict.fromkeys(files)) == []
