#!/usr/bin/env bash
# Sequence and data parallelism on one to four GPUs of one host: `bash benchmarks/four_gpus.sh OUTPUT [COMMIT]`.
# Exactness first, then tokens a second and memory; each result is a JSON file in OUTPUT.
set -uo pipefail
cd "$(dirname "$0")/.."
output=$1
commit=${2:-}

on() { # GPUS SCRIPT WORDS...: on the first GPUS of the host
    local gpus=$1 script=$2
    shift 2
    timeout 240 python3 -m torch.distributed.run --nproc-per-node "$gpus" "benchmarks/$script" "$@" \
        --output "$output" ${commit:+--commit "$commit"} || echo "$script on $gpus GPUs: exit code $?"
}

for gpus in 4 2; do
    on "$gpus" sequence_parallel.py --lengths 131072 1048576
done
for gpus in 1 2 4; do
    on "$gpus" long_context.py --name long_context_speed --lengths 1048576 4194304 --steps 3
done
for gpus in 1 4; do
    on "$gpus" long_context.py engine.activation_checkpointing=none --data-parallel --name data_parallel \
        --lengths 1024 --batch 256 --steps 20
done
on 4 long_context.py --name long_context_longest --lengths 16777216 --steps 1
on 4 long_context.py engine.offload=true --name long_context_longest_offload --lengths 33554432 --steps 1
