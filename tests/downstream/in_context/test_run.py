"""Tuning in context: what trains, what stays, and that it learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from hyena_ds.config.load import load_config
from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.downstream.in_context.model import PromptedModel
from hyena_ds.downstream.in_context.prompt import collate
from hyena_ds.downstream.in_context.run import run_in_context
from hyena_ds.downstream.in_context.tuning import InContextRun, PromptSource
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, N
from hyena_ds.hub.open_model import open_model
from launch.in_context import main
from tests.downstream.conftest import launched

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/data/golden/d64_n2_l258/longsafari_hf"
CONFIGS = sorted((ROOT / "configs/in_context").glob("*.yaml"))


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Overrides that ask for the two kinds of sequence in a table."""
    rows = [f"{'AC' if number % 2 else 'GT'}{'ACGT'[number % 4] * 6},{number % 2}" for number in range(80)]
    (tmp_path / "table.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n")
    return [
        "task={name: toy, kind: binary}",
        f"data.train={tmp_path / 'table.csv'}",
        "data.reverse_complement=false",
        "split={valid: 0.2, test: 0.2, seed: 1}",
        f"start.checkpoint={GOLDEN}",
        f"run_directory={tmp_path / 'run'}",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads(path: Path) -> None:
    config = load_config(path, InContextConfig)
    assert config.method == path.stem
    assert config.tunes


def test_soft_tokens_learn_a_task_and_the_model_stays(words: list[str], tmp_path: Path) -> None:
    settings = ["soft_tokens=8", "tuning.learning_rate=0.1", "tuning.accumulation=2", "tuning.epochs=12"]
    path = ROOT / "configs/in_context/soft_prompt.yaml"
    asked = run_in_context(load_config(path, InContextConfig, [*words, "soft_tokens=0", f"run_directory={tmp_path}/0"]))
    printed = launched(main, "--config", path, *words, *settings)
    assert "epoch 1: validation loss" in printed
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["label_tokens"] == {"0": "A", "1": "N"}
    assert results["scores"]["test"]["examples"] == 16
    assert results["scores"]["test"]["accuracy"] > 0.9
    assert (asked["epochs"], asked["scores"]["test"]["accuracy"] < 0.6) == (0, True)  # type: ignore[index]
    tuned = load_file(tmp_path / "run/tuned.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tuned.items()} == {"soft_tokens": (8, 64)}
    with pytest.raises(InputError, match="holds the results of a run"):
        launched(main, "--config", path, *words)


def test_few_shots_tune_the_whole_model_on_every_label(words: list[str], tmp_path: Path) -> None:
    settings = ["shots=2", "tuning.examples=16", "tuning.learning_rate=0.003", "tuning.epochs=4"]
    launched(main, "--config", ROOT / "configs/in_context/few_shot.yaml", *words, *settings)
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["scores"]["test"]["accuracy"] > 0.9
    before = dict(open_model(GOLDEN).model.named_parameters())
    tuned = load_file(tmp_path / "run/tuned.safetensors")
    changed = {name: not torch.equal(tensor, before[name.removeprefix("model.")]) for name, tensor in tuned.items()
               if name.startswith("model.")}  # fmt: skip
    assert set(changed) == {f"model.{name}" for name in before}
    assert all(changed.values())


def test_the_labels_that_are_shown_are_learned_too() -> None:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    training = [(generator.integers(7, 11, 9).astype(np.uint8), number % 2) for number in range(8)]
    model = PromptedModel(open_model(GOLDEN).model, 0, 0.0, tune_model=True)
    words = ["tuning.examples=1", "tuning.epochs=1", "shots=2", "tuning.learning_rate=1e-4"]
    config = load_config(ROOT / "configs/in_context/few_shot.yaml", InContextConfig, words)
    run = InContextRun(config, model, PromptSource(training, (A, N), 2, config.seed), torch.device("cpu"))
    asked = int(np.random.default_rng(config.seed).permutation(8)[0])
    batch = collate([run.source.training_prompt(asked, 0)])
    other = batch.labels != batch.labels[-1]  # shown alone

    @torch.no_grad()
    def nats() -> float:
        model.eval()
        return float(functional.cross_entropy(run.logits(batch)[other], batch.labels[other]))

    before = nats()
    assert other.sum() == 2
    assert run.tune([], print) == 1
    assert nats() < before


def test_what_cannot_be_asked_is_one_line(words: list[str]) -> None:
    path = ROOT / "configs/in_context/soft_prompt.yaml"
    with pytest.raises(InputError, match=r"soft_tokens=300 and 4 shown .* make up to 353 tokens, .* l_max is 258"):
        run_in_context(load_config(path, InContextConfig, [*words, "soft_tokens=300", "shots=2"]))
    with pytest.raises(InputError, match="soft_tokens=2 belong to method=soft_prompt"):
        load_config(ROOT / "configs/in_context/few_shot.yaml", InContextConfig, ["soft_tokens=2"])
    with pytest.raises(InputError, match=r"task\.kind=regression has no token a class"):
        load_config(path, InContextConfig, [*words, "task.kind=regression"])
