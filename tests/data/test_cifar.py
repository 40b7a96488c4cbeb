"""The files are written here byte by byte, the pickles with the instructions that Python 2 wrote."""

import pickle
import struct

import numpy as np
import pytest

from pyphenom.data import cifar_images

TEN = [f"data_batch_{k}" for k in range(1, 6)]


def images(n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(n, 3072), dtype=np.uint8), rng.integers(10, size=n).tolist()


def binary(pixels, *labels):
    return b"".join(bytes(row[:-1]) + bytes(row[-1]) for row in zip(*labels, pixels, strict=True))


def text(value):  # SHORT_BINSTRING or BINSTRING: a str of Python 2
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<I", len(value)) + value


def number(value):  # BININT
    return b"J" + struct.pack("<i", value)


def array(pixels, fortran=False, dtype=b"u1"):
    """Return the instructions for an array: _reconstruct(ndarray, (0,), 'b'), and its state."""
    state = b"(K\x03" + text(b"|") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    kind = b"cnumpy\ndtype\n" + text(dtype) + b"K\x00K\x01\x87R" + state
    shape = number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86"
    raw = pixels.tobytes("F" if fortran else "C")
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    return made + b"(K\x01" + shape + kind + (b"\x88" if fortran else b"\x89") + text(raw) + b"tb"


def python2(data, labels, key=b"labels"):
    numbers = b"](" + b"".join(number(k) for k in labels) + b"e"
    return b"\x80\x02}(" + text(b"batch_label") + text(b"one of 5") + text(key) + numbers + text(b"data") + data + b"u."


def folder(path, files):
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def test_the_writer_of_this_test_is_right():
    pixels, labels = images(2, 0)
    for fortran in (False, True):
        batch = pickle.loads(python2(array(pixels, fortran), labels), encoding="bytes")
        assert np.array_equal(batch[b"data"], pixels)
        assert batch[b"labels"] == labels


def test_cifar_10_binary(tmp_path):
    parts = [images(n, n) for n in (2, 1, 3, 1, 2)]
    test = images(4, 9)
    files = {f"{name}.bin": binary(*part) for name, part in zip(TEN, parts, strict=True)}
    folder(tmp_path, {**files, "test_batch.bin": binary(*test), "batches.meta.txt": b"airplane"})
    found = cifar_images(tmp_path)
    assert found.pixels.dtype == np.float64
    assert np.array_equal(found.pixels, np.concatenate([pixels for pixels, _ in parts]))
    assert found.labels.tolist() == [k for _, labels in parts for k in labels]
    found = cifar_images(str(tmp_path), "test", dtype=np.uint8)
    assert found.pixels.dtype == np.uint8
    assert np.array_equal(found.pixels, test[0])
    assert found.labels.tolist() == test[1]


def test_cifar_100_binary_has_the_fine_labels(tmp_path):
    pixels, coarse = images(3, 0)
    fine = [99, 0, 42]
    folder(tmp_path, {"train.bin": binary(pixels, coarse, fine), "test.bin": binary(pixels[:1], [5], [7])})
    assert cifar_images(tmp_path).labels.tolist() == fine
    assert cifar_images(tmp_path, "test", np.float32).pixels.dtype == np.float32
    assert np.array_equal(cifar_images(tmp_path).pixels, pixels)


@pytest.mark.parametrize("fortran", [False, True])
def test_cifar_10_python(tmp_path, fortran):
    parts = [images(n, n) for n in (2, 1, 3, 1, 2)]
    files = {name: python2(array(part[0], fortran), part[1]) for name, part in zip(TEN, parts, strict=True)}
    found = cifar_images(folder(tmp_path, files))
    assert np.array_equal(found.pixels, np.concatenate([pixels for pixels, _ in parts]))
    assert found.labels.tolist() == [k for _, labels in parts for k in labels]
    found.pixels[0] = 0
    found.labels[0] = 0


def test_cifar_100_python(tmp_path):
    pixels, _ = images(3, 0)
    folder(tmp_path, {"train": python2(array(pixels), [99, 0, 42], b"fine_labels")})
    found = cifar_images(tmp_path, dtype=np.uint8)
    assert np.array_equal(found.pixels, pixels)
    assert found.labels.tolist() == [99, 0, 42]


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_saved_anew_by_python_3_are_read(tmp_path, protocol):
    pixels, labels = images(2, 0)
    folder(tmp_path, {"test_batch": pickle.dumps({b"data": pixels, b"labels": labels}, protocol)})
    found = cifar_images(tmp_path, "test")
    assert np.array_equal(found.pixels, pixels)
    assert found.labels.tolist() == labels


def test_the_binary_version_comes_first(tmp_path):
    pixels, _ = images(1, 0)
    folder(tmp_path, {"test_batch": b"no pickle", "test_batch.bin": binary(pixels, [3])})
    assert cifar_images(tmp_path, "test").labels.tolist() == [3]


# ---- pickles that want more -----------------------------------------------------------------------------------------

RAN = []


def run():
    RAN.append(1)


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "wish",
    [
        Calls(run),
        Calls(eval, "RAN.append(1)"),
        Calls(getattr, "", "join"),
        Calls(np.load, "file"),
        Calls(np.lib.format.open_memmap, "file"),
        Calls,
        np.float64(1.0),
        RuntimeError("x"),
    ],
    ids=["function", "eval", "getattr", "load", "open_memmap", "class", "scalar", "exception"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_asks_for_more_is_refused_and_not_run(tmp_path, wish, protocol):
    pixels, labels = images(1, 0)
    batch = {b"extra": wish, b"data": pixels, b"labels": labels}
    folder(tmp_path, {"test_batch": pickle.dumps(batch, protocol)})
    with pytest.raises(ValueError, match=r"test_batch is refused: it asks for .*take the binary version"):
        cifar_images(tmp_path, "test")
    assert RAN == []


def global_(module, name):
    return b"c" + module + b"\n" + name + b"\n"


RECONSTRUCT = global_(b"numpy.core.multiarray", b"_reconstruct")


@pytest.mark.parametrize(
    "wish",
    [
        RECONSTRUCT + b"}" + text(b"arguments") + b"K\x01sb",  # set an attribute of what stands in for it
        RECONSTRUCT + b"N}" + text(b"__setstate__") + b"K\x01s\x86b",
        global_(b"numpy", b"ndarray") + b")R",  # call, or make, what is only an argument
        global_(b"numpy", b"ndarray") + b")\x81",
        b"(inumpy\nrandom\n",  # the older instruction for an instance
        b"(S'true'\nios\nsystem\n",
        b"Pexternal\n",  # objects from outside the file
        b"\x82\x01",  # the registry of extensions
    ],
)
def test_instructions_that_reach_further_are_refused(tmp_path, wish):
    pixels, labels = images(1, 0)
    good = python2(array(pixels), labels)
    folder(tmp_path, {"test_batch": good.replace(b"\x80\x02}(", b"\x80\x02" + wish + b"0}(", 1)})
    with pytest.raises(ValueError, match="test_batch is refused"):
        cifar_images(tmp_path, "test")
    folder(tmp_path, {"test_batch": good})  # and nothing of it stays
    assert np.array_equal(cifar_images(tmp_path, "test").pixels, pixels)


PIXELS, LABELS = images(2, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Ran out of input"),
        (b"version https://git-lfs.github.com/spec/v1\n", "refused"),
        (python2(array(PIXELS), LABELS)[:-500], "refused"),
        (python2(array(PIXELS), LABELS, key=b"names"), "b'labels'"),
        (python2(array(PIXELS), LABELS[:1]), r"shape \(2, 3072\), with 1 labels"),
        (python2(array(PIXELS[:0]), []), r"shape \(0, 3072\), with 0 labels"),
        (python2(array(PIXELS[:, :1000]), LABELS), r"shape \(2, 1000\), with 2 labels"),
        (python2(array(PIXELS, dtype=b"O8"), LABELS), "no unsigned bytes"),
        (python2(array(PIXELS, dtype=b"f8"), LABELS), "no unsigned bytes"),
        (python2(text(bytes(PIXELS)), LABELS), "refused"),
        (python2(array(PIXELS).replace(number(2) + number(3072), number(3) + number(3072), 1), [1, 2, 3]), "reshape"),
        (pickle.dumps({b"data": PIXELS, b"labels": [1, "2"]}, 4), "labels are no integers"),
        (pickle.dumps({b"data": PIXELS, b"labels": [1, 2**70]}, 4), "refused"),
        (pickle.dumps([PIXELS, LABELS], 4), "refused"),
        (pickle.dumps({b"data": PIXELS.astype(object), b"labels": LABELS}, 4), "no unsigned bytes"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path, content, message):
    folder(tmp_path, {"test_batch": content})
    with pytest.raises(ValueError, match=message):
        cifar_images(tmp_path, "test")


# ---- wrong files and arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_a_binary_file_that_is_cut_off_is_refused(tmp_path, size):
    folder(tmp_path, {"test_batch.bin": bytes(size)})
    with pytest.raises(ValueError, match=f"test_batch.bin has {size} bytes; expected a multiple of 3073"):
        cifar_images(tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "content"),
    [("test_batch.bin", binary(PIXELS, [3, 10])), ("test_batch", python2(array(PIXELS), [-1, 3]))],
)
def test_labels_out_of_range_are_refused(tmp_path, name, content):
    folder(tmp_path, {name: content})
    with pytest.raises(ValueError, match=rf"{name} has labels from .*expected 0 to 9, for CIFAR-10"):
        cifar_images(tmp_path, "test")


def test_a_missing_batch_is_named(tmp_path):
    folder(tmp_path, {f"{name}.bin": binary(*images(1, 0)) for name in TEN if name != "data_batch_4"})
    with pytest.raises(FileNotFoundError, match=r"without data_batch_4.bin; expected all of data_batch_1.bin, "):
        cifar_images(tmp_path)


def test_a_folder_without_the_files_says_what_is_expected(tmp_path):
    (tmp_path / "test").mkdir()  # as folders of images have it
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"`folder` is .*CIFAR-10, binary: data_batch_1.bin, .*test_batch"):
            cifar_images(path, "test")


def test_arguments_are_named(tmp_path):
    with pytest.raises(TypeError, match=r"`folder` is None .*expected a path"):
        cifar_images(None)
    with pytest.raises(ValueError, match="`part` is 'validation'; expected one of 'train', 'test'"):
        cifar_images(tmp_path, "validation")
    with pytest.raises(TypeError, match="`dtype` is"):
        cifar_images(tmp_path, dtype=np.int64)
