import pytest

from hyena_ds.engine.config import EngineConfig, OptimizerConfig
from hyena_ds.engine.deepspeed_config import deepspeed_dictionary
from hyena_ds.engine.optimizer import build_optimizer, learning_rate_factor
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import is_filter_parameter


def test_the_rate_warms_up_linearly_and_falls_along_a_cosine() -> None:
    config = OptimizerConfig(warmup_fraction=0.1, minimum_learning_rate_fraction=0.2)
    factors = [learning_rate_factor(step, 1000, config) for step in range(1000)]
    assert factors[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert factors[100] == pytest.approx(1.0)
    assert factors[550] == pytest.approx(0.6)
    assert factors[999] == pytest.approx(0.2, abs=1e-5)
    assert factors[100:] == sorted(factors[100:], reverse=True)


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    assert learning_rate_factor(0, 10, OptimizerConfig(warmup_fraction=0.0)) == 1.0


def test_the_filter_group_has_its_rate_and_no_weight_decay() -> None:
    model = HyenaLanguageModel(ModelConfig(d_model=128, n_layer=2, l_max=66))
    config = OptimizerConfig(learning_rate=2e-3, filter_learning_rate=1e-4, weight_decay=0.1)
    rest, filters = build_optimizer(model, config, is_filter_parameter, fused=False).param_groups
    assert (len(rest["params"]), rest["peak"], rest["weight_decay"]) == (33, 2e-3, 0.1)
    assert (len(filters["params"]), filters["peak"], filters["weight_decay"]) == (16, 1e-4, 0.0)


@pytest.mark.parametrize("bf16", [False, True])
def test_no_deepspeed_default_decides_anything(bf16: bool) -> None:
    found = deepspeed_dictionary(
        EngineConfig(zero_stage=2), OptimizerConfig(gradient_clipping=0.0), bf16=bf16, parameters=4
    )
    assert found["gradient_clipping"] == 0.0
    assert found["torch_autocast"] == {"enabled": bf16, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    assert found["zero_optimization"]["stage"] == 2
    assert found["bf16"] == {"enabled": False}
