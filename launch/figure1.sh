#!/usr/bin/env bash
# Figure 1: every network on every task in every mode, into OUT/<model>_<task>_<mode>_s<seed>.
#
#   DATA_DIR=prepared launch/figure1.sh [--dry_run] [-- FLAGS FOR EVERY flaxart.main]
#
# MODELS, TASKS, MODES and SEEDS are lists with spaces; paths are relative to the clone. DATASET may
# contain {task}: DATASET='rijksmuseum/eccv2018_{task}' is the paper's own selection of objects. INIT
# is where trunks start, except from scratch: imagenet, a weights file or a run ({model}
# and {seed} in it become those of the run).
#   MODELS=resnet50 SEEDS=0 launch/figure1.sh -- --config.data.image_size=96 --config.train.epochs=20
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/series.bash
. launch/series.bash
parse_arguments "$@"

# Words in one line or in several; `read` returns 1 at their end.
read -rd '' -a models <<<"${MODELS:-vgg19 inception_v3 xception resnet50}" || true
read -rd '' -a tasks <<<"${TASKS:-material type artist}" || true
read -rd '' -a modes <<<"${MODES:-off_the_shelf fine_tuned scratch}" || true
read -rd '' -a seeds <<<"${SEEDS:-0 1 2}" || true
dataset=${DATASET:-rijksmuseum/multitask}
init=${INIT:-imagenet}
out=${OUT:-runs/figure1}
if [[ " ${flags[*]-} " =~ ' --config.init'[=\ ] ]]; then
  echo "error: found --config.init after --, expected INIT=... : runs from scratch must stay so" >&2
  exit 2
fi

for seed in "${seeds[@]}"; do
  for model in "${models[@]}"; do
    for task in "${tasks[@]}"; do
      for mode in "${modes[@]}"; do
        start=${init//\{model\}/$model}
        [ "$mode" != scratch ] || start=scratch
        run_one "$out/${model}_${task}_${mode}_s$seed" \
          "--config=configs/figure1.py:model=$model,task=$task,mode=$mode,seed=$seed" \
          "--config.init=${start//\{seed\}/$seed}" \
          "--config.data.dataset=${dataset//\{task\}/$task}" \
          "--config.data.data_dir=${DATA_DIR:-$HOME/tensorflow_datasets}"
      done
    done
  done
done
finish "$out"
