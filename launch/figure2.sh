#!/usr/bin/env bash
# Figure 2: one network for all tasks and one for each, into OUT/<run>_s<seed>.
#
#   DATA_DIR=prepared launch/figure2.sh [--dry_run] [-- FLAGS FOR EVERY flaxart.main]
#
# TASKS and SEEDS are lists with spaces; paths are relative to the clone. Every run uses the same
# DATASET, which is the point. INIT is where the trunks start: imagenet, scratch, a weights file
# or a run ({seed} in it becomes the seed).
#   DATASET=collection TASKS='artist type subject' INIT=scratch launch/figure2.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/series.bash
. launch/series.bash
parse_arguments "$@"

# Words in one line or in several; `read` returns 1 at their end.
read -rd '' -a tasks <<<"${TASKS:-artist material type}" || true
read -rd '' -a seeds <<<"${SEEDS:-0 1 2}" || true
init=${INIT:-imagenet}
out=${OUT:-runs/figure2}
all=$(IFS=,; echo "${tasks[*]}")

for seed in "${seeds[@]}"; do
  for name in multi "${tasks[@]}"; do
    its_tasks=$name
    [ "$name" != multi ] || its_tasks=$all
    run_one "$out/${name}_s$seed" "--config=configs/figure2.py:run=$name,seed=$seed" \
      "--config.tasks=$its_tasks" "--config.data.dataset=${DATASET:-rijksmuseum/multitask}" \
      "--config.data.data_dir=${DATA_DIR:-$HOME/tensorflow_datasets}" \
      "--config.init=${init//\{seed\}/$seed}"
  done
done
finish "$out"
