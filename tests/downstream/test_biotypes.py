"""Biotypes from embeddings: what trains, what scores, and the command on genes of different composition."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hyena_ds.api import HyenaDNA
from hyena_ds.downstream.biotypes import classify, most_frequent
from hyena_ds.errors import InputError
from launch.biotypes import main
from tests.downstream.conftest import launched

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/data/golden/d64_n2_l258/longsafari_hf"


def test_the_most_frequent_are_kept_by_name() -> None:
    labels = ["c"] * 3 + ["b"] * 2 + ["a"] * 2 + ["d"]
    assert most_frequent(labels, 2) == ("a", "c")
    with pytest.raises(InputError, match=r"4 biotypes \(c, a, b, d\) where 5"):
        most_frequent(labels, 5)


def test_f1_is_weighted_over_genes_that_never_trained() -> None:
    generator = np.random.default_rng(0)
    labels = ["rare"] * 40 + ["common"] * 200
    told = np.array([[float(label == "rare")] for label in labels]) + generator.normal(0, 0.01, (240, 1))
    scores = classify(told, labels, test=0.25, seed=1, trees=20)
    assert (scores.weighted_f1, scores.train, scores.test) == (1.0, 180, 60)
    noise = classify(generator.normal(0, 1, (240, 1)), labels, test=0.25, seed=1, trees=20)
    assert noise.weighted_f1 == pytest.approx((noise.f1["rare"] * 10 + noise.f1["common"] * 50) / 60)
    assert noise.f1["rare"] < 0.5  # a test gene that had trained would be known
    with pytest.raises(InputError, match="biotype only has 1 gene"):
        classify(told, [*labels[:-1], "only"], test=0.25, seed=1)


def test_the_command_tells_genes_of_different_composition(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    records = []
    for number, name in enumerate(["miRNA"] * 30 + ["lncRNA"] * 40 + ["rare"] * 3):
        weights = (0.4, 0.1, 0.1, 0.4) if name == "miRNA" else (0.1, 0.4, 0.4, 0.1)
        bases = "".join(generator.choice(list("ACGT"), 600 if number == 5 else 90, p=weights))
        records.append(f">ENST{number} cdna gene_biotype:{name} transcript_biotype:x\n{bases}\n")
    (tmp_path / "cdna.fa").write_text("".join(records))
    words = ["--model", GOLDEN, "--input", tmp_path / "cdna.fa", "--output", tmp_path / "out"]
    launched(main, *words, "--classes", 2, "--trees", 30)
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["genes"] == {"miRNA": 30, "lncRNA": 40}
    assert results["scores"]["test"] == 14
    assert results["scores"]["weighted_f1"] > 0.8
    assert (tmp_path / "out/tsne.png").stat().st_size > 5_000
    frame = pd.read_parquet(tmp_path / "out/embeddings.parquet")
    long = "".join(records[5].splitlines()[1:])
    windows = HyenaDNA.from_pretrained(GOLDEN).embed([long[:258], long[258:516], long[516:]])
    mean = (258 * windows[0] + 258 * windows[1] + 84 * windows[2]) / 600
    np.testing.assert_allclose(frame["embedding"][5], mean, rtol=1e-3, atol=1e-4)
