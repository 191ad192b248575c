#!/usr/bin/env bash
# configs/1m.yaml on one, two and four GPUs in turn, one run: `bash benchmarks/million.sh CHR20.fa.gz WORKPLACE`.
# Each start resumes the one before on another number of GPUs; the last one ends the run, which is then exported.
set -euo pipefail
cd "$(dirname "$0")/.."
fasta=$1
place=$2
words=(run_directory="$place/run" data.directory="$place/chr20" batch.tokens_per_step=4000000)
for stage in 0 1 2 3 4 5 6 7 8; do
    words+=("stages.$stage.steps=1")
done
words+=(stages.9.steps=6)

python3 -m preprocessing.shard --fasta "$fasta" --species human --output "$place/chr20" --length 1000000
start() { # GPUS STEPS
    deepspeed --num_gpus "$1" launch/pretrain.py --config configs/1m.yaml "${words[@]}" ${2:+--stop-after-steps "$2"}
}
start 1 11   # the tenth step is the first of a million bases
start 2 13
start 4 ""
python3 launch/export.py --checkpoint "$place/run" --output "$place/hf"
python3 - "$place" <<'PYTHON'
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer

place = sys.argv[1] + "/hf"
model = AutoModelForCausalLM.from_pretrained(place, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=True)
print("opened:", tuple(model(**tokenizer(["ACGTNACGT"], return_tensors="pt")).logits.shape))
PYTHON
