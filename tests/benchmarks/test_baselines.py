"""What fine-tuning is held against: k-mers see composition and length, the CNN motifs and places."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.baselines import (
    CnnRun,
    CnnTraining,
    ConvolutionalNetwork,
    Table,
    hide_stretches,
    kmer_features,
    kmer_regression,
    kmer_shares,
    other_strand,
    rate_factor,
)


def test_shares_of_kmers_are_counted_on_one_strand_or_both() -> None:
    bases = np.array([0, 1, 2, 3, 4, 0, 1, 2], dtype=np.uint8)  # ACGTNACG
    shares = kmer_shares([bases], 3, both_strands=False)[0]
    names = ["".join("ACGT"[(number // 4**place) % 4] for place in range(3)) for number in range(64)]
    found = {name: float(share) for name, share in zip(names, shares, strict=True) if share}
    assert found == pytest.approx({"ACG": 2 / 3, "CGT": 1 / 3})
    assert other_strand(bases).tolist() == [1, 2, 3, 4, 0, 1, 2, 3]
    both = kmer_shares([bases, other_strand(bases)], 3, both_strands=True)
    np.testing.assert_array_equal(both[0], both[1])


def toy(tmp_path: Path, *, turned: bool = False) -> Table:
    """Sequences that hold GATTACA or not; in the valid and test sets, if asked, on the other strand."""
    generator, rows = np.random.default_rng(0), []
    for split, count in (("train", 160), ("valid", 40), ("test", 60)):
        for number in range(count):
            bases = "".join(generator.choice(list("ACGT"), 40 + number % 9))
            if number % 2:
                motif = "TGTAATC" if turned and split != "train" else "GATTACA"
                bases = bases[:20] + motif + bases[20:]
            rows.append((bases, "with" if number % 2 else "bare", split))
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_parquet(tmp_path / "toy.parquet")
    return Table.read(tmp_path / "toy.parquet", "binary")


def training(**changes: Any) -> CnnTraining:
    settings = {"steps": 60, "batch": 32, "score_every": 10, "patience": 9, "learning_rate": 2e-3, "metric": "accuracy"}
    return CnnTraining(**{**settings, "either_strand": False, "dropout": 0.2, "seed": 1, **changes})


def test_the_cnn_learns_a_motif_on_the_strands_that_it_is_shown(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    assert CnnRun(toy(tmp_path), training(), cpu).run()["test"]["accuracy"] > 0.9
    turned = toy(tmp_path, turned=True)
    assert CnnRun(turned, training(), cpu).run()["test"]["accuracy"] < 0.75
    assert CnnRun(turned, training(steps=100, either_strand=True), cpu).run()["test"]["accuracy"] > 0.9


def test_the_cnn_ends_after_worse_scores_and_returns_its_best_step(tmp_path: Path) -> None:
    table = toy(tmp_path)
    run = CnnRun(table, training(batch=16, learning_rate=3e-3, patience=3, score_every=3), torch.device("cpu"))
    valid, scored = list[float](), run._scores

    def noted(split: str) -> dict[str, float]:
        scores = scored(split)
        valid.append(scores["accuracy"])
        return scores

    run._scores = noted  # type: ignore[method-assign]
    result = run.run()
    valid = valid[:-2]  # without those of the best step, at the end
    best = int(np.argmax(valid))
    assert len(valid) == best + 4 < 20
    assert result["valid"]["accuracy"] == max(valid) > valid[-1]


def test_the_cnn_is_scored_by_the_average_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CnnRun(
        toy(tmp_path), training(steps=6, score_every=6, learning_rate=3e-3, average_weights=0.4), torch.device("cpu")
    )
    steps, step_of = list[dict[str, torch.Tensor]](), run._step

    def noted(step: int, numbers: torch.Tensor) -> None:
        step_of(step, numbers)
        steps.append({name: value.double() for name, value in run.model.state_dict().items()})

    outputs, scores_of = list[np.ndarray](), Table.scores

    def noted_outputs(table: Table, split: str, given: np.ndarray) -> dict[str, float]:
        outputs.append(given)
        return scores_of(table, split, given)

    run._step = noted  # type: ignore[method-assign]
    monkeypatch.setattr(Table, "scores", noted_outputs)
    run.run()  # scores once, at the end, and then the best step's valid and test sets
    expected = steps[0]
    for updates, now in enumerate(steps[1:], start=2):
        decay = min(0.4, (1 + updates) / (10 + updates))
        expected = {name: decay * value + (1 - decay) * now[name] for name, value in expected.items()}
    kept = {name.removeprefix("module."): value for name, value in run.scored.state_dict().items()}
    for name in expected:
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(kept[name].double(), expected[name], rtol=1e-5, atol=1e-7)
    run.scored = run.model
    run._scores("valid")
    run.model.load_state_dict(expected)
    run._scores("valid")
    first, best, _, raw, average = outputs
    np.testing.assert_array_equal(first, best)
    np.testing.assert_allclose(average, best, rtol=1e-4, atol=1e-5)
    assert np.abs(raw - best).max() > 0.01


def test_the_rate_warms_up_and_falls_to_a_tenth() -> None:
    factors = [rate_factor(step, 100) for step in range(1, 101)]
    assert factors[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[-1] == pytest.approx(0.1)


def test_regression_on_kmers_tells_compositions(tmp_path: Path) -> None:
    generator, rows = np.random.default_rng(0), []
    for number in range(150):
        weights = (0.35, 0.15, 0.15, 0.35) if number % 2 else (0.15, 0.35, 0.35, 0.15)
        split = ("train", "train", "train", "valid", "test")[number % 5]
        rows.append(("".join(generator.choice(list("ACGT"), 60, p=weights)), str(number % 2), split))
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_parquet(tmp_path / "toy.parquet")
    table = Table.read(tmp_path / "toy.parquet", "binary")
    found = kmer_regression(table, kmer_features(table, 2, both_strands=True), 0.1)
    assert found["test"]["accuracy"] > 0.9
    assert found["valid"]["auroc"] > 0.95


def test_regression_sees_lengths_and_the_cnn_places(tmp_path: Path) -> None:
    generator, rows = np.random.default_rng(0), []
    for number in range(400):
        split = ("train", "train", "train", "valid", "test")[number % 5]
        bases = "".join(generator.choice(list("ACGT"), 60 + 20 * (number % 2)))
        rows.append((bases, str(number % 2), split))
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_parquet(tmp_path / "lengths.parquet")
    table = Table.read(tmp_path / "lengths.parquet", "binary")
    for k in (0, 2):
        found = kmer_regression(table, kmer_features(table, k, both_strands=True), 0.1)
        assert found["test"]["accuracy"] > 0.95, k
    placed = []
    for _, label, split in rows:
        bases, start = "".join(generator.choice(list("ACGT"), 320)), 136 if label == "0" else 168  # far from the ends
        placed.append((f"{bases[:start]}GATTACA{bases[start + 7 :]}", label, split))
    pd.DataFrame(placed, columns=["sequence", "label", "split"]).to_parquet(tmp_path / "places.parquet")
    found = CnnRun(Table.read(tmp_path / "places.parquet", "binary"), training(), torch.device("cpu")).run()
    assert found["test"]["accuracy"] > 0.95


def test_the_cnn_trains_on_sequences_with_a_stretch_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden = hide_stretches(torch.zeros(2000, 100, dtype=torch.uint8), 0.5) == 4
    assert hidden.sum(dim=1).max() < 50
    assert hidden.double().mean() == pytest.approx(0.25, abs=0.01)
    assert hidden.any(dim=0).all()
    assert torch.diff(hidden.int(), dim=1).abs().sum(dim=1).max() == 2
    run, seen, forward = CnnRun(toy(tmp_path), training(steps=9), torch.device("cpu")), [], ConvolutionalNetwork.forward

    def noted(self: ConvolutionalNetwork, bases: torch.Tensor) -> torch.Tensor:
        seen.append((bases == 4).double().mean().item() if self.training else None)
        return forward(self, bases)

    monkeypatch.setattr(ConvolutionalNetwork, "forward", noted)
    shares = []
    for cutout in (0.0, 0.5):
        seen.clear()
        run.training = training(steps=9, cutout=cutout)
        run.run()
        shares.append(np.mean([share for share in seen if share is not None]))
    assert shares[1] - shares[0] == pytest.approx(0.25 * (1 - shares[0]), abs=0.04)
