"""What travels between the ranks of a sequence in a step: counted, on real processes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.ranks import run_ranks
from tests.parallel.exchange_worker import LAYERS, LENGTH, WIDTH

WORKER = Path(__file__).with_name("exchange_worker.py")
RANKS = 2


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("exchange") / "counts.pt"
    run_ranks(RANKS, WORKER, path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("policy", ["none", "mixer", "mlp", "block"])
def test_a_long_convolution_takes_four_exchanges_a_step_and_is_never_repeated(
    counts: Any, policy: str, order: int
) -> None:
    found = counts[policy, order]
    assert found["exchanges"] == 4 * (order - 1) * LAYERS
    assert found["convolutions"] == (order - 1) * LAYERS
    assert found["elements"] == {WIDTH * LENGTH // RANKS: found["exchanges"]}


def test_a_halo_travels_once_each_way_a_layer(counts: Any) -> None:
    assert {found["halos"] for found in counts.values()} == {2 * LAYERS}
