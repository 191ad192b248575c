import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyena_ds.data.order import example_bits, invert, order_key, permute, random_bits

FROZEN_ORDER = [11, 8, 7, 4, 0, 1, 2, 6, 9, 5, 10, 3]
FROZEN_BITS = [15572761136499250746, 12640091574593239872, 16274050542436521826]
FROZEN_EXAMPLE_BITS = [2222408721390143113, 10582987215613530743, 16158978300829335531]
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 4095, 4096, 4097, 61_024]


@pytest.mark.parametrize("size", SIZES)
def test_permutation_visits_every_element_once(size):
    order = permute(np.arange(size), size, order_key(seed=1, epoch=0))
    assert np.array_equal(np.sort(order), np.arange(size))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2**48), st.integers(-(2**63), 2**64), st.integers(0, 2**31), st.integers(0, 2**32))
def test_inverse_finds_the_position(size, seed, epoch, place):
    key = order_key(seed, epoch)
    positions = np.array([0, place % size, size - 1])
    elements = permute(positions, size, key)
    assert elements.min() >= 0
    assert elements.max() < size
    assert np.array_equal(invert(elements, size, key), positions)


def test_any_element_is_had_alone():
    key = order_key(seed=7, epoch=3)
    whole = permute(np.arange(1000), 1000, key)
    alone = [int(permute(np.array([position]), 1000, key)[0]) for position in range(0, 1000, 37)]
    assert alone == whole[::37].tolist()


def test_keys_may_differ_by_element():
    epochs = np.array([0, 1, 2, 1])
    positions = np.array([5, 5, 6, 7])
    mixed = permute(positions, 1000, order_key(9, epochs))
    alone = [int(permute(positions[i : i + 1], 1000, order_key(9, int(epochs[i])))[0]) for i in range(4)]
    assert mixed.tolist() == alone


@pytest.mark.parametrize("other", [order_key(2, 0, 0), order_key(1, 1, 0), order_key(1, 0, 1)])
def test_order_changes_with_seed_epoch_and_stream(other):
    positions = np.arange(10_000)
    same = permute(positions, 10_000, order_key(1, 0, 0)) == permute(positions, 10_000, other)
    assert same.sum() < 12  # 1 is expected of two independent orders


def test_order_looks_random():
    """Neighbours land apart, and each tenth of the epoch draws evenly from each tenth of the windows."""
    size = 50_000
    order = permute(np.arange(size), size, order_key(3, 0))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    counts = np.histogram2d(np.arange(size), order, bins=10)[0]
    assert ((counts - 500) ** 2 / 500).sum() < 135  # chi-squared, 81 degrees of freedom, p = 0.0001


def test_order_is_frozen():
    """A checkpoint's cursor means the same windows in every version of this code and of NumPy."""
    assert permute(np.arange(12), 12, order_key(2222, 0, 0, 0)).tolist() == FROZEN_ORDER
    assert random_bits(2222, 0, np.arange(3), 0, 0).tolist() == FROZEN_BITS
    assert example_bits(2222, np.zeros(3, int), np.arange(3), 0).tolist() == FROZEN_EXAMPLE_BITS


def test_position_outside_is_refused():
    with pytest.raises(IndexError, match="12"):
        permute(np.array([12]), 12, order_key(1, 0))


def test_strand_bits_are_even_and_change_with_the_epoch():
    windows = np.arange(20_000)
    first, second = (random_bits(1, epoch, windows) & np.uint64(1) for epoch in (0, 1))
    assert abs(first.mean() - 0.5) < 0.015
    assert abs((first == second).mean() - 0.5) < 0.015
