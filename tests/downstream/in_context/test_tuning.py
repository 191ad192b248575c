"""The steps of tuning in context, seen from outside: what is scored, stepped, clipped, kept and ended."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hyena_ds.config.load import load_config
from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.downstream.in_context.model import PromptedModel
from hyena_ds.downstream.in_context.prompt import Labelled, collate
from hyena_ds.downstream.in_context.tuning import InContextRun, PromptSource
from hyena_ds.genome.alphabet import A, N
from hyena_ds.hub.open_model import open_model

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/data/golden/d64_n2_l258/longsafari_hf"


def examples(count: int, seed: int) -> list[Labelled]:
    generator = np.random.default_rng(seed)
    return [(generator.integers(7, 11, 9).astype(np.uint8), number % 2) for number in range(count)]


def run_of(config: str, *words: str, soft_tokens: int = 0) -> InContextRun:
    torch.manual_seed(0)
    words = (f"soft_tokens={soft_tokens}", *words)
    settings = load_config(ROOT / f"configs/in_context/{config}.yaml", InContextConfig, words)
    prompted = PromptedModel(open_model(GOLDEN).model, soft_tokens, 0.1, tune_model=settings.method == "few_shot")
    source = PromptSource(examples(16, 0), (A, N), settings.shots, settings.seed)
    return InContextRun(settings, prompted, source, torch.device("cpu"))


@pytest.fixture
def steps() -> Iterator[list[float]]:
    """The norm of the gradient at every step of an optimizer."""
    norms: list[float] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))

    handle = register_optimizer_step_pre_hook(note)
    yield norms
    handle.remove()


@torch.no_grad()
def test_loss_is_of_every_label_and_accuracy_of_the_last() -> None:
    run, asked = run_of("few_shot", "shots=1", "evaluation_batch=3"), examples(10, 1)
    # One of the two is the likeliest token.
    run.prompted.model.lm_head.weight[[A, N]] = torch.randn(1, 64) * torch.tensor(
        [[9.0], [-9.0]]
    )  # either is likeliest
    found, nats, right = run.score(asked), [], 0
    for prompt in run.source.prompts(asked):
        logits = run.logits(collate([prompt]))
        nats += functional.cross_entropy(logits, torch.from_numpy(prompt.labels), reduction="none").tolist()
        right += int(logits[-1].argmax()) == prompt.labels[-1]
    assert len(nats) == 30
    assert found.loss == pytest.approx(np.mean(nats), rel=1e-5)
    assert 0 < right < 10
    assert (found.accuracy, found.examples) == (right / 10, 10)


def test_a_training_example_is_not_shown_to_itself() -> None:
    source = PromptSource(examples(6, 0), (A, N), 2, seed=0)
    for number, (bases, _) in enumerate(source.training):
        for epoch in range(5):
            prompt = source.training_prompt(number, epoch)
            windows = np.lib.stride_tricks.sliding_window_view(prompt.tokens, len(bases))
            assert (windows == bases).all(axis=1).sum() == 1


def test_a_step_takes_what_was_accumulated_and_is_clipped(steps: list[float]) -> None:
    run = run_of("soft_prompt", "tuning.epochs=2", "tuning.plateau=false", "tuning.accumulation=3", soft_tokens=4)
    run.prompted.model.backbone.ln_f.weight.data *= 100  # whose gradients are clipped
    run.tune([], print)
    assert len(steps) == 2 * 3  # 16 examples, 2 a batch: 3 + 3 + 2
    assert steps == pytest.approx([1.0] * 6, rel=1e-4)


def test_the_plateau_lowers_the_rate_keeps_the_best_and_ends() -> None:
    words = ("tuning.learning_rate=0.1", "tuning.accumulation=1")
    run, validation = run_of("soft_prompt", *words, soft_tokens=4), examples(12, 1)
    said: list[str] = []
    done = run.tune(validation, said.append)
    found = [re.fullmatch(r"epoch \d+: validation loss (\S+) nats at learning rate (\S+)", line) for line in said]
    losses, rates = zip(*((float(match[1]), float(match[2])) for match in found if match), strict=True)
    assert len(losses) == done < 20
    ended = [sum(losses[end] >= earlier for earlier in losses[:end]) > 1 for end in range(done)]
    assert ended == [False] * (done - 1) + [True]
    worse = [losses[end] >= min(losses[:end]) for end in range(1, done - 1)]
    assert [after < before for before, after in pairwise(rates[1:])] == worse
    assert min(losses) < losses[-1]
    assert run.score(validation).loss == pytest.approx(min(losses), abs=1e-4)


def test_soft_tokens_drop_in_training_alone() -> None:
    run = run_of("soft_prompt", soft_tokens=40)
    run.prompted.model.backbone.eval()
    batch = collate([run.source.training_prompt(0, 0)])
    with torch.no_grad():
        whole = run.prompted(batch)
        run.prompted.dropout.eval()
        assert not torch.equal(run.prompted(batch), whole)
        torch.testing.assert_close(run.prompted(batch), run.prompted(batch), rtol=0, atol=0)
