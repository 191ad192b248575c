#!/usr/bin/env bash
# Memory and speed of every checkpointing policy on one GPU, up to its longest sequence: `bash benchmarks/one_gpu.sh OUTPUT [COMMIT]`.
# What `launch/plan.py` is calibrated on and tested against; each result is a JSON file in OUTPUT.
set -uo pipefail
cd "$(dirname "$0")/.."
output=$1
commit=${2:-}

measure() { # NAME WORDS...
    local name=$1
    shift
    timeout 240 python3 benchmarks/long_context.py "$@" --steps 2 --name "long_context_$name" --output "$output" \
        ${commit:+--commit "$commit"} || echo "$name: exit code $?"
}

measure block --lengths 131072 262144 1048576 2097152 4194304
measure offload engine.offload=true --lengths 1048576 4194304 8388608
measure none engine.activation_checkpointing=none --lengths 65536 131072 262144
measure mixer engine.activation_checkpointing=mixer --lengths 131072 262144
measure mlp engine.activation_checkpointing=mlp --lengths 131072 262144
measure fp32 engine.precision=fp32 --lengths 1048576
measure short --lengths 1024 32768 --batch 64
measure short_none engine.activation_checkpointing=none --lengths 1024 --batch 256
