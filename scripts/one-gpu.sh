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

for name in MINUTES JOBS; do
    if ! [[ ${!name} =~ ^0*[1-9][0-9]{0,5}$ ]]; then
        echo "error: $name must be a whole number from 1 to 999,999, got '${!name}': give for example $name=15" >&2
        exit 2
    fi
done
if [[ $BUDGET != full && $BUDGET != short ]]; then
    echo "error: BUDGET must be full or short, got '$BUDGET'" >&2
    exit 2
fi
end=$(($(date +%s) + 10#$MINUTES * 60)) # 10#: 09 is nine
left() { echo $((end - $(date +%s))); }
share() { awk -v s="$(left)" -v share="$1" 'BEGIN { s = s * share; print (s > 1 ? s : 1) }'; }

python - "$DEVICE" <<'PY' # an error here, or in a name, is one line, before anything is done
import sys

from zoo.lab.device import find_device

try:
    print("device:", find_device(sys.argv[1]))
except ValueError as error:
    sys.exit(f"error: {error}")
PY
options=(--budget "$BUDGET" --runs "$RUNS/reproduce" --weights "$WEIGHTS" --device "$DEVICE")
if [ -n "${SEEDS:-}" ]; then options+=(--seeds "$SEEDS"); fi
if [ -n "$OUT" ]; then options+=(--out "$OUT"); fi
for name in "$@"; do # a queue's own plan would time every variant's first steps
    python -m zoo reproduce "$name" --budget "$BUDGET" --plan >/dev/null
done
mkdir -p "$RUNS" "$WEIGHTS"

# Ctrl-C reaches every process: timeout leaves its command in the terminal's group, and tee -i reads to the end.
trap 'echo "stopped by SIGINT before the queue; give the same command again" >&2; exit 130' INT

echo "== compiled equals eager, resumed equals uninterrupted; time and memory"
compile=(--compile)
minutes=$(awk -v s="$(share 0.15)" 'BEGIN { s = (s > 600 ? 600 : s); print s / 60 }')
checked=0 # no recipe is begun after these minutes; the last one may take as long again
timeout --foreground "$(share 0.3)" \
    python -m zoo.studies.device_check --device "$DEVICE" --minutes "$minutes" 2>&1 |
    tee -i "$RUNS/device.txt" || checked=$?
if [ "$checked" = 124 ]; then echo "a recipe did not finish in its share of the time"; fi
if [[ $checked != 0 && $checked != 124 ]] || grep -Eq ': (differs|failed): ' "$RUNS/device.txt"; then
    echo "a recipe differs, see $RUNS/device.txt: training goes on without --compile"
    compile=()
fi
if [ "$DEVICE" = cpu ]; then compile=(); fi # compiling takes longer than this trial of the script

echo "== bench"
timeout --foreground "$(share 0.1)" python -m zoo bench --device "$DEVICE" --turns 5 --steps 10 2>&1 |
    tee -i "$RUNS/bench.txt" || echo "bench did not finish in its share of the time"

trap : INT # the queue saves, draws what has finished, and ends by itself
echo "== the queue"
hours=$(awk -v s="$(share 0.85)" 'BEGIN { print s / 3600 }') # the rest is for pictures, weights and pages
options+=(--hours "$hours" --jobs "$JOBS" "${compile[@]}")
python -m zoo reproduce --queue "$@" "${options[@]}" 2>&1 | tee -i "$RUNS/queue.txt" || status=$?
if [ -z "$OUT" ]; then python -m zoo reproduce --table; fi
echo "== $RUNS has device.txt, bench.txt, queue.txt, the runs and the weights; give the same command to continue"
exit "${status:-0}"
