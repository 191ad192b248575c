"""A causal convolution whose input comes position by position, in O(n log² n) for n positions.

Every output needs all inputs before it, and the next input needs the output. Inputs are therefore spread over later
outputs in blocks: when n inputs are there, the last s of them, s the largest power of two that divides n, are convolved
by one FFT into the s outputs that follow. Each pair of input and output meets in exactly one such block (Fischer and
Stockmeyer 1974, "Fast on-line integer multiplication"); pairs inside one block of BLOCK positions meet directly.
"""

import torch
from torch import Tensor

from hyena_ds.ops.long_convolution import long_convolution

BLOCK = 64
# Spectra of the filter up to this block are kept; larger ones are needed too seldom for their memory.
LARGEST_KEPT = 2**14


class OnlineConvolution:
    """`long_convolution` of a signal [B, D, T] that is not known yet, with a filter [D, T] and a bias [D].

    The first call takes the positions that are known [B, D, P], each further call one position [B, D, 1].
    """

    def __init__(self, filter: Tensor, bias: Tensor) -> None:
        self._filter = filter
        self._bias = bias
        self._near_taps = filter[:, :BLOCK].flip(1)
        self._spectra: dict[int, Tensor] = {}
        self._pending: Tensor | None = None  # what finished blocks give to the positions after the known ones
        self._signal: Tensor | None = None
        self._done = 0

    def __call__(self, signal: Tensor) -> Tensor:
        if self._pending is None or self._signal is None:
            return self._begin(signal)
        value = signal[..., 0].to(self._filter.dtype)
        self._signal[..., self._done] = value
        start = self._done - self._done % BLOCK
        near = self._signal[..., start : self._done + 1]
        output = (near * self._near_taps[:, -near.shape[-1] :]).sum(dim=-1)
        output += self._pending[..., self._done] + self._bias * value
        self._done += 1
        if self._done % BLOCK == 0:
            self._spread(self._signal, self._pending)
        return output.unsqueeze(-1)

    def _begin(self, signal: Tensor) -> Tensor:
        """The outputs of the known positions; what they give to all others becomes pending."""
        known, total = signal.shape[-1], self._filter.shape[-1]
        padded = torch.nn.functional.pad(signal.to(self._filter.dtype), (0, total - known))
        output = long_convolution(padded, self._filter, self._bias)
        self._pending = output[..., known:].clone()
        self._signal = torch.zeros_like(self._pending)
        return output[..., :known]

    def _spread(self, signal: Tensor, pending: Tensor) -> None:
        """Add what the last block gives to as many positions after it."""
        size = self._done & -self._done
        targets = pending[..., self._done : self._done + size]
        block = torch.fft.rfft(signal[..., self._done - size : self._done], n=2 * size)
        targets += torch.fft.irfft(block * self._spectrum(size), n=2 * size)[..., size : size + targets.shape[-1]]

    def _spectrum(self, size: int) -> Tensor:
        if size in self._spectra:
            return self._spectra[size]
        spectrum: Tensor = torch.fft.rfft(self._filter[:, : 2 * size], n=2 * size)
        if size <= LARGEST_KEPT:
            self._spectra[size] = spectrum
        return spectrum
