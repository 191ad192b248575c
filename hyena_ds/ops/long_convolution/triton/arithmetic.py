"""What all kernels of the right-angle convolution compute with: complex products, DFTs of a tile, scales."""

import triton
import triton.language as tl

# The interpreter has no inline assembly.
_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


_ROTATION = tl.constexpr("""{
    .reg .f32 angle, cosine, sine, part;
    mul.f32 angle, $4, $5;
    cos.approx.f32 cosine, angle;
    sin.approx.f32 sine, angle;
    mul.f32 part, $3, sine;
    neg.f32 part, part;
    fma.rn.f32 $0, $2, cosine, part;
    mul.f32 part, $3, cosine;
    fma.rn.f32 $1, $2, sine, part;
}""")


@triton.jit
def rotated(re, im, left, right):
    """The complex tile times exp(i left right), whose angle is within a turn; right to 1e-6.

    One instruction sequence an element, since angles, cosines and sines of a whole tile would fill the registers.
    """
    if _INTERPRETED:
        cosine, sine = tl.cos(left * right), tl.sin(left * right)
        return times(re, im, cosine, sine)
    return tl.inline_asm_elementwise(
        _ROTATION, "=&f,=&f,f,f,f,f", [re, im, left, right], (tl.float32, tl.float32), is_pure=True, pack=1
    )


@triton.jit
def square(table, SIZE: tl.constexpr):
    """A table [SIZE, SIZE]."""
    line = tl.arange(0, SIZE)
    return tl.load(table + line[:, None] * SIZE + line[None, :])


@triton.jit
def narrow(value, EXACT: tl.constexpr):
    """The dtype that products take and memory holds."""
    return value if EXACT else value.to(tl.float16)


@triton.jit
def product(left, right, total, EXACT: tl.constexpr):
    """`left` @ `right` + `total` in fp32: of 16-bit values, or of fp32 ones by three tf32 products each."""
    if EXACT:
        return tl.dot(left, right, total, input_precision="tf32x3")
    return tl.dot(left, right, total)


@triton.jit
def transform_left(table_re, table_im, re, im, CONJUGATE: tl.constexpr, EXACT: tl.constexpr):
    """The complex table, or its conjugate, times a complex tile."""
    zero = tl.zeros((table_re.shape[0], re.shape[1]), tl.float32)
    if CONJUGATE:
        out_re = product(table_im, im, product(table_re, re, zero, EXACT), EXACT)
        out_im = product(table_im, -re, product(table_re, im, zero, EXACT), EXACT)
    else:
        out_re = product(table_im, -im, product(table_re, re, zero, EXACT), EXACT)
        out_im = product(table_im, re, product(table_re, im, zero, EXACT), EXACT)
    return out_re, out_im


@triton.jit
def transform_right(re, im, table_re, table_im, CONJUGATE: tl.constexpr, EXACT: tl.constexpr):
    """A complex tile times the complex table, or its conjugate."""
    zero = tl.zeros((re.shape[0], table_re.shape[1]), tl.float32)
    if CONJUGATE:
        out_re = product(im, table_im, product(re, table_re, zero, EXACT), EXACT)
        out_im = product(-re, table_im, product(im, table_re, zero, EXACT), EXACT)
    else:
        out_re = product(-im, table_im, product(re, table_re, zero, EXACT), EXACT)
        out_im = product(re, table_im, product(im, table_re, zero, EXACT), EXACT)
    return out_re, out_im


@triton.jit
def times(re, im, other_re, other_im):
    """The complex product."""
    return re * other_re - im * other_im, re * other_im + im * other_re


@triton.jit
def power_below(largest):
    """The power of two not above a largest magnitude, 1 for zero, and its inverse: scales that round nothing."""
    exponent = largest.to(tl.int32, bitcast=True) & 0x7F800000
    power = tl.where(exponent == 0, 1.0, exponent.to(tl.float32, bitcast=True))
    return power, 1.0 / power


@triton.jit
def largest_of(value):
    """The largest magnitude of a tile."""
    return tl.max(tl.max(tl.abs(value), axis=1), axis=0)
