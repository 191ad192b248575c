"""The long convolution without zero padding: an N-point complex FFT of a signal twisted by a right angle.

The product of two real sequences modulo x^N - i holds the first N terms of their linear convolution in its real part
and the tail in its imaginary part. Twisting by w^n, w = exp(i pi / 2N), makes that product a circular one. The
derivation, the adjoints and what it costs stand in docs/convolution.md.
"""

from functools import lru_cache

import torch
from torch import Tensor

# Complex elements that one chunk of channels may hold: on a GPU enough to fill it, on a CPU what its caches hold.
GPU_CHUNK_ELEMENTS = 2**25
CPU_CHUNK_ELEMENTS = 2**18


@lru_cache(maxsize=64)
def fast_length(length: int) -> int:
    """The least 2^a 3^b 5^c 7^d that is not below `length`; FFT libraries are fast at these."""
    best = 1 << max(length - 1, 0).bit_length()
    sevens = 1
    while sevens < best:
        fives = sevens
        while fives < best:
            threes = fives
            while threes < best:
                twos = threes
                while twos < length:
                    twos *= 2
                best = min(best, twos)
                threes *= 3
            fives *= 5
        sevens *= 7
    return best


@lru_cache(maxsize=8)
def _twist(points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """w^n for n < points, computed in float64: complex [points]."""
    angle = torch.arange(points, dtype=torch.float64, device=device) * (torch.pi / (2 * points))
    return torch.polar(torch.ones_like(angle), angle).to(dtype)


def _spectrum(sequence: Tensor, twist: Tensor) -> Tensor:
    """The twisted FFT of real [..., L]: complex [..., N]."""
    spectrum: Tensor = torch.fft.fft(sequence * twist[: sequence.shape[-1]], n=twist.shape[0])
    return spectrum


def _sequence(spectrum: Tensor, twist: Tensor, length: int) -> Tensor:
    """The real part of the untwisted inverse FFT, cut to `length`: real [..., L]."""
    twisted = torch.fft.ifft(spectrum)[..., :length]
    twist = twist[:length]
    return torch.addcmul(twisted.real * twist.real, twisted.imag, twist.imag)


def _channel_chunks(signal: Tensor, points: int) -> list[slice]:
    budget = GPU_CHUNK_ELEMENTS if signal.is_cuda else CPU_CHUNK_ELEMENTS
    batch, channels, _ = signal.shape
    width = max(1, budget // (batch * points))
    return [slice(first, min(first + width, channels)) for first in range(0, channels, width)]


def _twist_for(signal: Tensor, filter: Tensor) -> Tensor:
    exact = torch.float64 in (signal.dtype, filter.dtype)
    dtype = torch.complex128 if exact else torch.complex64
    return _twist(fast_length(signal.shape[-1]), dtype, signal.device)


def right_angle_convolution(signal: Tensor, filter: Tensor, bias: Tensor, bidirectional: bool) -> Tensor:
    """As `direct_convolution`, in O(L log L) and outside autograd.

    Computed in float32, or float64 where an input is, whatever the signal; memory beyond inputs and output is a fixed
    budget a chunk of channels.
    """
    twist = _twist_for(signal, filter)
    output = torch.empty(signal.shape, dtype=signal.dtype, device=signal.device)
    for channels in _channel_chunks(signal, twist.shape[0]):
        chunk = signal[:, channels].to(twist.real.dtype)
        result = _filtered(chunk, _transfer(filter[channels], twist, bidirectional), twist)
        result.addcmul_(_direct_weight(filter, bias, channels, bidirectional), chunk)
        output[:, channels] = result
    return output


def right_angle_gradients(
    received: Tensor, signal: Tensor, filter: Tensor, bias: Tensor, bidirectional: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of signal, filter and bias from the output's, `received`; all spectra are recomputed."""
    twist = _twist_for(signal, filter)
    signal_gradient = torch.empty(signal.shape, dtype=signal.dtype, device=signal.device)
    filter_gradient, bias_gradient = torch.empty_like(filter), torch.empty_like(bias)
    for channels in _channel_chunks(signal, twist.shape[0]):
        arrived = received[:, channels].to(twist.real.dtype)
        spectrum = _spectrum(arrived, twist)
        chunk = signal[:, channels].to(twist.real.dtype)
        weight = (arrived * chunk).sum(dim=(0, 2))
        bias_gradient[channels] = weight
        taps = _correlate(_spectrum(chunk, twist), spectrum, twist, filter.shape[-1], bidirectional)
        if bidirectional:
            taps[:, 0] -= weight
        filter_gradient[channels] = taps
        transfer = _transfer(filter[channels], twist, bidirectional)
        result = _sequence(spectrum.mul_(transfer.conj()), twist, signal.shape[-1])
        result.addcmul_(_direct_weight(filter, bias, channels, bidirectional), arrived)
        signal_gradient[:, channels] = result
    return signal_gradient, filter_gradient, bias_gradient


def _transfer(filter: Tensor, twist: Tensor, bidirectional: bool) -> Tensor:
    """What the signal's spectrum is multiplied by: the filter's, or for both directions twice its real part."""
    spectrum = _spectrum(filter.to(twist.real.dtype), twist)
    return (2 * spectrum.real).to(twist.dtype) if bidirectional else spectrum


def _direct_weight(filter: Tensor, bias: Tensor, channels: slice, bidirectional: bool) -> Tensor:
    """The weight [D, 1] of the signal itself; tap 0, met in both directions, is taken off once."""
    weight = bias[channels] - filter[channels, 0] if bidirectional else bias[channels]
    return weight[:, None].to(filter.dtype)


def _filtered(chunk: Tensor, transfer: Tensor, twist: Tensor) -> Tensor:
    return _sequence(_spectrum(chunk, twist).mul_(transfer), twist, chunk.shape[-1])


def _correlate(signal: Tensor, received: Tensor, twist: Tensor, length: int, bidirectional: bool) -> Tensor:
    """The filter's gradient from the two spectra [B, D, N], summed over the batch: real [D, length]."""
    product = (signal.conj() * received).sum(dim=0)
    if bidirectional:
        product = (2 * product.real).to(twist.dtype)
    return _sequence(product, twist, length)
