"""No decoder sees padding, on either side, or the company that a sequence is in."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from hyena_ds.downstream.model import TaskModel, TaskShape
from hyena_ds.genome.alphabet import PAD, SEP, SPECIAL_TOKENS, TOKEN_IDS
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import SPECIAL_TOKEN_IDS, DecoderConfig

MODEL = ModelConfig(d_model=16, n_layer=2, l_max=130, filter_order=8)
DECODERS = {mode: {"mode": mode} for mode in ("pool", "sum", "first", "last", "position")}
DECODERS |= {f"{mode} in parts": {"mode": mode, "parts": 4} for mode in ("pool", "sum")}
TOLERANCE = 1e-6  # of models in float64, whose means are taken in fp32


def task_model(decoder: DecoderConfig, **changes: object) -> TaskModel:
    torch.manual_seed(1)
    model = TaskModel(TaskShape(dataclasses.replace(MODEL, **changes), decoder, 3)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double()


def sequence(length: int, seed: int = 0) -> Tensor:
    bases = torch.randint(7, 11, (1, length), generator=torch.Generator().manual_seed(seed))
    return torch.cat([bases, torch.tensor([[SEP]])], dim=1)


def padded(tokens: Tensor, left: int, right: int) -> Tensor:
    return torch.nn.functional.pad(tokens, (left, right), value=PAD)


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("special_tokens", [(), ("[SEP]",)])
@pytest.mark.parametrize("bidirectional", [False, True])
@torch.no_grad()
def test_padding_changes_no_output(decoder: str, special_tokens: tuple[str, ...], bidirectional: bool) -> None:
    config = DecoderConfig(**DECODERS[decoder], special_tokens=special_tokens, widths=(8,))  # type: ignore[arg-type]
    model, tokens = task_model(config, bidirectional=bidirectional), sequence(61)
    expected = model(tokens)
    for left, right in ((0, 9), (9, 0), (4, 13)):
        found = model(padded(tokens, left, right))
        if decoder == "position":
            found = found[:, left : left + tokens.shape[1]]
        assert distance(found, expected) <= TOLERANCE


@pytest.mark.parametrize("decoder", DECODERS)
@torch.no_grad()
def test_a_sequence_has_the_same_output_alone_and_in_any_batch(decoder: str) -> None:
    model = task_model(DecoderConfig(**DECODERS[decoder]))  # type: ignore[arg-type]
    lengths = (5, 61, 100)
    together = model(torch.cat([padded(sequence(length, length), 0, 100 - length) for length in lengths]))
    for row, length in enumerate(lengths):
        alone = model(sequence(length, length))[0]
        found = together[row, : length + 1] if decoder == "position" else together[row]
        assert distance(found, alone) <= TOLERANCE


@pytest.mark.parametrize("mode", ["pool", "sum", "first", "last"])
@torch.no_grad()
def test_decoders_read_what_their_names_say(mode: str) -> None:
    tokens = sequence(20)
    for special_tokens, end in (((), 20), (("[SEP]",), 21)):
        model = task_model(DecoderConfig(mode=mode, special_tokens=special_tokens))  # type: ignore[arg-type]
        hidden = model.backbone(tokens)[0, :end]
        expected = {"pool": hidden.mean(0), "sum": hidden.sum(0), "first": hidden[0], "last": hidden[-1]}[mode]
        assert distance(model(padded(tokens, 3, 2))[0], model.score(expected[None])[0]) <= TOLERANCE


@pytest.mark.parametrize("mode", ["pool", "sum"])
@torch.no_grad()
def test_parts_are_stretches_of_like_length_side_by_side(mode: str) -> None:
    model = task_model(DecoderConfig(mode=mode, parts=4))  # type: ignore[arg-type]
    for length, borders in ((22, (0, 6, 11, 17, 22)), (3, (0, 1, 2, 3, 3))):
        tokens = sequence(length)
        hidden = model.backbone(tokens)[0]
        parts = [hidden[start:end].sum(0) for start, end in pairwise(borders)]
        if mode == "pool":
            parts = [part / max(end - start, 1) for part, (start, end) in zip(parts, pairwise(borders), strict=True)]
        assert distance(model.features(padded(tokens, 3, 2))[0], torch.cat(parts)) <= TOLERANCE
    for settings, why in (({"parts": 0}, "parts=0"), ({"mode": "last", "parts": 2}, "not mode=last")):
        with pytest.raises(ValueError, match=why):
            DecoderConfig(**settings)  # type: ignore[arg-type]


def test_special_tokens_have_the_ids_of_the_alphabet() -> None:
    assert dict(SPECIAL_TOKEN_IDS) == {
        name: TOKEN_IDS[name] for name in SPECIAL_TOKENS if name not in ("[PAD]", "[UNK]")
    }
