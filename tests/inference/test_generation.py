"""Generation: the bases and logits of full recomputation, drawn as asked, the same for the same seed."""

import time
from typing import Any

import numpy as np
import pytest
import torch

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, T, encode
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.generation import Generated, Sampling
from hyena_ds.inference.online_model import OnlineModel
from hyena_ds.model.config import ModelConfig
from tests.inference.conftest import perturbed_model


def long_model(order: int = 2, short_filter_order: int = 3) -> HyenaDNA:
    config = ModelConfig(d_model=32, n_layer=2, l_max=11_002, order=order, short_filter_order=short_filter_order)
    return HyenaDNA(FrozenModel.on(perturbed_model(config), "cpu"), "tests")


def assert_recomputed(model: HyenaDNA, found: Generated, prompt: int) -> None:
    """One forward pass over the result gives the base and the log-likelihood of each step."""
    tokens = torch.from_numpy(encode(found.sequence.encode())).long()
    logits = model.frozen.model(tokens[None])[0, prompt - 1 : -1]
    assert torch.equal(logits[:, A : T + 1].argmax(dim=1) + A, tokens[prompt:])
    expected = logits.log_softmax(dim=1).gather(1, tokens[prompt:, None])[:, 0]
    np.testing.assert_allclose(found.log_likelihoods, expected.numpy(), atol=1e-4)


def test_ten_thousand_greedy_bases_equal_full_recomputation_and_take_their_time(phage: str) -> None:
    model = long_model()
    model.generate("ACGT", 100)
    seconds = []
    for bases in (1_250, 10_000):
        started = time.process_time()
        (found,) = model.generate(phage[:1000], bases, temperature=0)
        seconds.append(time.process_time() - started)
    assert found.sequence[:1000] == phage[:1000]
    assert len(found.bases) == 10_000
    assert_recomputed(model, found, 1000)
    # 8 times the bases: 64 times where each step reads the prefix again, 8 · (log 10000 / log 1250)² = 13 allowed.
    assert seconds[1] < 20 * seconds[0]


@pytest.mark.parametrize(("order", "short_filter_order"), [(3, 1), (2, 4)])
def test_greedy_bases_of_other_orders_equal_full_recomputation(phage: str, order: int, short_filter_order: int) -> None:
    model = long_model(order, short_filter_order)
    (found,) = model.generate(phage[:1000], 300, temperature=0)
    assert_recomputed(model, found, 1000)


def test_every_steps_logits_are_those_of_one_forward_pass(model: HyenaDNA, phage: str) -> None:
    tokens = torch.from_numpy(encode(phage[:1000].encode())).long()[None]
    online = OnlineModel(model.frozen.model, 1000)
    steps = [online(tokens[:, :200]), *(online(tokens[:, number : number + 1]) for number in range(200, 1000))]
    torch.testing.assert_close(torch.cat(steps, dim=1), model.frozen.model(tokens), rtol=0, atol=1e-4)


@pytest.mark.parametrize("prompt", ["A", "AC", "ACG"])
def test_a_prompt_shorter_than_the_short_filter(model: HyenaDNA, prompt: str) -> None:
    (found,) = model.generate(prompt, 100, temperature=0)
    tokens = torch.from_numpy(encode(found.sequence.encode())).long()[None]
    logits = model.frozen.model(tokens)[0, len(prompt) - 1 : -1, A : T + 1]
    assert torch.equal(logits.argmax(dim=1) + A, tokens[0, len(prompt) :])


def test_the_seed_decides(model: HyenaDNA) -> None:
    first, again, other = (model.generate("ACGT", 200, samples=3, seed=seed) for seed in (1, 1, 2))
    assert [found.bases for found in first] == [found.bases for found in again]
    assert len({found.bases for found in [*first, *other]}) == 6
    assert all(set(found.bases) <= set("ACGT") for found in first)


def test_samples_follow_the_models_distribution(model: HyenaDNA, phage: str) -> None:
    drawn = model.generate(phage[:8], 1, samples=10_000, seed=3)
    counts = [sum(found.bases == base for found in drawn) for base in "ACGT"]
    logits = torch.from_numpy(model.logits(phage[:8])[0][-1, A : T + 1])
    np.testing.assert_allclose(np.array(counts) / 10_000, logits.softmax(dim=0).numpy(), atol=0.02)


def test_top_k_and_top_p_leave_the_likeliest() -> None:
    likely = torch.zeros(16)
    likely[A : T + 1] = torch.tensor([0.1, 0.5, 0.3, 0.1]).log()
    uniform = torch.linspace(0, 0.999, 1000, dtype=torch.float64)
    rows = likely.expand(1000, 16)

    def drawn(sampling: Sampling) -> list[float]:
        tokens = sampling.draw(rows, uniform) - A
        return [float((tokens == base).double().mean()) for base in range(4)]

    assert drawn(Sampling()) == pytest.approx([0.1, 0.5, 0.3, 0.1], abs=2e-3)
    assert drawn(Sampling(temperature=0)) == [0, 1, 0, 0]
    assert drawn(Sampling(top_k=2)) == pytest.approx([0, 0.625, 0.375, 0], abs=2e-3)
    assert drawn(Sampling(top_p=0.79)) == pytest.approx([0, 0.625, 0.375, 0], abs=2e-3)
    assert drawn(Sampling(top_p=0.4)) == [0, 1, 0, 0]
    assert drawn(Sampling(temperature=1e-3)) == [0, 1, 0, 0]


def test_a_trailing_sep_is_no_part_of_a_prompt(model: HyenaDNA) -> None:
    assert model.generate("ACGT[SEP]", 50)[0].sequence == model.generate("ACGT", 50)[0].sequence


@pytest.mark.parametrize(
    ("prompt", "bases", "options", "message"),
    [
        ("", 10, {}, "is empty"),
        ("ACXGT", 10, {}, "'X' at base 3"),
        ("ACGT", 0, {}, "bases=0"),
        ("ACGT", 1023, {}, "exceed the model's l_max of 1,026"),
        ("ACGT", 10, {"temperature": -1.0}, "temperature=-1.0"),
        ("ACGT", 10, {"top_k": 0}, "top_k=0"),
        ("ACGT", 10, {"seed": -1}, "seed=-1"),
        ("ACGT", 10, {"top_p": 0.0}, "top_p=0.0"),
    ],
)
def test_bad_input_is_one_clear_line(
    model: HyenaDNA, prompt: str, bases: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.generate(prompt, bases, **options)


def test_a_bidirectional_model_does_not_generate() -> None:
    config = ModelConfig(d_model=32, n_layer=2, l_max=130, bidirectional=True)
    with pytest.raises(InputError, match="bidirectional"):
        HyenaDNA(FrozenModel.on(perturbed_model(config), "cpu"), "tests").generate("ACGT", 10)
