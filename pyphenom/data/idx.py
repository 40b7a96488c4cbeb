"""Image sets in IDX files on disk: MNIST and what took over its format."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom.data._checks import Stored, as_path, pixel_dtype
from pyphenom.data.images import Images

_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"


def idx_images(images: Stored, labels: Stored, dtype: Any = np.float64) -> Images:
    """Read images and labels from a pair of IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST come in.

    An IDX file holds 0, 0, the type of its entries (8: unsigned bytes), the number of dimensions, their sizes as
    big-endian 32-bit integers, and the entries in C order.

    Parameters
    ----------
    images, labels : path
        For MNIST ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``; packed by gzip (``.gz``) or not.
    dtype : numpy.uint8, numpy.float32 or numpy.float64
        Of the pixels, which stay 0 to 255.

    Returns
    -------
    Images
        An image is one row, in C order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If a path is none, if the dtype is another, if a file is no IDX file of unsigned bytes in three dimensions
        (labels: one), if it is empty, cut off or too long, or if there are not as many labels as images.

    References
    ----------
    LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section "File formats".

    Examples
    --------
    >>> import struct, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = pathlib.Path(name)
    ...     _ = (folder / "images").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 2, 1, 3) + bytes([1, 2, 3, 4, 5, 6]))
    ...     _ = (folder / "labels").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 2) + bytes([7, 9]))
    ...     pair = idx_images(folder / "images", folder / "labels")
    >>> pair.pixels.tolist(), pair.labels.tolist()
    ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [7, 9])
    """
    kind = pixel_dtype("dtype", dtype)
    classes = _read("labels", labels, rank=1)
    pixels = _read("images", images, rank=3)
    if len(pixels) != len(classes):
        raise ValueError(
            f"`images` holds {len(pixels)} images and `labels` {len(classes)} labels; expected one label for each "
            "image. Take both files from the same part, both train or both test"
        )
    return Images(pixels.reshape(len(pixels), -1).astype(kind), classes.astype(np.int64))


def _read(name: str, value: object, rank: int) -> NDArray[np.uint8]:
    path, usual = as_path(name, value), f"train-{name}-idx{rank}-ubyte"
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f"`{name}` is {path}; expected an IDX file such as {usual} or {usual}.gz") from None
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"`{name}`: {path} is damaged ({error}); expected a gzip file. Fetch it again") from None

    magic, start = bytes([0, 0, _UNSIGNED_BYTES, rank]), 4 + 4 * rank
    if not data.startswith(magic):
        raise ValueError(
            f"`{name}`: {path} starts with the bytes {data[:4].hex(' ') or '(none)'}; expected {magic.hex(' ')}, those "
            f"of {usual}. Check which file holds the images and which the labels"
        )
    if len(data) < start:
        raise ValueError(f"`{name}`: {path} has {len(data)} bytes, unpacked; expected at least {start}. Fetch it again")
    shape = struct.unpack_from(f">{rank}I", data, 4)
    if len(data) != start + math.prod(shape):
        raise ValueError(
            f"`{name}`: {path} has {len(data)} bytes, unpacked; expected {start + math.prod(shape)}, for the shape "
            f"{shape}. Fetch it again"
        )
    if 0 in shape:
        raise ValueError(f"`{name}`: {path} is empty (shape {shape}); expected at least one entry along every axis")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
