"""The loss of a step as a sum over the targets that count."""

import torch
from torch import Tensor, nn

from hyena_ds.genome.alphabet import PAD, SEP, N
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaLanguageModel, NextTokenHead
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.training.loss import token_loss_sum

TOKENS = torch.tensor([[7, 8, 9, 10, N, 7, SEP, PAD], [7, 7, 8, 8, 9, 9, 10, SEP]], dtype=torch.uint8)


class Half(nn.Module):
    """Every target costs half a nat."""

    def forward(self, inputs: Tensor, dropout_keys: Tensor | None, targets: Tensor) -> Tensor:
        assert torch.equal(inputs[:, 1:], targets[:, :-1]), "targets are the inputs one position later"
        return torch.full(targets.shape, 0.5)


class Rank(WholeSequence):
    """One of two slices, without anyone to exchange with."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank


def total(ignore_n: bool, sequence: WholeSequence) -> float:
    return float(token_loss_sum(Half(), TOKENS[:, :-1], sequence, ignore_n=ignore_n))


def test_padding_never_counts_and_n_only_where_it_is_asked_for() -> None:
    counted = token_loss_sum(Half(), TOKENS, WholeSequence(), ignore_n=True)
    assert float(counted) == 0.5 * (5 + 7)
    assert float(token_loss_sum(Half(), TOKENS, WholeSequence(), ignore_n=False)) == 0.5 * (6 + 7)


def test_the_slices_of_a_sequence_sum_to_the_whole() -> None:
    assert total(True, WholeSequence()) == total(True, Rank(0)) + total(True, Rank(1))


def test_the_head_gives_nats_in_fp32_whatever_the_tile() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2, 50, 8, requires_grad=True)
    targets = torch.randint(7, 11, (2, 50))
    whole, tiled = (NextTokenHead(8, Execution(tile_tokens=size)) for size in (1000, 14))
    tiled.load_state_dict(whole.state_dict())
    expected = nn.functional.cross_entropy(whole(hidden).double().transpose(1, 2), targets, reduction="none")
    for head in (whole, tiled):
        nats = head(hidden, targets)
        assert nats.dtype == torch.float32
        torch.testing.assert_close(nats.double(), expected, rtol=1e-6, atol=1e-6)
        (gradient,) = torch.autograd.grad(nats.sum(), hidden, retain_graph=True)
        (exact,) = torch.autograd.grad(expected.sum(), hidden, retain_graph=True)
        torch.testing.assert_close(gradient, exact, rtol=1e-5, atol=1e-6)


def test_bf16_hidden_states_lose_nothing_more_in_the_loss() -> None:
    torch.manual_seed(0)
    model = HyenaLanguageModel(ModelConfig(d_model=16, n_layer=1, l_max=66), Execution(tile_tokens=10)).eval()
    tokens = torch.randint(7, 11, (2, 65))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(tokens[:, :-1])
        nats = model(tokens[:, :-1], targets=tokens[:, 1:])
    exact = nn.functional.cross_entropy(logits.double().transpose(1, 2), tokens[:, 1:], reduction="none")
    torch.testing.assert_close(nats.double(), exact, rtol=1e-6, atol=1e-6)
