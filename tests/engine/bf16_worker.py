"""One rank of test_bf16.py: a bf16 step at every ZeRO stage. `python bf16_worker.py OUTPUT`."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.engine.config import EngineConfig, OptimizerConfig
from hyena_ds.engine.distributed import leave, start
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.model.block import Block
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import is_filter_parameter
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.loss import token_loss_sum

MODEL = ModelConfig(d_model=32, n_layer=2, l_max=514, embed_dropout=0.0)
LENGTH, ROWS = 64, 4


def make_model() -> HyenaLanguageModel:
    """Filter weights of scale 0.3, where bf16 would be off by more than 100 %."""
    torch.manual_seed(3)
    model = HyenaLanguageModel(MODEL)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_filter_parameter(name) and name.endswith("weight"):
                parameter.normal_(std=0.3)
    return model


def make_tokens() -> Tensor:
    return torch.randint(7, 11, (ROWS, LENGTH + 1), generator=torch.Generator().manual_seed(5))


def loss_of(module: nn.Module, rows: Tensor) -> Tensor:
    tokens = make_tokens()[rows]
    return token_loss_sum(module, tokens, WholeSequence(), ignore_n=True)


def run_stage(stage: Any, rank: int, world_size: int) -> dict[str, Any]:
    engine = TrainingEngine(
        make_model(),
        engine=EngineConfig(zero_stage=stage, precision="bf16", parameter_persistence_threshold=0),
        optimizer=OptimizerConfig(),
        total_steps=1,
        is_filter_parameter=is_filter_parameter,
        device=torch.device("cpu"),
        whole_modules=(Block,),
    )
    seen: dict[str, Tensor] = {}
    layer = engine.module.module.backbone.layers[1]
    compute = layer.mixer.filter_fn.filters

    def filters(*given: Any) -> Tensor:
        seen["filter"] = compute(*given).detach()
        return compute(*given)

    layer.mixer.filter_fn.filters = filters
    layer.mlp.fc2.register_forward_hook(lambda module, inputs, output: seen.update(inner=output.detach()))
    engine.accumulate([torch.arange(ROWS).chunk(world_size)[rank]], loss_of, valid_targets=ROWS * LENGTH)
    found = {"gradients": engine.full_gradients(), "filter": seen["filter"].clone(), "inner": seen["inner"].dtype}
    engine.close()
    return found


def main() -> None:
    environment = read_environment()
    start(environment)
    results = {stage: run_stage(stage, environment.rank, environment.world_size) for stage in (0, 1, 2, 3)}
    if environment.is_main:
        torch.save(results, Path(sys.argv[1]))
    leave()


if __name__ == "__main__":
    main()
