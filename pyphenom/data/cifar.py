"""CIFAR-10 and CIFAR-100 from their files on disk."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import one_of
from pyphenom.data._checks import Stored, as_path, pixel_dtype
from pyphenom.data.images import Images

_PIXELS = 3 * 32 * 32
Block = tuple[NDArray[np.uint8], NDArray[np.int64]]


def cifar_images(folder: Stored, part: str = "train", dtype: Any = np.float64) -> Images:
    """Read CIFAR-10 or CIFAR-100 from the folder that its archive unpacks to, in the binary or the Python version.

    The binary version is taken where both are. The Python version consists of pickles, which may hold any code; here
    nothing of them is run, and a pickle that asks for more than an array is refused.

    Parameters
    ----------
    folder : path
        ``cifar-10-batches-bin``, ``cifar-100-binary``, ``cifar-10-batches-py`` or ``cifar-100-python``.
    part : "train" or "test"
    dtype : numpy.uint8, numpy.float32 or numpy.float64
        Of the pixels, which stay 0 to 255. The 50 000 training images take 1.2 GB in float64, 0.15 GB in uint8.

    Returns
    -------
    Images
        Rows of 3072: the red, the green and the blue plane, each 32 x 32 in C order. The labels of CIFAR-100 are the
        fine ones.

    Raises
    ------
    FileNotFoundError
        If the folder lacks the files of a version.
    TypeError, ValueError
        If an argument is of another kind, or if a file is cut off, is no such file, or is a pickle that asks for more.

    References
    ----------
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009, chapter 3.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as name:
    ...     _ = (pathlib.Path(name) / "test_batch.bin").write_bytes(bytes([7] + [255] * 3072))
    ...     images = cifar_images(name, "test", dtype=np.uint8)
    >>> images.pixels.shape, images.labels.tolist()
    ((1, 3072), [7])
    """
    root, kind = as_path("folder", folder), pixel_dtype("dtype", dtype)
    train = one_of("part", part, ("train", "test")) == "train"
    for version in _VERSIONS:
        names = version.train if train else version.test
        missing = [name for name in names if not (root / name).is_file()]
        if len(missing) < len(names):
            break
    else:
        expected = "; ".join(f"{v.title}: {', '.join(v.train + v.test)}" for v in _VERSIONS)
        raise FileNotFoundError(f"`folder` is {root}, without the files of CIFAR. Expected: {expected}")
    if missing:
        raise FileNotFoundError(f"`folder` is {root}, without {', '.join(missing)}; expected all of {', '.join(names)}")

    blocks = [version.read(root / name) for name in names]
    for name, (_, labels) in zip(names, blocks, strict=True):
        if labels.min() < 0 or labels.max() >= version.classes:
            raise ValueError(
                f"{root / name} has labels from {labels.min()} to {labels.max()}; expected 0 to {version.classes - 1}, "
                f"for {version.title}. Check that the file has its original name"
            )
    pixels = np.concatenate([pixels for pixels, _ in blocks], dtype=kind)
    return Images(pixels, np.concatenate([labels for _, labels in blocks]))


# ---- the binary version ---------------------------------------------------------------------------------------------


def _binary(path: Path, label_bytes: int) -> Block:
    """Read records of labels, of which the last is the finest, and pixels."""
    data, size = np.fromfile(path, np.uint8), label_bytes + _PIXELS
    if data.size == 0 or data.size % size:
        raise ValueError(f"{path} has {data.size} bytes; expected a multiple of {size}, one record. Fetch it again")
    records = data.reshape(-1, size)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


# ---- the Python version ---------------------------------------------------------------------------------------------


class _Recorded:
    """What a pickle says about an array or a dtype, unused: NumPy would believe such a state, pointers included.

    A pickle can also set attributes of what it is given. Here its attempt ends in `__setstate__`: for an instance as
    below, for the class as a call with an argument too few.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Builds what needs no import (dict, list, bytes, numbers), records arrays, and refuses the rest."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return None  # an argument of the next, of no use there
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _Recorded
        if (module, name) == ("numpy", "dtype"):
            return _Recorded
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _python(path: Path, key: bytes) -> Block:
    """Read a dict with uint8 `data` (n, 3072) and a list of labels, as Python 2 pickled it."""
    content = io.BytesIO(path.read_bytes())
    try:
        return _block(_Unpickler(content, encoding="bytes").load(), key)
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            f"{path} is refused: {error or type(error).__name__}. Expected the pickle of a dict with uint8 data "
            f"(n, {_PIXELS}) and {key.decode()}. Nothing in it was run; take the binary version of the data"
        ) from error


def _block(batch: Any, key: bytes) -> Block:
    array, labels = batch[b"data"], batch[key]
    _, shape, dtype, fortran, raw = array.state
    if dtype.arguments[0] not in (b"u1", "u1") or type(raw) is not bytes:
        raise ValueError("its data are no unsigned bytes")
    if not (len(shape) == 2 and shape[0] == len(labels) > 0 and shape[1] == _PIXELS):
        raise ValueError(f"its data have the shape {shape}, with {len(labels)} labels")
    if not all(type(label) is int for label in labels):
        raise ValueError("its labels are no integers")
    pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
    return pixels, np.array(labels, np.int64)


@dataclass(frozen=True)
class _Version:
    title: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    read: Callable[[Path], Block]
    classes: int


_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
_VERSIONS = (
    _Version(
        "CIFAR-10, binary",
        tuple(f"{name}.bin" for name in _BATCHES),
        ("test_batch.bin",),
        partial(_binary, label_bytes=1),
        10,
    ),
    _Version("CIFAR-100, binary", ("train.bin",), ("test.bin",), partial(_binary, label_bytes=2), 100),
    _Version("CIFAR-10, Python", _BATCHES, ("test_batch",), partial(_python, key=b"labels"), 10),
    _Version("CIFAR-100, Python", ("train",), ("test",), partial(_python, key=b"fine_labels"), 100),
)
