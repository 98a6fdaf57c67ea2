"""Reads NumPy's .npy format without trusting its header: sizes are checked before memory is allocated."""

import math
from typing import IO, Literal, NamedTuple

import numpy as np

from zoo.lab.errors import first_line


class Header(NamedTuple):
    """The header of an .npy.

    Attributes:
        shape: of the array.
        dtype: of its values, never Python objects.
        order: "C" or "F".
        nbytes: of the values, which follow the header.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    order: Literal["C", "F"]
    nbytes: int


def read_header(file: IO[bytes], size: int) -> Header:
    """Reads the header of the .npy in `file`, which has `size` bytes in all; leaves the file position at the values.

    Raises:
        ValueError: there is no header, it does not fit `size`, or the array holds Python objects.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format is unknown")
    try:
        shape, fortran_order, dtype = readers[version](file)
    except Exception as error:  # the header is parsed as Python, which may raise many kinds of errors
        raise ValueError(f"its header cannot be read: {first_line(error)}") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects; save it with .astype(str), or .astype(float) where they are numbers")
    left = size - file.tell()
    if min(shape, default=0) < 0 or dtype.itemsize == 0 or (nbytes := math.prod(shape) * dtype.itemsize) != left:
        raise ValueError(f"its header says {dtype} of shape {shape}, and {left:,} bytes follow")
    return Header(tuple(map(int, shape)), dtype, "F" if fortran_order else "C", nbytes)


def read_array(file: IO[bytes], size: int) -> np.ndarray:
    """Reads the array of the .npy in `file` into memory; errors as in `read_header`."""
    shape, dtype, order, nbytes = read_header(file, size)
    content = bytearray(file.read(nbytes))
    if len(content) != nbytes:
        raise ValueError(f"it ends after {len(content):,} of {nbytes:,} bytes")
    return np.ndarray(shape, dtype, content, order=order)
