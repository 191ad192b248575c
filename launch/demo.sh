#!/usr/bin/env bash
# The whole way on two CPU processes: yeast chromosomes I and II → shards → training → Hugging Face. `make demo` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error

step() { printf '\n== %s ==\n' "$*"; }
train() { deepspeed --num_accelerators 2 launch/pretrain.py --config configs/demo.yaml "$@" 2>&1 | grep -v -E 'launch.py|runner.py'; }

step "1/6 removing what an earlier demo left"
rm -rf data/demo runs/demo hf/demo

step "2/6 FASTA to shards: yeast chromosomes I and II, the last tenth of each held out"
python -m preprocessing.shard --fasta yeast=tests/data/yeast_chr1.fa.gz --fasta yeast=tests/data/yeast_chr2.fa.gz \
  --split-fractions 0.9,0.1,0 --length 256 512 1024 --output data/demo
python -m preprocessing.verify data/demo

step "3/6 training on two processes under the deepspeed launcher, stopped in the middle"
train --stop-after-steps 250

step "4/6 the same command again: it resumes from the checkpoint and finishes"
train

step "5/6 checkpoint to Hugging Face directory"
python launch/export.py --checkpoint runs/demo --output hf/demo

step "6/6 transformers opens it offline"
python - <<'PYTHON'
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("hf/demo", trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained("hf/demo", trust_remote_code=True)
batch = tokenizer(["ACGTACGTTAGC"], return_tensors="pt")
print("logits [batch, tokens, vocabulary]:", list(model(**batch).logits.shape))
prompt = tokenizer(["ATGGCCTAA"], return_tensors="pt", add_special_tokens=False)
print("nine bases go on as:", tokenizer.decode(model.generate(**prompt, max_new_tokens=24, do_sample=False)[0]))
PYTHON
printf '\nThe run is in runs/demo (metrics.jsonl; tensorboard --logdir runs/demo), the model in hf/demo.\n'
