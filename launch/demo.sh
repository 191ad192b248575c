#!/usr/bin/env bash
# The whole way on two CPU processes, from FASTA to Hugging Face: `make demo` sets up the environment and runs this.
set -euo pipefail
cd "$(dirname "$0")/.."

# Two processes on any machine: the CPU, one thread each, nothing from the network.
export DS_ACCELERATOR=cpu CUDA_VISIBLE_DEVICES="" HF_HUB_OFFLINE=1
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export PYTHONWARNINGS=ignore::FutureWarning HF_HUB_DISABLE_PROGRESS_BARS=1

step() { printf '\n== %s ==\n' "$*"; }
train() {
    echo "\$ deepspeed --num_accelerators 2 launch/pretrain.py --config configs/demo.yaml $*"
    deepspeed --quiet --num_accelerators 2 launch/pretrain.py --config configs/demo.yaml "$@"
}

step "1/6 start afresh: remove what an earlier demo left in data/demo, runs/demo and hf/demo"
rm -rf data/demo runs/demo hf/demo

step "2/6 FASTA to shards: yeast chromosomes I and II, the last tenth of each kept for validation; then read it all back"
python -m preprocessing.shard --fasta yeast=tests/data/yeast_chr1.fa.gz --fasta yeast=tests/data/yeast_chr2.fa.gz \
    --split-fractions 0.9,0.1,0 --length 256 512 1024 --output data/demo
python -m preprocessing.verify data/demo

step "3/6 train on two processes, windows of 256, 512, then 1,024 bases; stop in the middle on purpose"
train --stop-after-steps 350

step "4/6 the same command again: it finds the checkpoint, goes on and finishes"
train

step "5/6 checkpoint to Hugging Face directory"
python launch/export.py --checkpoint runs/demo --output hf/demo

step "6/6 open it with transformers, offline"
python - <<'PYTHON'
import json
import math
from collections import Counter

from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("hf/demo", trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained("hf/demo", trust_remote_code=True)
batch = tokenizer(["ACGTACGTTAGC"], return_tensors="pt")
print("logits [batch, tokens, vocabulary]:", list(model(**batch).logits.shape))
prompt = tokenizer(["ATGGCCTAA"], return_tensors="pt", add_special_tokens=False)
continued = model.generate(**prompt, max_new_tokens=24, do_sample=True)
print("ATGGCCTAA goes on as:", tokenizer.decode(continued[0])[9:])

counts = Counter()
for source in json.load(open("data/demo/index.json"))["sources"]:
    counts.update({base: source["composition"][base] for base in "ACGT"})
shares = [count / counts.total() for count in counts.values()]
by_composition = math.exp(-sum(share * math.log(share) for share in shares))
lines = [json.loads(line) for line in open("runs/demo/metrics.jsonl")]
reached = [line["validation_perplexity"] for line in lines if "validation_perplexity" in line][-1]
print(f"perplexity: {reached:.3f} for the model on bases it has not seen, {by_composition:.3f} for who knows only "
      "the genome's base composition, 4 for a blind guess")
assert reached < by_composition, "the model has learned nothing beyond the base composition"
PYTHON

printf '\nDone. The run: runs/demo (metrics.jsonl, and tensorboard --logdir runs/demo). The model: hf/demo.\n'
