# Sourced by figure1.sh and figure2.sh: runs of flaxart.main one after the other.
# A run with a results.json is skipped, an interrupted one continues.

flags=() failed=() dry_run=

# parse_arguments [--dry_run] [-- FLAGS FOR EVERY RUN]
parse_arguments() {
  if [ "${1:-}" = --dry_run ]; then
    dry_run=1
    shift
  fi
  if [ "${1:-}" = -- ]; then
    shift
  elif [ $# -gt 0 ]; then
    echo "error: found '$1', expected --dry_run, or -- followed by flags for flaxart.main" >&2
    exit 2
  fi
  flags=("$@")
}

# run_one WORKDIR FLAGS...
run_one() {
  local workdir=$1 code=0
  shift
  if [ -e "$workdir/results.json" ]; then
    echo "finished: $workdir"
    return
  fi
  local command=(python -m flaxart.main "--workdir=$workdir" "$@" ${flags[@]+"${flags[@]}"})
  printf '%q ' "${command[@]}"
  echo "${dry_run:+# not run}"
  [ -z "$dry_run" ] || return 0
  "${command[@]}" || code=$?
  # Ctrl-C ends the series; a run that fails is named at the end, and the others continue.
  { [ "$code" -lt 128 ] && [ "$code" -ne 75 ]; } || exit "$code" # 75: saved and stopped on request
  [ "$code" -eq 0 ] || failed+=("$workdir")
}

# finish OUT: prints the report's command, which is not run, and the failed runs.
finish() {
  printf '%q ' python -m flaxart.report "--runs=$1/*" "--output=$1.report"
  echo '# not run: draws the figure'
  [ ${#failed[@]} -eq 0 ] && return
  echo "error: ${#failed[@]} runs failed: ${failed[*]}; the same command tries them again" >&2
  exit 1
}
