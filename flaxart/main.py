"""`python -m flaxart.main`: flags, process start-up, then one call.

Trains a network, validates while it learns, and tests it at the end; continues a run that was
begun; evaluates the best checkpoint of a finished one again.
"""

from __future__ import annotations

if __name__ == '__main__':  # before anything that takes time, as it may restart the program
  from flaxart.machine import hugepages

  hugepages.restart()

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from flaxart.flags.help import usage
from flaxart.flags.mistakes import explanation, unknown_setting, with_config_file
from flaxart.machine.files import user_cache
from tfds_rijks import progress, terminal
from tfds_rijks.command import run
from tfds_rijks.errors import UserError

if TYPE_CHECKING:
  from flaxart.machine.processes import Joined

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
  'config', None, 'Config file, or the name of one in configs/, such as mtl.', lock_config=True
)
flags.DEFINE_string('workdir', None, 'Folder of the run; default: a dated folder under runs/.')
flags.DEFINE_enum(
  'mode', 'train', ['train', 'eval'], 'Train, or evaluate the best checkpoint again.'
)
flags.DEFINE_string('split', 'test', 'Split to evaluate with --mode=eval: test, val or train.')
flags.DEFINE_bool(
  'fallback', False, 'If a checkpoint is damaged, continue from the newest intact one.'
)
flags.DEFINE_bool(
  'remap_classes', False, 'Use other data than the run began with: match classes by name.'
)
flags.DEFINE_integer(
  'processes',
  0,
  'How many processes the run must have; 0 = as many as the launcher started.',
  lower_bound=0,
)
flags.DEFINE_bool(
  'dry_run', False, 'Print what the run would do, with hours and gigabytes, and stop.'
)


def main() -> int:
  """Parses the command line, starts JAX, trains or evaluates beside the run's other processes."""
  if {'-h', '--help'} & set(sys.argv[1:]):
    print(usage(__doc__, FLAGS))
    return 0
  config, workdir = parse(sys.argv)
  joined = start_jax(processes=FLAGS.processes)
  from flaxart.machine import peers
  from flaxart.workdir.manifest import FOLDER, steps_in
  from flaxart.workdir.run_folder import continue_command

  return peers.together(
    lambda: work(config, workdir),
    peers.watch(
      joined,
      kept=lambda: bool(steps_in(workdir / FOLDER)),
      again=continue_command(workdir, remap_classes=FLAGS.remap_classes),
    ),
  )


def work(config: ConfigDict, workdir: Path) -> int:
  """Trains or evaluates; returns the exit code."""
  if FLAGS.mode == 'eval':
    from flaxart.evaluate_run import evaluate_run

    evaluate_run(
      workdir,
      split=FLAGS.split,
      config=config,
      fallback=FLAGS.fallback,
      remap_classes=FLAGS.remap_classes,
    )
  else:
    from flaxart.machine.interrupt import EXIT_CODE, StoppedError
    from flaxart.train import train_and_evaluate

    try:
      train_and_evaluate(
        config,
        workdir,
        dry_run=FLAGS.dry_run,
        fallback=FLAGS.fallback,
        remap_classes=FLAGS.remap_classes,
      )
    except StoppedError as stopped:
      print(terminal.for_reader(str(stopped), sys.stderr), file=sys.stderr, flush=True)
      return EXIT_CODE
  return 0


def parse(argv: list[str]) -> tuple[ConfigDict, Path]:
  """Config and workdir from the command line; every error is one line."""
  from flaxart.config import read
  from flaxart.workdir import run_folder

  try:
    rest = FLAGS([with_config_file(argument) for argument in argv])
    # A missing or broken config file only fails when the flag is read.
    config = FLAGS.config
    if config is not None:
      config.to_dict()
  except UserError:
    raise
  except Exception as error:  # config files are Python and may raise anything
    raise UserError(f'command line: {unknown_setting(argv) or explanation(error)}') from error
  if len(rest) > 1:
    raise UserError(f'command line: {rest[1]!r} is not a flag; write --config={rest[1]}?')
  workdir = Path(FLAGS.workdir).expanduser() if FLAGS.workdir else None
  if FLAGS.mode == 'eval' and FLAGS.dry_run:
    raise UserError('--dry_run: estimates training; leave it out with --mode=eval')
  if config is None or FLAGS.mode == 'eval':
    if workdir is None:
      raise UserError('command line: give --config=FILE to train, or --workdir=FOLDER of a run')
    stored = read(workdir / run_folder.CONFIG)
    if config is not None:  # the data may have moved; the trained settings must be the same
      config = run_folder.check(workdir, config)
    config = config or stored
  return config, workdir or run_folder.dated(config)


def start_jax(*, processes: int = 0) -> Joined | None:
  """Sets up logging, joins the run's other processes, and sets a compilation cache private to the
  user (it holds executable code).
  """
  logging.basicConfig(format='%(message)s', handlers=[progress.Handler(sys.stderr)])
  logging.getLogger('flaxart').setLevel(logging.INFO)
  absl_logging.set_verbosity(absl_logging.WARNING)
  # Orbax logs a traceback in each of its threads for errors that it also raises, which we report.
  absl_logging.get_absl_logger().addFilter(lambda record: '/orbax/' not in record.pathname)
  import jax

  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    cache = user_cache('compiled')
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    jax.config.update('jax_compilation_cache_dir', str(cache))
  from flaxart.machine.processes import join

  return join(expected=processes)


if __name__ == '__main__':
  run(main)
