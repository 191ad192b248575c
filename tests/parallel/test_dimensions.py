import pytest

from hyena_ds.errors import InputError
from hyena_ds.parallel.dimensions import ParallelDimensions


def test_sequence_groups_are_neighbours() -> None:
    dimensions = ParallelDimensions(8, 4)
    assert dimensions.data_parallel_size == 2
    assert dimensions.sequence_groups() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [dimensions.data_rank(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [dimensions.sequence_rank(rank) for rank in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize(("world", "size", "node"), [(8, 3, None), (2, 4, None), (8, 4, 2), (6, 2, 3)])
def test_groups_that_do_not_fit_are_refused_with_those_that_do(world: int, size: int, node: int | None) -> None:
    with pytest.raises(InputError, match=f"sequence_parallel_size={size} does not divide the .* use one of 1, "):
        ParallelDimensions(world, size, node)


def test_a_length_that_ranks_cannot_share_is_refused_with_the_arithmetic() -> None:
    ParallelDimensions(4, 4).check_divides(1_000_000, "stages.0.length")
    with pytest.raises(InputError, match=r"stages\.0\.length=1,002 \(1,002 = 250 · 4 \+ 2\)"):
        ParallelDimensions(4, 4).check_divides(1_002, "stages.0.length")
