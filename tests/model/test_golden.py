"""The model against what the reference implementation computed, in fp32 (tests/data/golden)."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaLanguageModel

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden"
CASES = ("d64_n2_l258", "d32_n3_l514_checkpointed")
TOLERANCE = 1e-5


def _model(case: str, shift: float, checkpointing: Any) -> HyenaLanguageModel:
    folder = GOLDEN / case / "longsafari_hf"
    public = json.loads((folder / "config.json").read_text())
    config = ModelConfig(
        d_model=public["d_model"],
        n_layer=public["n_layer"],
        l_max=public["max_seq_len"],
        filter_shift=shift,
        embed_dropout=0.0,
    )
    model = HyenaLanguageModel(
        config, Execution(activation_checkpointing=checkpointing, tile_tokens=100), share_tables=False
    )
    state = {name.removeprefix("hyena."): value for name, value in load_file(folder / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith(("implicit_filter.3.freq", "implicit_filter.5.freq")) for name in missing)
    return model


def assert_close(found: Tensor, expected: Tensor, place: str) -> None:
    assert (found - expected).norm() <= TOLERANCE * expected.norm(), place


@pytest.mark.parametrize(("case", "shift", "checkpointing"), list(product(CASES, (0.05, 0.0), ("none", "block"))))
def test_everything_equals_the_reference(case: str, shift: float, checkpointing: str) -> None:
    model = _model(case, shift, checkpointing)
    expected = load_file(GOLDEN / case / "expected.safetensors")
    prefix = f"shift_{shift}/"
    inputs, targets = expected["input_ids"][:, :-1].long(), expected["input_ids"][:, 1:].long()
    filters, _ = model.backbone.layers[0].mixer.filter_fn(inputs.shape[1])
    assert_close(filters[0].T, expected[prefix + "layer0_filter"], "filter")
    assert_close(model.backbone(inputs), expected[prefix + "hidden"], "hidden")
    logits = model(inputs)
    assert_close(logits, expected[prefix + "logits"], "logits")
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert_close(loss, expected[prefix + "loss"], "loss")
    loss.backward()
    names = {name.removeprefix(prefix + "grad/") for name in expected if name.startswith(prefix + "grad/")}
    parameters = dict(model.named_parameters())
    assert names == parameters.keys()
    for name, parameter in parameters.items():
        assert parameter.grad is not None
        assert_close(parameter.grad, expected[f"{prefix}grad/{name}"], name)
