"""Binary images with one bit per pixel: words of 64 pixels, the leftmost in the lowest bit."""

import functools

import numpy as np
import torch
from torch import Tensor

WORD = np.dtype("<u8")


def pack(images: np.ndarray) -> np.ndarray:
    """Bytes [..., W] of 0 and 1 as words [..., W / 64].

    Raises:
        ValueError: W is not a multiple of 64.
    """
    if images.shape[-1] % 64:
        raise ValueError(f"rows of {images.shape[-1]} pixels do not fill words of 64; pad them")
    return np.packbits(images, axis=-1, bitorder="little").view(WORD)


def unpack(words: Tensor) -> Tensor:
    """Words [..., W / 64] as int64 to floats [..., W] of 0 and 1, in the default dtype and on the words' device."""
    octets = words.flatten().view(torch.uint8).int()
    pixels = torch.nn.functional.embedding(octets, _octets(torch.get_default_dtype(), words.device))
    return pixels.view(*words.shape[:-1], 64 * words.shape[-1])


@functools.cache
def _octets(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The eight pixels of each of the 256 bytes, [256, 8]: on a CPU a look-up is faster than shifts and masks."""
    return ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).to(device, dtype)
