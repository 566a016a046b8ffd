"""Writes `docs/performance.md` from the JSON files in `benchmarks/results/`.

  python -m benchmarks.table [--results=benchmarks/results] [--output=docs/performance.md]

No figure of that page is typed by hand. What is not measured yet is listed as missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import targets
from tfds_rijks.build_report import write_text
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError

Result = Mapping[str, Any]
PEERS = {
  'torch': 'PyTorch, eager',
  'torch_compile': '`torch.compile`',
  'torch_draft': 'DataLoader, Pillow with scaled decoding',
  'keras': 'Keras on JAX',
  'plain': 'plain Flax (`lax.conv`, `nnx.jit`)',
  'three_heads': 'our step with three heads',
  'numpy': 'NumPy',
  'jit_loop': 'a loop over jitted steps',
  'cold': 'with an empty compilation cache',
}
INPUT = {
  'input_large': 'originals of 2,500 px, decoded each time',
  'input_prepared': 'originals of 2,500 px, ours prepared once at 320 px',
  'input_small': 'files of 300 px, decoded each time',
  'input_simd': 'the same, ours with `data.resize=simd`',
  'input_decoded': 'files of 300 px, ours decoded once (`data.cache=host`)',
}
KINDS = (
  'train_step',
  'features',
  'roofline',
  'probe',
  'input',
  'waiting',
  'startup',
  'end_to_end',
  'off_the_shelf',
  'host',
  'collectives',
)
STEPS = {
  'prepare': 'prepare: decode, 320 px on the short side, encode',
  'features_and_heads': 'features of every picture, three heads for 30 epochs, evaluation',
  'predict': 'predict: the scans again, to a table',
}
INTRODUCTION = """# Performance

Written by `python -m benchmarks.table` from the files in `benchmarks/results/`; each section names
the command that made its figures. The sides of a comparison take turns, each in a process of its
own, after an unmeasured first call, which includes compilation. Rates are pictures a second,
medians with the slowest and fastest round in brackets; the ratio is the median over rounds of ours
over theirs; memory is the peak of a side's process. Ours start as flaxart's commands do, with
large memory pages where the system has them (`flaxart/machine/hugepages.py`), the others as their
users start them. What was tried to get there, and the remaining bottlenecks:
[performance-log.md](performance-log.md).
"""
TRAINING = """One step, float32 unless noted, SGD with Nesterov momentum, one head of 375 classes,
random pictures; each peer is compared in its own variant of the network."""
FEATURES = (
  """Pooled features, BatchNorm folded into the convolutions on both sides, float32 unless noted."""
)
LOADERS = """Shuffled uint8 batches of 32 squares of 224 px: one worker process per core for the
DataLoader, one thread per core for ours (at most 16)."""
WHOLE_JOB = """Scans of 2,000 x 1,500 px -> prepared -> frozen ResNet50 at 224 px -> three heads ->
`predictions.csv`, by the three commands a user runs."""
WAITING = """Runs of `flaxart.main` over JPEGs of 300 px, float32 on a CPU, else bfloat16: the share
of the training time in which the devices waited for a batch (its transfer to the device is not
counted)."""
WAYS = {
  'waiting_pillow': 'decoded in every epoch',
  'waiting_simd': 'the same with `data.resize=simd`',
  'waiting_host': 'decoded once into memory (`data.cache=host`)',
  'waiting_device': 'decoded once onto the device (`data.cache=device`)',
}
ROOFLINE = """The ceilings are measured too: one large product in the step's type, and reading and
writing an array too large for any cache. A picture's cost is that of the network as written, with
every convolution, statistic and normalisation a separate operation: an algorithm that needs fewer
multiplications (Winograd's) may exceed the first roof, a large cache or fewer and larger operations
the second. Time is from a profile, by XLA's names of operations (`ynn_fusion`: its library's
products and convolutions)."""
OFF_THE_SHELF = """From the command to `results.json`: features of every picture by a frozen trunk
of random weights (compiled each time), then 30 epochs of three heads. The rest is imports and
evaluation of val and test; the number of pictures is the sum over the splits."""
HOST = """What the host has to do beside the devices, in time of one of its cores. One H200 should
train on 5,000 pictures a second: batches of 256, a step every 51 ms; the last column says how many
cores decode that many. Batches are put onto the devices before they are needed, at most two behind
the one in training."""
COLLECTIVES = """What each device sums with the others in one step, read from the program for GPUs
and not timed: arrays and megabytes, before XLA merges them into fewer messages. Under `jit`, the
gradients of kernels are summed in bfloat16, as they come out of the convolutions: half the bytes,
and one more rounding (2^-9) per device. `config.parallelism='shard_map'` sums them in float32.
BatchNorm over the global batch adds two sums per layer forwards, and under `shard_map` two more
backwards; biases before it have no gradient to be summed. Their bytes do not matter, but every
layer waits for the slowest device. A trunk with stored statistics, the default in fine-tuning, has
none of that; from scratch, `config.model.bn_sync=False` under `shard_map` avoids it."""
SENT = {
  'jit_stored': '`jit`, stored statistics',
  'jit_batch': '`jit`, statistics of the global batch',
  'shard_map_stored': '`shard_map`, stored statistics',
  'shard_map_batch': '`shard_map`, statistics of the global batch',
  'shard_map_own': "`shard_map`, statistics of each device's part (`bn_sync=False`)",
}
NO_ACCELERATOR = """Not measured yet: no accelerator was available. These commands have run on a CPU
at small scale; on an accelerator they measure what is missing, and the file they write gets its
table above."""


def read(folder: Path) -> dict[str, dict[str, Any]]:
  """`{name: document}` of every file of results."""
  if not folder.is_dir():
    raise UserError(f'--results: {folder} is not a folder; run a benchmark with --output there')
  found = {path.stem: json.loads(path.read_text('utf-8')) for path in folder.glob('*.json')}
  # Those of preparing data are in the builder's README.
  return {name: found[name] for name in sorted(found) if name.split('-')[0] in KINDS}


def number(value: float) -> str:
  """Three significant digits, thousands with commas."""
  if value >= 100:
    return f'{value:,.0f}'
  return f'{value:.1f}' if value >= 10 else f'{value:.2f}'


def rows(document: Mapping[str, Any], first: Callable[[Result], str]) -> list[str]:
  """The table of a comparison."""
  lines = [
    '| | against | ours | theirs | ratio | target | first call | memory |',
    '| --- | --- | ---: | ---: | ---: | --- | ---: | ---: |',
  ]
  for r in document['results']:
    lows = ['-'.join(number(x) for x in r[f'{side}_spread']) for side in ('ours', 'theirs')]
    lines.append(
      f'| {first(r)} | {against(r)} | {number(r["ours"])} ({lows[0]}) | '
      f'{number(r["theirs"])} ({lows[1]}) | {r["ratio"]:.2f} | '
      f'{targets.verdict(r, device=device_of(document))} | '
      f'{r["ours_first_s"]:.0f} and {r["theirs_first_s"]:.0f} s | '
      f'{r["ours_memory_gb"]:.1f} and {r["theirs_memory_gb"]:.1f} GB |'
    )
  return lines


def against(result: Result) -> str:
  """The name of the other side."""
  if result['mode'].startswith('input') and result['peer'] == 'torch':
    return 'DataLoader, Pillow'
  return PEERS.get(result['peer'], result['peer'])


def network(result: Result) -> str:
  """`resnet50, 128 px, batch 16`, and the dtype unless it is float32."""
  dtype = '' if result['dtype'] == 'float32' else f', {result["dtype"]}'
  return f'{result["model"]}, {result["size"]} px, batch {result["batch"]}{dtype}'


def device_of(document: Mapping[str, Any]) -> str:
  """The device a document was measured on, as JAX names it."""
  return document['hardware']['device']


def where(document: Mapping[str, Any]) -> str:
  """Command, machine, versions and commit of a document."""
  hardware, versions = document['hardware'], document['versions']
  named = ', '.join(f'{k} {v}' for k, v in versions.items() if v and k != 'flaxart')
  name = hardware.get('processor') or hardware['machine']
  load = hardware.get('load')
  return (
    f'`{document.get("command", "command not recorded")}` on {hardware["cores"]} cores '
    f'({name}; {hardware["device"]}'
    + (f'; load {load[0]:.1f} at the end' if load else '')
    + f'); {named}; commit {document["commit"][:10]}.'
  )


def steps(documents: Mapping[str, Any], kind: str, title: str, words: str) -> list[str]:
  """A section over the documents of a benchmark that compares sides."""

  def table(document: Mapping[str, Any]) -> list[str]:
    label = (lambda r: INPUT.get(r['mode'], r['mode'])) if kind == 'input' else network
    return [*rows(document, label), '', where(document), '']

  return [f'## {title}', '', words, '', *each(documents, kind, table)]


def each(
  documents: Mapping[str, Any], kind: str, table: Callable[[Mapping[str, Any]], list[str]]
) -> list[str]:
  """The tables of a benchmark, one per machine (`KIND.json`, `KIND-MACHINE.json`)."""
  found = [document for name, document in documents.items() if name.split('-')[0] == kind]
  return [line for document in found for line in table(document)] or ['Not measured yet.', '']


def probe(document: Mapping[str, Any]) -> list[str]:
  """Heads on cached features."""
  first = document['results'][0]
  about = f'{first["pictures"]:,} pictures, {first["features"]} features, batch {first["batch"]}.'
  lines = rows(document, lambda r: r['mode'].replace(',', ', '))
  return [*lines, '', f'{about} {where(document)}', '']


def startup(document: Mapping[str, Any]) -> list[str]:
  """Seconds to the first step."""
  lines = [
    '| | cold | warm | cold over warm | target | imports alone |',
    '| --- | ---: | ---: | ---: | --- | ---: |',
  ]
  for r in document['results']:
    lines.append(
      f'| {r["model"]}, {r["size"]} px | {r["theirs"]:.1f} s | {r["ours"]:.1f} s | '
      f'{r["ratio"]:.2f} | {targets.verdict(r)} | {r["imports_s"]:.1f} s |'
    )
  return [*lines, '', where(document), '']


def whole_job(document: Mapping[str, Any]) -> list[str]:
  """The three commands of the museum's job."""
  results = document['results']
  wanted = next(iter(results[0]['hours_for']))
  lines = [
    f'| | pictures/s | memory | {int(wanted):,} pictures |',
    '| --- | ---: | ---: | ---: |',
  ]
  for r in results:
    lines.append(
      f'| {STEPS[r["mode"]]} | {number(r["ours"])} | {r["memory_gb"]:.1f} GB | '
      f'{r["hours_for"][wanted]:.1f} hours |'
    )
  total = sum(r['hours_for'][wanted] for r in results)
  lines.append(f'| together | | | **{total:.1f} hours** |')
  first, scale = results[0], int(wanted) / results[0]['pictures']
  disk = ', '.join(f'{k} {gb * scale:.1f} GB' for k, gb in first['disk_gb'].items() if k != 'run')
  about = (
    f'Measured on {first["pictures"]:,} pictures, the rest is extrapolated (start-up included, '
    f'so it errs on the high side). On disk for {int(wanted):,}: {disk}.'
  )
  return [*lines, '', about, '', where(document), '']


def roofline(document: Mapping[str, Any]) -> list[str]:
  """Shares of the ceilings, and where the time goes."""
  first = document['results'][0]
  about = (
    f'Ceilings: {first["ceiling_gflop_s"]:,.0f} GFLOP/s and {first["ceiling_gb_s"]:,.0f} GB/s.'
  )
  lines = [
    '| | pictures/s | GFLOP each | share of the product roof | MB each | share of the memory roof '
    '| time |',
    '| --- | ---: | ---: | ---: | ---: | ---: | --- |',
  ]
  for r in document['results']:
    time = ', '.join(f'{kind} {share:.0%}' for kind, share in r['operations'])
    lines.append(
      f'| {r["mode"].removeprefix("roofline_")}: {network(r)} | {number(r["ours"])} | '
      f'{number(r["gflop"])} | {r["share_product"]:.0%} of {number(r["roof_product"])} | '
      f'{number(r["mb"])} | {r["share_memory"]:.0%} of {number(r["roof_memory"])} | {time} |'
    )
  return [*lines, '', f'{about} {where(document)}', '']


def waiting(document: Mapping[str, Any]) -> list[str]:
  """Shares of training time."""
  lines = ['| | pictures | pictures/s | waiting | target |', '| --- | --- | ---: | ---: | --- |']
  for r in document['results']:
    low, high = (f'{share:.1%}' for share in r['waiting_spread'])
    lines.append(
      f'| {r["model"]}, {r["size"]} px, batch {r["batch"]} | {WAYS[r["mode"]]} | '
      f'{number(r["ours"])} | {r["waiting"]:.1%} ({low}-{high}) | '
      f'{targets.waiting(r, device=device_of(document))} |'
    )
  return [*lines, '', where(document), '']


def off_the_shelf(document: Mapping[str, Any]) -> list[str]:
  """Seconds of the whole experiment."""
  lines = [
    '| | pictures | features | heads | the rest | together | target |',
    '| --- | ---: | ---: | ---: | ---: | ---: | --- |',
  ]
  for r in document['results']:
    low, high = map(number, r['seconds_spread'])
    lines.append(
      f'| {r["model"]}, {r["size"]} px | {r["pictures"]:,} | {number(r["features_s"])} s | '
      f'{number(r["heads_s"])} s | {number(r["rest_s"])} s | {number(r["seconds"])} s '
      f'({low}-{high}) | {targets.experiment(r, device=device_of(document))} |'
    )
  return [*lines, '', where(document), '']


def host(document: Mapping[str, Any]) -> list[str]:
  """Milliseconds a step, and decoders beside what an accelerator takes."""
  lines = ['| | time of a core |', '| --- | ---: |']
  decoders = ['| decoding | pictures/s of a core | of 16 | cores for 5,000 |']
  decoders += ['| --- | ---: | ---: | ---: |']
  for r in document['results']:
    if r['mode'] == 'host_step':
      what = f'dispatching a step of {r["model"]}, {r["arrays"]} arrays'
      lines.append(f'| {what} | {r["ours"]:.2f} ms |')
      lines.append(f'| the same if its state were a tree | {r["theirs"]:.2f} ms |')
    elif r['mode'] == 'host_batch':
      what = f'putting a batch of {r["batch"]} squares of 224 px onto a CPU'
      lines.append(f'| {what} | {r["ours"]:.2f} ms |')
    else:
      what = f'JPEGs of {r["side"]:,} px to {r["size"]} px, `data.resize={r["resize"]}`'
      rate = r['ours']
      decoders.append(f'| {what} | {number(rate)} | {number(16 * rate)} | {number(5000 / rate)} |')
  return [*lines, '', *decoders, '', where(document), '']


def collectives(document: Mapping[str, Any]) -> list[str]:
  """Arrays and megabytes that devices add up."""
  lines = ['| | arrays in bfloat16 | in float32 | MB in bfloat16 | in float32 |']
  lines += ['| --- | ---: | ---: | ---: | ---: |']
  for r in document['results']:
    way = SENT[r['mode'].removeprefix('collectives_')]
    cells = [f'{r["arrays"].get(d, 0)}' for d in ('bf16', 'f32')]
    cells += [number(r['mb'].get(d, 0.0)) for d in ('bf16', 'f32')]
    lines.append(f'| {r["model"]}, {r["devices"]} devices, {way} | {" | ".join(cells)} |')
  return [*lines, '', where(document), '']


def missing(documents: Mapping[str, Any]) -> list[str]:
  """The measurements missing on accelerators, with the commands; empty if nothing is missing."""
  left = [entry for entry in targets.MISSING if entry[1][2] not in documents]
  if not left:
    return []
  lines = ['## GPU and TPU', '', NO_ACCELERATOR, '']
  lines += ['| missing | command | to reach on one H200 |', '| --- | --- | --- |']
  for what, (module, flags, file), target in left:
    command = f'python -m benchmarks.{module} {flags} --output=benchmarks/results/{file}.json'
    lines.append(f'| {what} | `{command}` | {target} |')
  return [*lines, '']


def page(documents: Mapping[str, Any]) -> str:
  """The whole page."""
  lines = [INTRODUCTION]
  lines += steps(documents, 'train_step', 'Training', TRAINING)
  lines += steps(documents, 'features', 'Feature extraction', FEATURES)
  lines += ['## Share of the roofline', '', ROOFLINE, '', *each(documents, 'roofline', roofline)]
  lines += ['## Heads on cached features', '', *each(documents, 'probe', probe)]
  lines += steps(documents, 'input', 'Input', LOADERS)
  lines += ['## Waiting for input', '', WAITING, '', *each(documents, 'waiting', waiting)]
  lines += ['## Start-up', '', 'From the command to the first step, one process per start.', '']
  lines += each(documents, 'startup', startup)
  lines += ["## A museum's whole job", '', WHOLE_JOB, '', *each(documents, 'end_to_end', whole_job)]
  lines += ['## Off the shelf, whole', '', OFF_THE_SHELF, '']
  lines += each(documents, 'off_the_shelf', off_the_shelf)
  lines += ['## Beside the devices', '', HOST, '', *each(documents, 'host', host)]
  lines += ['## Between devices', '', COLLECTIVES, '']
  lines += each(documents, 'collectives', collectives)
  lines += missing(documents)
  return '\n'.join(lines)


def main() -> int | None:
  """The command."""
  parser = Parser(prog='python -m benchmarks.table', description=__doc__)
  parser.add_argument('--results', type=Path, default=Path('benchmarks/results'))
  parser.add_argument('--output', type=Path, default=Path('docs/performance.md'))
  arguments = parser.parse_args()
  write_text(arguments.output, page(read(arguments.results)))
  print(f'{arguments.output}: written')
  return None


if __name__ == '__main__':
  run(main)
