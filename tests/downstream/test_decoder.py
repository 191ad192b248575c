"""No decoder sees padding, on either side, or the company that a sequence is in."""

import dataclasses

import pytest
import torch
from torch import Tensor

from hyena_ds.downstream.model import TaskModel, TaskShape
from hyena_ds.genome.alphabet import PAD, SEP, SPECIAL_TOKENS, TOKEN_IDS
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import SPECIAL_TOKEN_IDS, DecoderConfig

MODEL = ModelConfig(d_model=16, n_layer=2, l_max=130, filter_order=8)
MODES = ("pool", "sum", "first", "last", "position")
TOLERANCE = 1e-5


def task_model(decoder: DecoderConfig, **changes: object) -> TaskModel:
    torch.manual_seed(1)
    model = TaskModel(TaskShape(dataclasses.replace(MODEL, **changes), decoder, 3)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def sequence(length: int, seed: int = 0) -> Tensor:
    bases = torch.randint(7, 11, (1, length), generator=torch.Generator().manual_seed(seed))
    return torch.cat([bases, torch.tensor([[SEP]])], dim=1)


def padded(tokens: Tensor, left: int, right: int) -> Tensor:
    return torch.nn.functional.pad(tokens, (left, right), value=PAD)


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("special_tokens", [(), ("[SEP]",)])
@pytest.mark.parametrize("bidirectional", [False, True])
@torch.no_grad()
def test_padding_changes_no_output(mode: str, special_tokens: tuple[str, ...], bidirectional: bool) -> None:
    decoder = DecoderConfig(mode=mode, special_tokens=special_tokens, widths=(8,))  # type: ignore[arg-type]
    model, tokens = task_model(decoder, bidirectional=bidirectional), sequence(61)
    expected = model(tokens)
    for left, right in ((0, 9), (9, 0), (4, 13)):
        found = model(padded(tokens, left, right))
        if mode == "position":
            found = found[:, left : left + tokens.shape[1]]
        assert distance(found, expected) <= TOLERANCE


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_a_sequence_has_the_same_output_alone_and_in_any_batch(mode: str) -> None:
    model = task_model(DecoderConfig(mode=mode))  # type: ignore[arg-type]
    lengths = (5, 61, 100)
    together = model(torch.cat([padded(sequence(length, length), 0, 100 - length) for length in lengths]))
    for row, length in enumerate(lengths):
        alone = model(sequence(length, length))[0]
        found = together[row, : length + 1] if mode == "position" else together[row]
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


def test_special_tokens_have_the_ids_of_the_alphabet() -> None:
    assert dict(SPECIAL_TOKEN_IDS) == {
        name: TOKEN_IDS[name] for name in SPECIAL_TOKENS if name not in ("[PAD]", "[UNK]")
    }
