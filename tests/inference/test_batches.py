"""Batches: masks from two numbers a piece, and sizes from the memory of a device."""

from typing import Literal

import numpy as np
import pytest
import torch

from hyena_ds.api import HyenaDNA
from hyena_ds.genome.alphabet import PAD, decode, encode, reverse_complement
from hyena_ds.inference.batches import Piece, Windowing, make_batch, owned_positions
from hyena_ds.inference.frozen import GPU_TOKENS_PER_BATCH, FrozenModel, tokens_that_fit
from hyena_ds.inference.measure import _cut
from hyena_ds.model.config import ModelConfig
from tests.inference.conftest import perturbed_model

GIB = 2**30


@pytest.mark.parametrize("length", [0, 450])
@pytest.mark.parametrize("side", ["left", "right"])
def test_masks_are_those_of_each_piece(sequences: list[str], side: Literal["left", "right"], length: int) -> None:
    windowing = Windowing(400, 100)
    pieces = [piece for sequence in sequences for piece in _cut(sequence.encode(), 2, windowing)]
    batch = make_batch(pieces, range(len(pieces)), side, length)
    real = np.zeros(batch.tokens.shape, dtype=bool)
    owned = np.zeros(batch.tokens.shape, dtype=bool)
    for row, piece in enumerate(pieces):
        start = real.shape[1] - len(piece.raw) if side == "left" else 0
        real[row, start : start + len(piece.raw)] = True
        owned[row, start + piece.owned : start + len(piece.raw)] = True
    assert any(piece.owned for piece in pieces)
    np.testing.assert_array_equal(owned_positions(batch.spans, real.shape[1]).numpy(), owned)
    for bidirectional in (False, True):
        config = ModelConfig(d_model=32, n_layer=1, l_max=1026, bidirectional=bidirectional)
        mask = FrozenModel.on(perturbed_model(config), "cpu")._mask(batch.tokens, batch.padding)
        if side == "right" and not bidirectional:  # behind a base, and so out of its reach
            assert mask is None
        else:
            assert mask is not None
            np.testing.assert_array_equal(mask.numpy(), real)


def test_no_mask_where_nothing_is_padded(model: HyenaDNA) -> None:
    batch = make_batch([Piece(b"ACGT"), Piece(b"TTTT")], [0, 1], "left")
    assert batch.padding is None
    assert not (batch.tokens == PAD).any()
    assert model.frozen._mask(batch.tokens, batch.padding) is None


def test_windows_of_the_opposite_strand_are_cut_from_its_own_beginning(phage: str) -> None:
    sequence, windowing = phage[:1050], Windowing(400, 100)
    opposite = decode(reverse_complement(encode(sequence.encode()))).encode()
    pieces = _cut(sequence.encode(), 2, windowing)
    half = len(pieces) // 2
    for piece, expected in zip(pieces[half:], _cut(opposite, 1, windowing), strict=True):
        assert piece.owned == expected.owned
        np.testing.assert_array_equal(piece.tokens, expected.tokens)


@pytest.mark.parametrize(
    ("memory", "d_model", "tokens"),
    [
        (140 * GIB, 128, 2**20),
        (140 * GIB, 256, 2**20),
        (140 * GIB, 1024, 2**19),
        (24 * GIB, 128, 2**19),
        (24 * GIB, 256, 2**18),
        (8 * GIB, 256, 2**17),
        (1, 256, 1),
    ],
)
def test_a_batch_fills_at_most_a_quarter_of_a_gpu(memory: int, d_model: int, tokens: int) -> None:
    assert tokens_that_fit(memory, d_model) == tokens
    if tokens > 1:
        assert tokens * d_model * 53 <= memory / 4
    assert tokens == GPU_TOKENS_PER_BATCH or 2 * tokens * d_model * 53 > memory / 4


def test_the_default_batch_of_a_cpu(model: HyenaDNA) -> None:
    assert FrozenModel.on(model.frozen.model, "cpu").tokens_per_batch == 2**13


def test_what_is_fetched_is_the_value(model: HyenaDNA) -> None:
    np.testing.assert_array_equal(model.frozen.fetched(torch.arange(5))(), np.arange(5))


@pytest.mark.gpu
def test_what_is_fetched_waits_for_nothing_that_is_started_later(model: HyenaDNA) -> None:
    on_gpu = FrozenModel.on(model.frozen.model, "cuda")
    value = torch.arange(2**20, device="cuda")
    pending = on_gpu.fetched(value + 1)
    torch.cuda._sleep(10**9)  # half a second of the GPU
    later = torch.cuda.Event()
    later.record()
    np.testing.assert_array_equal(pending(), np.arange(1, 2**20 + 1))
    assert not later.query()
    torch.cuda.synchronize()
    on_gpu.model.cpu()
