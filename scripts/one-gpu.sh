#!/usr/bin/env bash
# One device for some minutes: checks it, then trains the papers' full-length list on it until the time is up.
#
#     MINUTES=60 scripts/one-gpu.sh [REPRODUCTION ...]
#
# See docs/running.md. Variables, with their defaults:
#     DEVICE=cuda     cpu tries the script itself
#     MINUTES=60      for everything
#     JOBS=4          trials at once on the device (cpu: 1)
#     BUDGET=full     the papers' length
#     SEEDS=          each reproduction's own number
#     RUNS=runs/one-gpu
#     OUT=            the papers' packages and pages (cpu: RUNS/results, without pages)
#     WEIGHTS=RUNS/weights
set -euo pipefail
cd "$(dirname "$0")/.."

DEVICE=${DEVICE:-cuda}
MINUTES=${MINUTES:-60}
RUNS=${RUNS:-runs/one-gpu}
WEIGHTS=${WEIGHTS:-$RUNS/weights}
BUDGET=${BUDGET:-full}
if [ "$DEVICE" = cpu ]; then
    JOBS=${JOBS:-1}
    OUT=${OUT:-$RUNS/results}
else
    JOBS=${JOBS:-4}
    OUT=${OUT:-}
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # several processes share the machine

end=$(($(date +%s) + MINUTES * 60))
left() { echo $((end - $(date +%s))); }
share() { awk -v s="$(left)" -v share="$1" 'BEGIN { s = s * share; print (s > 1 ? s : 1) }'; }
mkdir -p "$RUNS" "$WEIGHTS"

python - "$DEVICE" <<'PY' # an error here is one line, before anything is done
import sys

from zoo.lab.device import find_device

try:
    print("device:", find_device(sys.argv[1]))
except ValueError as error:
    sys.exit(f"error: {error}")
PY

echo "== compiled equals eager, resumed equals uninterrupted; time and memory"
compile=(--compile)
minutes=$(awk -v s="$(share 0.15)" 'BEGIN { s = (s > 600 ? 600 : s); print s / 60 }')
checked=0 # no recipe is begun after these minutes; the last one may take as long again
timeout "$(share 0.3)" python -m zoo.studies.device_check --device "$DEVICE" --minutes "$minutes" 2>&1 |
    tee "$RUNS/device.txt" || checked=$?
if [ "$checked" = 124 ]; then
    echo "a recipe did not finish in its share of the time"
elif [ "$checked" != 0 ]; then
    echo "a recipe differs, see $RUNS/device.txt: training goes on without --compile"
    compile=()
fi
if [ "$DEVICE" = cpu ]; then compile=(); fi # compiling takes longer than this trial of the script

echo "== bench"
timeout "$(share 0.1)" python -m zoo bench --device "$DEVICE" --turns 5 --steps 10 2>&1 | tee "$RUNS/bench.txt" ||
    echo "bench did not finish in its share of the time"

echo "== the queue"
hours=$(awk -v s="$(share 0.85)" 'BEGIN { print s / 3600 }') # the rest is for pictures, weights and pages
options=(--budget "$BUDGET" --runs "$RUNS/reproduce" --weights "$WEIGHTS" --device "$DEVICE" "${compile[@]}")
if [ -n "${SEEDS:-}" ]; then options+=(--seeds "$SEEDS"); fi
if [ -n "$OUT" ]; then options+=(--out "$OUT"); fi
python -m zoo reproduce --queue "$@" --hours "$hours" --jobs "$JOBS" "${options[@]}" 2>&1 | tee "$RUNS/queue.txt" ||
    status=$?
if [ -z "$OUT" ]; then python -m zoo reproduce --table; fi
echo "== $RUNS has device.txt, bench.txt, queue.txt, the runs and the weights; give the same command to continue"
exit "${status:-0}"
