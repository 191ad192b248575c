"""Log-likelihoods, on both strands, beside the model's own logits."""

import numpy as np
import pytest
import torch

from hyena_ds.api import HyenaDNA
from hyena_ds.genome.alphabet import encode

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def by_hand(model: HyenaDNA, sequence: str) -> np.ndarray:
    """The log-likelihood of each base but the first, from the logits of one forward pass."""
    tokens = torch.from_numpy(encode(sequence.encode())).long()
    logits = model.frozen.model(tokens[None])[0].double()
    return logits[:-1].log_softmax(dim=1).gather(1, tokens[1:, None])[:, 0].numpy()


def test_a_score_is_the_sum_over_the_bases(model: HyenaDNA, sequences: list[str]) -> None:
    frame = model.score(sequences, per_base=True)
    for sequence, (_, row) in zip(sequences, frame.iterrows(), strict=True):
        expected = by_hand(model, sequence)
        assert row["scored_bases"] == len(sequence) - 1
        assert row["log_likelihood"] == pytest.approx(expected.sum(), rel=1e-5)
        assert np.isnan(row["forward"][0])
        np.testing.assert_allclose(row["forward"][1:], expected, atol=1e-4)
    np.testing.assert_array_equal(model.score(sequences, output="numpy"), frame["log_likelihood"])


def test_both_strands_are_the_mean_of_the_two(model: HyenaDNA, sequences: list[str]) -> None:
    opposite = [sequence.translate(COMPLEMENT)[::-1] for sequence in sequences]
    forward, reverse = (model.score(given, per_base=True) for given in (sequences, opposite))
    both = model.score(sequences, both_strands=True, per_base=True)
    expected = (forward["log_likelihood"] + reverse["log_likelihood"]) / 2
    np.testing.assert_allclose(both["log_likelihood"], expected, rtol=1e-5)
    for found, on_reverse in zip(both["reverse"], reverse["forward"], strict=True):
        np.testing.assert_allclose(found[::-1], on_reverse, atol=1e-4)


def test_bases_that_are_not_known_are_no_part_of_the_score(model: HyenaDNA) -> None:
    row = model.score("ACGTNNACGT", per_base=True).iloc[0]
    assert row["scored_bases"] == 7
    assert np.flatnonzero(np.isnan(row["forward"])).tolist() == [0, 4, 5]
    assert row["perplexity"] == pytest.approx(np.exp(-np.nanmean(row["forward"].astype(np.float64))), rel=1e-6)


def test_windows_score_each_base_once(model: HyenaDNA, phage: str) -> None:
    row = model.score(phage[:2500], window=400, overlap=100, both_strands=True, per_base=True).iloc[0]
    assert np.isnan(row["forward"]).sum() == 1
    assert np.isnan(row["reverse"]).sum() == 1
    second = by_hand(model, phage[300:700])
    np.testing.assert_allclose(row["forward"][400:700], second[99:], atol=1e-4)


def test_a_single_base_has_nothing_before_it_and_no_score(model: HyenaDNA, phage: str) -> None:
    found = model.score(["A", "AC"], per_base=True)
    assert found["scored_bases"].tolist() == [0, 1]
    assert np.isnan(model.score("A")["perplexity"][0])
    row = model.score(phage[:401], window=400, overlap=0).iloc[0]  # a window of one base is a batch of its own
    assert row["scored_bases"] == 399


def test_logits_are_the_models_own(model: HyenaDNA, sequences: list[str]) -> None:
    for sequence, found in zip(sequences, model.logits(sequences), strict=True):
        expected = model.frozen.model(torch.from_numpy(encode(sequence.encode())).long()[None])[0]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
