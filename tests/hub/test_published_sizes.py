"""Counts and file sizes of the seven published models, without their weights."""

import json
import math
from pathlib import Path

import pytest
import torch

from hyena_ds.hub.import_weights import import_weights
from hyena_ds.hub.key_map import to_huggingface
from hyena_ds.hub.tables import tensor_shapes
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import count_parameters, is_filter_parameter

# d_model, n_layer, l_max, trainable parameters, parameters as the public class counts them, bytes of the file
PUBLISHED = {
    "tiny-1k": (128, 2, 1_026, 436_096, 448_404, 1_809_192),
    "tiny-1k-d256": (256, 2, 1_026, 1_641_088, 1_655_444, 6_638_440),
    "tiny-16k-d128": (128, 2, 16_386, 436_096, 602_004, 2_546_520),
    "small-32k": (256, 4, 32_770, 3_277_568, 3_937_064, 16_289_216),
    "medium-160k": (256, 8, 160_002, 6_550_528, 12_954_704, 56_971_992),
    "medium-450k": (256, 8, 450_002, 6_550_528, 24_554_704, 112_652_080),
    "large-1m": (256, 8, 1_000_002, 6_550_528, 46_554_704, 218_252_304),
}


def public_shapes(config: ModelConfig) -> dict[str, list[int]]:
    empty = {name: torch.empty(shape, device="meta") for name, shape in tensor_shapes(config).items()}
    return {name: list(tensor.shape) for name, tensor in to_huggingface(empty).items()}


def safetensors_bytes(shapes: dict[str, list[int]]) -> int:
    """The size of a safetensors file of fp32 tensors: length, header padded to 8 bytes, tensors by name."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in sorted(shapes.items()):
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    length = len(json.dumps(header, separators=(",", ":")))
    return 8 + math.ceil(length / 8) * 8 + end


@pytest.mark.parametrize("case", ["d64_n2_l258", "d32_n3_l514_checkpointed"])
def test_the_arithmetic_gives_the_size_of_a_real_file(case: str, golden: Path) -> None:
    path = golden / case / "longsafari_hf"
    assert safetensors_bytes(public_shapes(import_weights(path).config)) == (path / "model.safetensors").stat().st_size


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_and_bytes(name: str) -> None:
    d_model, n_layer, l_max, trainable, public_parameters, file_bytes = PUBLISHED[name]
    config = ModelConfig(d_model=d_model, n_layer=n_layer, l_max=l_max)
    with torch.device("meta"):
        model = HyenaLanguageModel(config)
    assert count_parameters(model) == trainable

    shapes = public_shapes(config)
    assert len(shapes) == 26 * n_layer + 4
    assert [key for key in shapes if key.endswith("freq") and not key.endswith("implicit_filter.1.freq")] == []
    # The public class has z as a parameter and its head untied; t and deltas are buffers there too.
    buffers = ("pos_emb.t", "modulation.deltas")
    assert sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith(buffers)) == public_parameters
    assert safetensors_bytes(shapes) == file_bytes


def test_tensors_of_the_two_optimizer_groups() -> None:
    with torch.device("meta"):
        model = HyenaLanguageModel(ModelConfig(d_model=128, n_layer=2, l_max=1_026))
    names = [name for name, _ in model.named_parameters()]
    assert sum(map(is_filter_parameter, names)) == 16
    assert len(names) == 16 + 33
