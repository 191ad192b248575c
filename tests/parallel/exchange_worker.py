"""One rank of test_sequence.py: counts what travels and what is convolved in a step, by checkpointing policy.

`python exchange_worker.py OUTPUT`
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed

from hyena_ds.engine.distributed import leave, start
from hyena_ds.model import convolution
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import read_environment
from hyena_ds.parallel.sequence import SequenceGroup

LAYERS, LENGTH, WIDTH = 3, 32, 8


def count_step(sequence: SequenceGroup, policy: Any, order: int) -> dict[str, Any]:
    """Calls of one forward and backward pass, and the elements that each exchange carried."""
    config = ModelConfig(d_model=WIDTH, n_layer=LAYERS, l_max=LENGTH + 2, order=order, filter_order=8, embed_dropout=0)
    model = HyenaLanguageModel(config, Execution(activation_checkpointing=policy, tile_tokens=5, sequence=sequence))
    tokens = torch.randint(7, 11, (1, LENGTH // sequence.size))
    calls, elements = Counter[str](), Counter[int]()
    exchange, gather = torch.distributed.all_to_all_single, torch.distributed.all_gather
    convolve = convolution.convolve

    def counted(name: str, function: Any) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            calls[name] += 1
            if name == "exchanges":
                elements[words[1].numel()] += 1
            return function(*words, **named)

        return call

    with (
        mock.patch.object(torch.distributed, "all_to_all_single", counted("exchanges", exchange)),
        mock.patch.object(torch.distributed, "all_gather", counted("halos", gather)),
        mock.patch.object(convolution, "convolve", counted("convolutions", convolve)),
    ):
        model(tokens, targets=tokens).sum().backward()
    return {**calls, "elements": dict(elements)}


def main() -> None:
    environment = read_environment()
    start(environment)
    sequence = SequenceGroup(ParallelDimensions(environment.world_size, environment.world_size), environment.rank)
    found = {
        (policy, order): count_step(sequence, policy, order)
        for policy in ("none", "mixer", "mlp", "block")
        for order in (2, 3)
    }
    if environment.is_main:
        torch.save(found, Path(sys.argv[1]))
    leave()


if __name__ == "__main__":
    main()
