import numpy as np
import pytest

from hyena_ds.data.plan import StepPlan, samples_per_step
from hyena_ds.errors import InputError


@pytest.mark.parametrize(
    ("tokens", "length", "samples"),
    [(2**20, 1_024, 1_024), (1_000, 1_000, 1), (10, 1_000, 1), (1_499, 1_000, 1), (1_500, 1_000, 2), (2_501, 1_000, 3)],
)
def test_samples_are_the_nearest_whole_number(tokens, length, samples):
    assert samples_per_step(tokens, length) == samples


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("micro_batch", [1, 2, 5, 100])
def test_ranks_and_micro_batches_make_the_same_step(ranks, micro_batch):
    plan = StepPlan(samples=12, data_parallel_size=ranks, micro_batch=micro_batch, length=10)
    parts = [part for rank in range(ranks) for part in plan.micro_batches(3, rank)]
    assert np.concatenate(parts).tolist() == list(range(36, 48))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= micro_batch
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == ranks * plan.accumulation
    assert plan.accumulation == 1 or (plan.accumulation - 1) * micro_batch < plan.samples_per_rank


def test_refusal_names_the_sizes_that_would_do():
    with pytest.raises(InputError, match=r"12 samples a step .* data-parallel size 5; use one of 1, 2, 3, 4, 6, 12"):
        StepPlan(samples=12, data_parallel_size=5, micro_batch=1, length=10)
