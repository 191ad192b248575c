#!/usr/bin/env bash
# Every figure of one GPU, each experiment in less than ten minutes: `bash benchmarks/one_gpu.sh OUTPUT COMMIT CHR20.fa.gz [EXPERIMENT ...]`.
# Without EXPERIMENT all of them, in the order of `experiments`. JSON, and plots beside it, go to OUTPUT; COMMIT may be
# empty in a repository. After results are in benchmarks/results, benchmarks/result_tables.py writes the tables.
set -uo pipefail
cd "$(dirname "$0")/.."
output=$1 commit=$2 fasta=$3
shift 3
place=${TMPDIR:-/tmp}/hyena_ds_one_gpu # shards, and the long run between its two calls
experiments=(convolution implicit_filter training_step profile memory beyond traces chr20 chr20_long chr20_long held_out downstream)

on() { # SECONDS SCRIPT WORDS...
    local seconds=$1 script=$2
    shift 2
    timeout "$seconds" python3 "benchmarks/$script" "$@" --output "$output" ${commit:+--commit "$commit"} ||
        echo "$script: exit code $?"
}

shards() {
    [ -e "$place/shards/index.json" ] || python3 -m preprocessing.shard --fasta "$fasta" --species human \
        --split-fractions 0.9,0.1,0 --output "$place/shards" --length 1024
}

convolution() { on 500 convolution.py; }

implicit_filter() { on 200 implicit_filter.py; }

training_step() { on 500 training_step.py; }

profile() { # what docs/performance.md is written from
    on 250 profile_step.py engine.activation_checkpointing=none --lengths 1024 32768 --name profile_step_short
    on 250 profile_step.py --lengths 1048576 --name profile_step_long
}

memory() { # every checkpointing policy up to its longest sequence: what launch/plan.py is calibrated on and tested against
    local none=engine.activation_checkpointing=none
    long_context block --lengths 131072 262144 1048576
    long_context offload engine.offload=true --lengths 1048576
    long_context none $none --lengths 65536 131072 262144
    long_context mixer engine.activation_checkpointing=mixer --lengths 131072 262144
    long_context mlp engine.activation_checkpointing=mlp --lengths 131072 262144
    long_context fp32 engine.precision=fp32 --lengths 1048576
    long_context short --lengths 1024 32768 --batch 64
    long_context short_none $none --lengths 1024 --batch 256
}

beyond() { # lengths for which the convolution is torch's
    long_context block_beyond --lengths 2097152 4194304
    long_context offload_beyond engine.offload=true --lengths 4194304 8388608
}

long_context() { # NAME WORDS...
    local name=$1
    shift
    on 240 long_context.py "$@" --steps 2 --name "long_context_$name"
}

traces() { shards && on 300 loss_traces.py --shards "$place/shards"; }

chr20() { on 590 chr20.py --fasta "$fasta"; }

held_out() { on 590 chr20_held_out.py --data "$(dirname "$fasta")/.." --place "$place/held_out"; } # 75: once more

downstream() { # exit code 75: once more
    OMP_NUM_THREADS=1 on 590 downstream.py --data "$(dirname "$fasta")/.." --place "$place/downstream" \
        --model "$place/held_out/run"
}

chr20_long() { on 590 chr20_long.py --fasta "$fasta" --place "$place"; } # exit code 75: once more

for experiment in "${@:-${experiments[@]}}"; do
    echo "== $experiment"
    "$experiment"
done
