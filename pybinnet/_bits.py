"""Packed ±1 matrices and their product."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pybinnet import _engine

_BLOCK = 1 << 20  # entries packed at a time: their comparisons stay in cache


@dataclass(frozen=True, eq=False, repr=False)
class PackedBits:
    """A matrix of +1 and -1, a bit each.

    Parameters
    ----------
    words : ndarray of shape (n_rows, ceil(n_bits / 64)), dtype uint64
        Bit 1 is +1, bit 0 is -1. Entry i of a row is bit ``i % 8`` of byte ``i // 8`` of the row;
        bits past the row's end are 0. It is not copied; `PackedBits.words` is a read-only view.
    n_bits : int
        Entries of a row.

    Attributes
    ----------
    shape : tuple of (int, int)
        ``(n_rows, n_bits)``.
    nbytes : int
        Bytes of `words`.

    See Also
    --------
    pack_bits : Packs the signs of an array.
    xnor_matmul : Multiplies two such matrices.

    Examples
    --------
    >>> from pybinnet import pack_bits
    >>> packed = pack_bits([[1.5, -2.0, 0.0], [-1.0, -1.0, 3.0]])
    >>> packed
    PackedBits(shape=(2, 3), nbytes=16)
    >>> packed.unpack()
    array([[ 1, -1,  1],
           [-1, -1,  1]], dtype=int8)
    """

    words: NDArray[np.uint64]
    n_bits: int

    def __post_init__(self) -> None:
        words = np.asarray(self.words)
        if words.dtype != np.uint64 or words.ndim != 2:
            raise ValueError(
                f"words must be a 2-D array of uint64, got {words.ndim}-D of {words.dtype}"
            )
        n_bits = operator.index(self.n_bits)
        if n_bits < 0 or words.shape[1] != -(-n_bits // 64):
            raise ValueError(
                f"{n_bits} bits a row are {max(0, -(-n_bits // 64))} words, "
                f"got words of shape {words.shape}"
            )
        words = np.ascontiguousarray(words).view()
        if n_bits % 64 and np.any(words[:, -1] & ~_last_word(n_bits)):
            raise ValueError(f"words has bits beyond the {n_bits} of a row")
        words.flags.writeable = False
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "n_bits", n_bits)

    def __reduce__(self) -> Any:
        return PackedBits, (self.words, self.n_bits)  # checked again, and read-only again

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and entries of a row."""
        return len(self.words), self.n_bits

    @property
    def nbytes(self) -> int:
        """Bytes of `words`."""
        return self.words.nbytes

    def unpack(self) -> NDArray[np.int8]:
        """Return the entries, +1 and -1.

        Returns
        -------
        ndarray of shape (n_rows, n_bits), dtype int8
        """
        if self.n_bits == 0:
            return np.empty(self.shape, dtype=np.int8)
        bits = np.unpackbits(
            self.words.view(np.uint8), axis=1, count=self.n_bits, bitorder="little"
        )
        signs = bits.view(np.int8)
        signs *= 2
        signs -= 1
        return signs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedBits):
            return NotImplemented
        return self.n_bits == other.n_bits and np.array_equal(self.words, other.words)

    __hash__ = None  # type: ignore[assignment]  # the words may be the caller's, who may change them

    def __repr__(self) -> str:
        return f"PackedBits(shape={self.shape}, nbytes={self.nbytes})"


def _last_word(n_bits: int) -> NDArray[np.uint64]:
    """The bits of a row's last, partial word, in whatever order the machine has its bytes."""
    used = np.arange(64) < n_bits % 64
    return np.packbits(used, bitorder="little").view(np.uint64)


def pack_bits(a: ArrayLike) -> PackedBits:
    """Pack the signs of a matrix.

    Parameters
    ----------
    a : array-like of shape (n_rows, n_bits)
        Real numbers: those not below 0 become +1, the others -1. Of booleans, True becomes +1.

    Returns
    -------
    PackedBits

    Raises
    ------
    ValueError
        If `a` has not two dimensions, or has NaN.
    TypeError
        If `a` is not of real numbers or booleans.

    Examples
    --------
    >>> import numpy as np
    >>> from pybinnet import pack_bits
    >>> pack_bits(np.array([[True, False, True]])).unpack()
    array([[ 1, -1,  1]], dtype=int8)
    >>> pack_bits(np.ones((100, 1000))).nbytes
    12800
    """
    array = np.asarray(a)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"signs are of real numbers or booleans, got an array of {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"a matrix is needed, got an array of {array.ndim} dimensions")
    n_rows, n_bits = array.shape
    words = np.zeros((n_rows, -(-n_bits // 64)), dtype=np.uint64)
    rows = words.view(np.uint8)[:, : -(-n_bits // 8)] if n_bits else words
    step = max(1, _BLOCK // max(1, n_bits))
    for start in range(0, n_rows if n_bits else 0, step):
        block = array[start : start + step]
        if array.dtype.kind == "f" and np.isnan(block).any():
            raise ValueError("the array has NaN, which has no sign")
        positive = block if array.dtype.kind == "b" else block >= 0
        rows[start : start + step] = np.packbits(positive, axis=1, bitorder="little")
    return PackedBits(words, n_bits)


def xnor_matmul(
    A: ArrayLike | PackedBits,
    B: ArrayLike | PackedBits,
    *,
    out: NDArray[np.int32] | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.int32]:
    """Return ``sign(A) @ sign(B).T``, computed with exclusive or and bit counts.

    Parameters
    ----------
    A : PackedBits or array-like of shape (n_a, n_bits)
    B : PackedBits or array-like of shape (n_b, n_bits)
        Arrays are packed by `pack_bits`; pack what is used more than once.
    out : ndarray of shape (n_a, n_b), dtype int32, default=None
        Where to write the product: C-contiguous, and not the memory of `A` or `B`.
    n_jobs : int or None, default=None
        Threads: None is 1, -1 is all processors. The result does not depend on it.

    Returns
    -------
    ndarray of shape (n_a, n_b), dtype int32
        ``product[i, j] = sum(sign(A[i]) * sign(B[j]))`` with ``sign(0) = 1``.

    Raises
    ------
    ValueError
        If the rows of `A` and `B` have not equally many entries, `out` does not fit, or
        `pack_bits` raises it.

    References
    ----------
    Courbariaux, Hubara, Soudry, El-Yaniv, Bengio: "Binarized Neural Networks", 2016, section 1.4.

    Examples
    --------
    >>> import numpy as np
    >>> from pybinnet import pack_bits, xnor_matmul
    >>> A = np.array([[1, -1, 1, 1], [-1, -1, -1, -1]])
    >>> B = pack_bits([[1, 1, 1, 1], [0.5, -3, 2, -4], [-1, 1, -1, -1]])
    >>> xnor_matmul(A, B)
    array([[ 2,  2, -4],
           [-4,  0,  2]], dtype=int32)
    """
    a, b = _packed(A, "A"), _packed(B, "B")
    if a.n_bits != b.n_bits:
        raise ValueError(
            f"the rows of A have {a.n_bits} entries, those of B {b.n_bits}: they must be equally "
            "long (the product is sign(A) @ sign(B).T)"
        )
    shape = a.shape[0], b.shape[0]
    if out is None:
        out = np.empty(shape, dtype=np.int32)
    elif not (
        isinstance(out, np.ndarray)
        and out.dtype == np.int32
        and out.shape == shape
        and out.flags.c_contiguous
        and out.flags.writeable
    ):
        raise ValueError(f"out must be a writeable C-contiguous int32 array of shape {shape}")
    elif np.may_share_memory(out, a.words) or np.may_share_memory(out, b.words):
        raise ValueError("out must not be the memory of A or B")
    _engine.xnor_matmul(a.words, b.words, a.n_bits, out, n_jobs)
    return out


def _packed(matrix: Any, name: str) -> PackedBits:
    if isinstance(matrix, PackedBits):
        return matrix
    try:
        return pack_bits(matrix)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
