"""The convolution position by position, beside the one of the whole sequence."""

import pytest
import torch

from hyena_ds.inference.online_convolution import BLOCK, OnlineConvolution
from hyena_ds.ops.long_convolution.reference import direct_convolution


@pytest.mark.parametrize("known", [1, 5, BLOCK, 3 * BLOCK + 7])
@pytest.mark.parametrize("total", [4 * BLOCK, 9 * BLOCK + 1, 1000])
def test_it_is_the_convolution(known: int, total: int) -> None:
    generator = torch.Generator().manual_seed(total + known)
    signal, filter, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((2, 3, total), (3, total), (3,))
    )
    online = OnlineConvolution(filter, bias)
    parts = [online(signal[..., :known])]
    parts += [online(signal[..., position : position + 1]) for position in range(known, total)]
    expected = direct_convolution(signal, filter, bias)
    torch.testing.assert_close(torch.cat(parts, dim=-1), expected, rtol=1e-10, atol=1e-10)
