"""One sequence over several GPUs against one GPU: `torchrun --nproc-per-node 4 benchmarks/sequence_parallel.py`.

Rank 0 computes loss and gradients of the published 8-layer 256-wide model alone, in fp32 and in bf16; then all ranks
share the same sequence through the training engine. Distances are relative in norm, over the whole gradient and for
the worst tensor.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.long_context import config_for
from benchmarks.machine import describe_machine
from hyena_ds.engine.distributed import barrier, leave, start, sum_over_ranks
from hyena_ds.genome.alphabet import A, T
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.sequence import SequencePart, WholeSequence
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.build import build_engine, build_model, sequence_part
from hyena_ds.training.config import RunConfig
from hyena_ds.training.loss import token_loss_sum

Gradients = dict[str, Tensor]
FP32_TOLERANCE, BF16_RATIO = 1e-4, 1.5


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2**17, 2**20], help="tokens of a sequence")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    return parser.parse_args()


def loss_of(module: nn.Module, tokens: Tensor, sequence: SequencePart) -> Tensor:
    keys = dropout_keys(1, 1, torch.zeros(1, dtype=torch.int64, device=tokens.device))
    return token_loss_sum(module, tokens, sequence, ignore_n=True, dropout_keys=keys)


def alone(config: RunConfig, tokens: Tensor, *, bf16: bool) -> tuple[float, Gradients]:
    """Loss and gradients of one process by plain autograd."""
    model = build_model(config, WholeSequence()).to(tokens.device).train()
    with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=bf16):
        loss = loss_of(model, tokens, WholeSequence()) / (tokens.shape[1] - 1)
    loss.backward()
    return float(loss), {name: value.grad.cpu() for name, value in model.named_parameters() if value.grad is not None}


def shared(config: RunConfig, tokens: Tensor, sequence: SequencePart) -> tuple[float, Gradients]:
    """Loss and gradients of all ranks together, as training computes them."""
    engine = build_engine(build_model(config, sequence), config, 1, tokens.device)
    targets = tokens.shape[1] - 1
    local = engine.accumulate([tokens], lambda module, part: loss_of(module, part, sequence), valid_targets=targets)
    loss = float(sum_over_ranks(local)) / targets
    gradients = {name: value.cpu() for name, value in engine.full_gradients().items()}
    engine.close()
    return loss, gradients


def distances(found: Gradients, expected: Gradients) -> dict[str, Any]:
    """Relative distance of the whole gradient and of each tensor."""
    each = {name: float((found[name] - value).norm() / value.norm()) for name, value in expected.items()}
    whole = sum(float((found[name] - value).norm()) ** 2 for name, value in expected.items()) ** 0.5
    norm = sum(float(value.norm()) ** 2 for value in expected.values()) ** 0.5
    return {"whole": whole / norm, "each": each}


def compare(length: int, sequence: SequencePart, device: torch.device, is_main: bool) -> dict[str, Any]:
    """One row of the result; rank 0's is the one that counts."""
    fp32 = config_for(length, 1, sequence.size, ["engine.precision=fp32"])
    bf16 = config_for(length, 1, sequence.size, ["engine.precision=bf16"])
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randint(A, T + 1, (1, length + 1), generator=generator, dtype=torch.uint8).to(device)
    references = (alone(fp32, tokens, bf16=False), alone(bf16, tokens, bf16=True)) if is_main else None
    barrier()
    shared_fp32, shared_bf16 = shared(fp32, tokens, sequence), shared(bf16, tokens, sequence)
    if references is None:
        return {}
    exact, rounded = references
    single, several = distances(rounded[1], exact[1]), distances(shared_bf16[1], exact[1])
    fp32_distance = distances(shared_fp32[1], exact[1])
    return {
        "ranks": sequence.size,
        "length": length,
        "fp32 loss": abs(shared_fp32[0] / exact[0] - 1),
        "fp32 gradient": fp32_distance["whole"],
        "fp32 worst tensor": max(fp32_distance["each"].values()),
        "bf16 loss": abs(shared_bf16[0] / exact[0] - 1),
        "bf16 gradient": several["whole"],
        "bf16 gradient of one GPU": single["whole"],
        "bf16 worst tensor's ratio": max(several["each"][name] / single["each"][name] for name in exact[1]),
    }


def holds(row: dict[str, Any]) -> bool:
    exact = max(row["fp32 loss"], row["fp32 gradient"], row["fp32 worst tensor"]) <= FP32_TOLERANCE
    return bool(exact and row["bf16 gradient"] <= BF16_RATIO * row["bf16 gradient of one GPU"])


def main() -> None:
    arguments = parse_arguments()
    environment = read_environment()
    device = start(environment)
    sequence = sequence_part(ParallelDimensions(environment.world_size, environment.world_size), environment.rank)
    rows = [compare(length, sequence, device, environment.is_main) for length in arguments.lengths]
    if environment.is_main:
        for row in rows:
            print("holds" if holds(row) else "FAILS", json.dumps(row), flush=True)
        path = arguments.output / f"sequence_parallel_{environment.world_size}.json"
        result = {"rows": rows, "machine": describe_machine(arguments.commit)}
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    leave()


if __name__ == "__main__":
    main()
