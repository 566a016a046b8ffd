"""Every benchmark runs from end to end; speed is not tested.

Nearly all in the process of the tests, and with a toy: a process that imports JAX takes 4 s.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import multiprocessing
import multiprocessing.dummy
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from trainer import ROOT

from benchmarks import drawn, end_to_end, host, roofline, sides, steps, table, targets, waiting
from benchmarks import input as loaders
from flaxart.weights.originals import missing_peer
from tfds_rijks.errors import UserError

pytestmark = pytest.mark.benchmark
FIELDS = {'model', 'peer', 'mode', 'ratio', 'ours', 'theirs'}
SMALL = ['--rounds=1']
NETWORK = ['--models=toy', '--size=32', '--batch=2', '--seconds=0', *SMALL]


class Thread(multiprocessing.dummy.Process):
  """A side's process as a thread of this one, which cannot be killed."""

  def __init__(self, *, target, args, daemon):
    super().__init__(target=target, args=args)
    self.daemon = True  # a test that fails does not wait for it

  def kill(self):
    assert not self.is_alive()


@pytest.fixture
def benchmark(monkeypatch, call, tmp_path, caplog):
  """Runs a benchmark, its sides and its commands in this process and returns its results."""

  def timed(line, **_):
    caplog.clear()
    code, _, said = call(*line)
    assert not code, said
    return end_to_end.Timed(100.0, 1.0, caplog.text)

  def benchmark(name, *flags):
    output = tmp_path / f'{name}.json'
    module = importlib.import_module(f'benchmarks.{name}')
    if hasattr(module, 'timed'):
      monkeypatch.setattr(module, 'timed', timed)
    code, _, said = call(module.__name__, *flags, f'--output={output}')
    assert not code, said
    return results_of(output, name)

  threads = SimpleNamespace(Pipe=multiprocessing.dummy.Pipe, Process=Thread)
  monkeypatch.setattr(sides.multiprocessing, 'get_context', lambda _: threads)
  monkeypatch.setattr(roofline, 'alone', lambda function, *args, **more: function(*args, **more))
  monkeypatch.setattr(roofline.hugepages, 'restart', lambda: None)
  monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', '')  # and as it was after the test
  caplog.set_level('INFO')
  return benchmark


def in_process(name, *flags, output):
  """Runs a benchmark as a command and returns its results."""
  line = [sys.executable, '-m', f'benchmarks.{name}', *flags, f'--output={output}']
  done = subprocess.run(line, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600)
  assert done.returncode == 0, done.stderr[-2000:]
  document = json.loads(output.read_text())
  assert document['command'].startswith(f'python -m benchmarks.{name} ')
  return results_of(output, name)


def results_of(output, name):
  """The results of a file, after a look at the whole."""
  document = json.loads(output.read_text())
  assert {'hardware', 'versions', 'commit', 'command', 'results'} <= document.keys()
  for result in document['results']:
    assert result.keys() >= FIELDS
    assert result['ours'] > 0 and (result['theirs'] is None or result['theirs'] > 0)
  return document['results']


def test_train_step_and_features(benchmark):
  train = benchmark('train_step', '--peers=three_heads,plain', *NETWORK)
  assert [(r['peer'], r['mode']) for r in train] == [('three_heads', 'train'), ('plain', 'train')]
  features = benchmark('features', '--peers=plain', '--dtype=bfloat16', *NETWORK)
  assert [(r['peer'], r['mode'], r['dtype']) for r in features] == [
    ('plain', 'features', 'bfloat16')
  ]


@pytest.mark.parity
@pytest.mark.skipif(bool(missing_peer('torchvision')), reason=str(missing_peer('torchvision')))
@pytest.mark.parametrize('name', ['train_step', 'features'])
def test_the_peers(benchmark, monkeypatch, name):
  peers = '--peers=torch,keras' if missing_peer('keras') is None else '--peers=torch'
  compare = functools.partial(steps.compare, ours=lambda *_, **__: lambda: None)
  module = importlib.import_module(f'benchmarks.{name}')
  main = lambda: compare(name, '', mode=name, peers=module.PEERS)  # noqa: E731
  monkeypatch.setattr(module, 'main', main)
  network = ['--models=vgg19', *NETWORK[1:]]
  results = benchmark(name, peers, '--dtype=bfloat16', *network)
  assert [r['peer'] for r in results] == peers.removeprefix('--peers=').split(',')


@pytest.mark.skipif(find_spec('cykooz_resizer') is None, reason='needs extra `simd`')
def test_input(benchmark, monkeypatch):
  def pillow_alone(paths, *, draft):
    return map(loaders.Files(paths, draft=draft).__getitem__, itertools.cycle(range(len(paths))))

  opened = []

  def kept(*args, ours=loaders.our_loader, **options):
    opened.append(ours(*args, **options))
    return opened[-1]

  monkeypatch.setattr(loaders, 'our_loader', kept)
  monkeypatch.setattr(loaders, 'SIDES', {'large': (500, 380), 'small': (60, 46)})
  monkeypatch.setattr(loaders, 'MANY', {'large': 1, 'small': 1})
  monkeypatch.setattr(loaders, 'AHEAD', 1)
  monkeypatch.setattr(loaders, 'torch_loader', pillow_alone)
  results = benchmark('input', '--peers=torch', '--pictures=40', '--seconds=0', *SMALL)
  for batches in opened:  # whose threads would wait for a turn
    batches.close()
  assert [r['mode'] for r in results] == [
    'input_large', 'input_prepared', 'input_small', 'input_simd', 'input_decoded',
  ]  # fmt: skip


@pytest.mark.parity
@pytest.mark.skipif(bool(missing_peer('torchvision')), reason=str(missing_peer('torchvision')))
def test_the_loader_of_pytorch(tmp_path):
  drawn.collection(tmp_path / 'files', loaders.BATCH, (60, 46), labels={})
  code = (
    'import sys, pathlib\nfrom benchmarks import input as loaders\n'
    'paths = sorted(pathlib.Path(sys.argv[1]).glob("*.jpg"))\n'
    'for draft in (False, True):\n  print(*next(loaders.torch_loader(paths, draft=draft)).shape)\n'
  )
  line = [sys.executable, '-c', code, str(tmp_path / 'files')]
  done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)  # its workers are forks
  assert done.stdout.splitlines() == ['32 224 224 3'] * 2, done.stderr


def test_probe(benchmark):
  peers = ['numpy', 'jit_loop'] + ['torch'] * (missing_peer('torchvision') is None)
  flags = ['--pictures=256', '--batch=64', '--seconds=0', f'--peers={",".join(peers)}', *SMALL]
  results = benchmark('probe', *flags, '--models=toy')
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


def test_startup(benchmark):
  results = benchmark('startup', '--models=vgg19', '--size=32', '--width=0.0625', *SMALL)
  assert results[0]['imports_s'] < results[0]['ours']


def test_the_whole_job(benchmark, tmp_path, monkeypatch):
  monkeypatch.setattr(end_to_end, 'SCAN', (400, 300))
  flags = ['--models=toy', '--pictures=40', '--size=32', '--width=0.125']
  results = benchmark('end_to_end', *flags)
  assert [r['mode'] for r in results] == ['prepare', 'features_and_heads', 'predict']
  assert all(r['memory_gb'] > 0 and r['hours_for']['30000'] > 0 for r in results)
  assert '| together | | | **' in table.page(table.read(tmp_path))


def test_a_command_is_timed_and_its_memory_measured():
  took = end_to_end.timed(['benchmarks.waiting', '--help'])
  assert 0.2 < took.seconds < 100 and 0.01 < took.memory_gb < 2


def test_waiting_for_input(benchmark, tmp_path):
  flags = ['--models=toy', '--width=0.125', '--size=32', '--steps=60', '--pictures=64', *SMALL]
  results = benchmark('waiting', *flags, '--inputs=pillow,device')
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


def test_the_off_the_shelf_experiment(benchmark, tmp_path):
  flags = ['--models=toy', '--width=0.125', '--size=32', '--pictures=64', *SMALL]
  (result,) = benchmark('off_the_shelf', *flags)
  parts = result['features_s'] + result['heads_s'] + result['rest_s']
  assert parts == pytest.approx(result['seconds'], abs=0.05) and result['rest_s'] > 1
  assert table.page(table.read(tmp_path)).count('| toy, 32 px | 64 |') == 1


def test_the_share_of_the_roofline(benchmark, tmp_path):
  flags = ['--models=toy', '--size=32', '--batch=2', '--seconds=0', '--matrix=256']
  results = benchmark('roofline', *flags, '--dtype=bfloat16')
  assert [r['mode'] for r in results] == ['roofline_train', 'roofline_features']
  for r in results:
    names, shares = zip(*r['operations'], strict=True)
    assert len(names) > 3 and 'the rest' in names and shares[0] < 1 and sum(shares) < 1.01
    assert r['share_product'] == pytest.approx(r['ours'] / r['roof_product'], rel=0.02, abs=1e-3)
    assert r['share_memory'] == pytest.approx(r['ours'] / r['roof_memory'], rel=0.02, abs=1e-3)
  assert table.page(table.read(tmp_path)).count('| features: toy, 32 px, batch 2') == 1


def test_the_cost_of_a_picture_is_that_of_the_network_as_written():
  train, features = (
    roofline.cost('vgg19', mode, size=32, dtype='bfloat16') for mode in ('train', 'features')
  )
  # 39 GFLOP at 224 px without the classifier, less where padding is more of the picture.
  assert 2.5 < train[0] / features[0] < 3.4
  assert features[0] / 1e9 == pytest.approx(39 * (32 / 224) ** 2, rel=0.25)
  # 14.86 million values at 224 px, of two bytes, twice in features and nine times in training.
  values = 14.86 * (32 / 224) ** 2
  assert features[1] / 1e6 == pytest.approx(values * 2 * 2, rel=0.02)
  assert train[1] / 1e6 == pytest.approx(values * 2 * 9, rel=0.02)


def test_what_devices_add_up(tmp_path):
  flags = ['--models=vgg19', '--width=0.03125', '--ways=jit_stored,shard_map_stored', *SMALL]
  jit, shard = in_process('collectives', *flags, output=tmp_path / 'collectives.json')
  assert jit['arrays']['bf16'] == 16  # the kernels
  assert 'bf16' not in shard['arrays'] and shard['arrays']['f32'] >= 2 * 16 + 2
  assert shard['mb']['f32'] > 2 * jit['mb']['bf16']
  assert '| vgg19, 4 devices, `shard_map`, stored' in table.page(table.read(tmp_path))


@pytest.mark.skipif(find_spec('cykooz_resizer') is None, reason='needs extra `simd`')
def test_what_the_host_does(benchmark, tmp_path, monkeypatch):
  monkeypatch.setattr(host, 'FILES', {'small': (30, 23), 'large': (250, 190)})
  flags = ['--models=toy', '--calls=3', '--batch=2', '--seconds=0']
  step, batch, *decoders = benchmark('host', *flags)
  assert step['arrays'] > 20 and batch['batch'] == 2 and len(decoders) == 8
  assert '`data.resize=simd`' in table.page(table.read(tmp_path))


def test_every_machine_has_its_table(tmp_path):
  documents = table.read(ROOT / 'benchmarks' / 'results')
  for kind in ('probe', 'startup', 'end_to_end'):
    hardware = {**documents[kind]['hardware'], 'device': 'another device'}
    more = {**documents, f'{kind}-other': {**documents[kind], 'hardware': hardware}}
    assert table.page(more).count('another device') == 1


def test_a_side_has_its_own_memory():
  ballast = bytearray(6 * 10**8)
  ballast[::4096] = b'.' * len(ballast[::4096])
  several = {name: sides.Side(functools.partial(functools.partial, int), 1) for name in ('a', 'b')}
  sides.in_turns(several, rounds=1, seconds=0.0)
  assert all(0.01 < side.memory_gb < 0.6 for side in several.values())


def test_one_device_is_compared_with_one(tmp_path):
  flags = ['--peers=plain', '--models=vgg19', *NETWORK[1:]]
  line = [sys.executable, '-m', 'benchmarks.features', *flags]
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
