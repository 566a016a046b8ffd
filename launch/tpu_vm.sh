#!/usr/bin/env bash
# All hosts of a Cloud TPU slice:
#   TPU=my-v5e-16 ZONE=europe-west4-b launch/tpu_vm.sh --config=configs/mtl.py --workdir=/mnt/shared/runs/mtl
# The hosts find each other by the TPU's metadata. flaxart must be installed on all of them, once:
#   gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
#     --command='git clone URL flaxart && pip install -e "flaxart[tpu]"'
# The workdir and the prepared data must be where every host sees them. A preempted slice is
# created again by its queued resource: run this again to continue from the latest checkpoint.
set -euo pipefail

if [[ -z ${TPU:-} || -z ${ZONE:-} || $# -eq 0 ]]; then
  echo "usage: TPU=NAME ZONE=ZONE launch/tpu_vm.sh [flags of python -m flaxart.main]" >&2
  exit 2
fi

# Quoted twice, because the remote shell splits the line again.
printf -v flags '%q ' "$@"
exec gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
  --command="cd flaxart && python -m flaxart.main $flags"
