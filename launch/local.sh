#!/usr/bin/env bash
# One host, several processes:
#   launch/local.sh 2 --config=configs/mtl.py --workdir=runs/mtl
# The first argument is the number of processes; the rest goes to python -m flaxart.main.
# With GPUs each process takes one; on CPUs the processes talk through Gloo.
# SIGTERM and Ctrl-C go to all of them: they save at the same step and exit with 75.
set -euo pipefail
set -m # a process group each: only this script gets Ctrl-C, and passes it on once

if [[ $# -lt 1 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: launch/local.sh PROCESSES [flags of python -m flaxart.main]" >&2
  exit 2
fi
processes=$1
shift

# A port that is free now. Set JAX_COORDINATOR_PORT where a firewall leaves only some open.
port=${JAX_COORDINATOR_PORT:-$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}
export JAX_COORDINATOR_ADDRESS="127.0.0.1:$port" JAX_COORDINATOR_BIND_ADDRESS="127.0.0.1:$port"
export JAX_NUM_PROCESSES=$processes

gpus=0
if command -v nvidia-smi >/dev/null && [[ ${JAX_PLATFORMS:-} != cpu ]]; then
  gpus=$(nvidia-smi --list-gpus | wc -l)
  if ((gpus > 0 && processes > gpus)); then
    echo "launch/local.sh: requested $processes processes, found $gpus GPUs; each process takes one" >&2
    exit 2
  fi
fi

pids=()
stop_all() { jobs -p | xargs -r kill -TERM 2>/dev/null || true; }
trap 'signalled=1; stop_all' TERM INT

for ((i = 0; i < processes; i++)); do
  if ((gpus > 0)); then
    JAX_PROCESS_ID=$i JAX_LOCAL_DEVICE_IDS=$i python -m flaxart.main --processes="$processes" "$@" &
  else
    JAX_PROCESS_ID=$i python -m flaxart.main --processes="$processes" "$@" &
  fi
  pids+=($!)
done

code=0
for pid in "${pids[@]}"; do
  signalled=1
  while ((signalled)); do # `wait` returns early at a trapped signal: ask again
    signalled=0 status=0
    wait "$pid" || status=$?
  done
  # The others of one that was killed exit with 75 if the same command can continue the run.
  if ((status != 0 && (code == 0 || status == 75))); then
    code=$status
    # The others would wait for the one that failed; with 75 all of them stop together.
    if ((status != 75)); then stop_all; fi
  fi
done
exit "$code"
