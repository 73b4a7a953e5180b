#!/usr/bin/env bash
# Train the default model at 1 mm on a GPU that is lent for a while, in parts that each end in time.
#
#   on_a_gpu.sh trial   MAPS OUT               speed of some networks, and their Dice after a short training each
#   on_a_gpu.sh train   MAPS OUT BUDGET [ARG]  start a training of BUDGET (25m) in the background; further arguments are
#                                              those of 'synthseg train', for instance --config network.yaml
#   on_a_gpu.sh collect MAPS OUT SECONDS       wait so long at most, then copy what is worth keeping to OUT
#   on_a_gpu.sh measure MAPS OUT SCANS         tests for GPUs, time of a sample, scans a second of the new model
#
# MAPS holds training.npz and held_out.npz, as 'synthseg labels pack' writes them. The training itself lies in RUN
# (default: /tmp/default-1mm), on a disk of the machine. Its averaged weights are copied at every 'collect', so that
# another machine can go on with 'train ... --start-from OUT/average.safetensors'.
set -euo pipefail
part=$1 maps=$2 out=$3
run=${RUN:-/tmp/default-1mm}
root=$(cd "$(dirname "$0")/../../.." && pwd)
python=${PYTHON:-python3}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
mkdir -p "$out"

case $part in
trial)
    # Speed of all, compiled and not; then a short race with the shortest schedule that says anything.
    trial=("$python" "$root/tests/benchmarks/bench_training.py" --maps "$maps/training.npz" --held-out "$maps/held_out.npz")
    networks=(${NETWORKS:-16x5 20x5 24x4})
    "${trial[@]}" --networks "${networks[@]}" --crops ${CROPS:-128} --seconds "${SECONDS_EACH:-15}" | tee "$out/trial.jsonl"
    "${trial[@]}" --networks "${networks[0]}" --crops ${CROPS:-128} --seconds "${SECONDS_EACH:-15}" --compiled |
        tee -a "$out/trial.jsonl"
    if [ "${RACE:-90s}" != 0s ]; then
        "${trial[@]}" --networks "${networks[@]}" --crops ${CROPS:-128} --seconds 1 --dice-after "${RACE:-90s}" |
            tee -a "$out/trial.jsonl"
    fi
    ;;
train)
    setsid nohup "$python" -m synthseg_core.cli.main train --preset default_1mm --maps "$maps/training.npz" \
        --validation-maps "$maps/held_out.npz" --budget "$4" --no-snapshot --out "$run" "${@:5}" \
        >"$run.log" 2>&1 </dev/null &
    echo $! >"$run.pid"
    ;;
collect)
    for ((second = 0; second < $4; second++)); do
        kill -0 "$(cat "$run.pid")" 2>/dev/null || break
        sleep 1
    done
    tail -n 3 "$run.log"
    for file in "$run.log" "$run"/{config.json,log.tsv,validation.tsv} "$run"/model/*; do
        if [ -f "$file" ]; then cp "$file" "$out"; fi
    done
    [ -f "$run/last.pt" ] || exit 0
    "$python" - "$run/last.pt" "$out/average.safetensors" <<'PYTHON'
import sys
from pathlib import Path

from safetensors.torch import save_file

from synthseg_core.training.checkpoint import read_checkpoint

content = read_checkpoint(Path(sys.argv[1]))
values = content["network"] if content["average"] is None else content["average"]["values"]
# Kernels in half precision; variances of young networks are too large for it.
kept = {name: value.half() if value.ndim > 1 else value for name, value in values.items() if value.ndim}
save_file({f"unet.{name}": value.contiguous() for name, value in kept.items()}, sys.argv[2])
print(f"{sys.argv[2]}: step {content['step']}")
PYTHON
    ;;
measure)
    cd "$root"
    "$python" -m pytest -q -m gpu tests || echo "some tests for GPUs fail"
    "$python" tests/benchmarks/bench_generator.py --presets official default_1mm --maps "$maps/training.npz" |
        tee "$out/generator.txt"
    for clients in 1 2 4; do
        "$python" tests/benchmarks/bench_worker.py "$4" --model "${MODEL:-$run/model/card.yaml}" --clients "$clients" \
            --repeat 3 | tee -a "$out/worker.jsonl"
    done
    ;;
*)
    echo "on_a_gpu.sh: found $part; expected trial, train, collect or measure; see the top of this file" >&2
    exit 2
    ;;
esac
