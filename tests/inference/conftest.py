"""A small model whose every part matters, and real sequences of mixed length."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hyena_ds.api import HyenaDNA
from hyena_ds.genome.fasta import FastaReader, open_fasta
from hyena_ds.genome.interval import Interval
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

DATA = Path(__file__).resolve().parents[1] / "data"
LAMBDA = DATA / "lambda_virus.fa.gz"


def perturbed_model(config: ModelConfig) -> HyenaLanguageModel:
    """Weights large enough that every position shows in every later one."""
    torch.manual_seed(0)
    model = HyenaLanguageModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="session")
def model() -> HyenaDNA:
    """2 layers, 32 wide, up to 1,026 tokens, on the CPU; batches hold few sequences, so that there are several."""
    config = ModelConfig(d_model=32, n_layer=2, l_max=1026)
    return HyenaDNA(FrozenModel.on(perturbed_model(config), "cpu", tokens_per_batch=2048), "tests")


@pytest.fixture(scope="session")
def phage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The genome of phage lambda."""
    fasta = open_fasta(LAMBDA, tmp_path_factory.mktemp("cache"), say=lambda line: None)
    (record,) = fasta.scan.sequences
    with FastaReader(fasta) as reader:
        return reader.bases(Interval(record.name, 0, record.length)).decode()


@pytest.fixture(scope="session")
def sequences(phage: str) -> list[str]:
    """24 stretches of phage lambda, from 1 to 1,000 bases."""
    generator = np.random.default_rng(1)
    lengths = [1, 2, 1000, *generator.integers(3, 1000, 21).tolist()]
    starts = generator.integers(0, len(phage) - 1000, len(lengths)).tolist()
    return [phage[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
