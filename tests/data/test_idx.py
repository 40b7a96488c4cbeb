import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pyphenom.data import idx_images

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 2, 3) * 11
LABELS = np.array([7, 0, 255, 7], np.uint8)


def idx(array, magic=(0, 0, 8)):
    return bytes([*magic, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + bytes(array.ravel())


def write(folder, images=None, labels=None):
    (folder / "images").write_bytes(idx(PIXELS) if images is None else images)
    (folder / "labels").write_bytes(idx(LABELS) if labels is None else labels)
    return folder / "images", folder / "labels"


@given(st.data())
def test_files_come_back_as_they_were_written(tmp_path_factory, data):
    pixels = data.draw(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3)))
    labels = data.draw(arrays(np.uint8, len(pixels)))
    found = idx_images(*write(tmp_path_factory.mktemp("idx"), idx(pixels), idx(labels)))
    assert found.pixels.tolist() == [[float(v) for row in image for v in row] for image in pixels.tolist()]
    assert found.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("packed", ["images", "labels"])
def test_gzip_is_seen_by_its_content(tmp_path, packed):
    write(tmp_path)
    (tmp_path / packed).write_bytes(gzip.compress((tmp_path / packed).read_bytes()))
    found = idx_images(str(tmp_path / "images"), tmp_path / "labels")
    assert np.array_equal(found.pixels, PIXELS.reshape(4, 6))
    assert np.array_equal(found.labels, LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, "float32", np.float64])
def test_pixels_have_the_type_asked_for(tmp_path, dtype):
    found = idx_images(*write(tmp_path), dtype=dtype)
    assert found.pixels.dtype == dtype
    assert found.labels.dtype == np.int64
    found.pixels[0] = 1  # not a view of the file's bytes, which would be read-only
    found.labels[0] = 1


@pytest.mark.parametrize("dtype", [None, int, np.int8, "bytes", ">f4", complex])
def test_other_types_are_refused(tmp_path, dtype):
    with pytest.raises(TypeError, match=r"`dtype` is .*expected numpy.uint8, numpy.float32 or numpy.float64"):
        idx_images(*write(tmp_path), dtype=dtype)


def test_swapped_files_are_noticed(tmp_path):
    images, labels = write(tmp_path)
    with pytest.raises(ValueError, match=r"`labels`: .*00 00 08 03; expected 00 00 08 01, .*Check which file"):
        idx_images(labels, images)


@pytest.mark.parametrize(
    ("start", "shown"),
    [(b"", r"\(none\)"), (b"\x00\x00", "00 00"), (bytes([0, 0, 13, 3]), "00 00 0d 03"), (b"PNG!", "50 4e 47 21")],
)
def test_a_wrong_magic_number_is_shown(tmp_path, start, shown):
    with pytest.raises(ValueError, match=rf"`images`: .* starts with the bytes {shown}; expected 00 00 08 03"):
        idx_images(*write(tmp_path, images=start + idx(PIXELS)[4:] if len(start) == 4 else start))


@pytest.mark.parametrize("cut", [4, 15, 16, 39])
def test_a_file_that_is_cut_off_is_refused(tmp_path, cut):
    with pytest.raises(ValueError, match=rf"`images`: .* has {cut} bytes, unpacked; expected (at least 16|40, for)"):
        idx_images(*write(tmp_path, images=idx(PIXELS)[:cut]))


def test_a_file_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`labels`: .* has 13 bytes, unpacked; expected 12, for the shape \(4,\)"):
        idx_images(*write(tmp_path, labels=idx(LABELS) + b"!"))


def test_sizes_that_no_memory_holds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected 79228162458924105385300197391, for"):
        idx_images(*write(tmp_path, images=bytes([0, 0, 8, 3]) + b"\xff" * 12))


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:12] + b"\xff" + b[13:], lambda b: b + b"!"])
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    with pytest.raises(ValueError, match=r"`images`: .* is damaged .*expected a gzip file"):
        idx_images(*write(tmp_path, images=damage(gzip.compress(idx(PIXELS)))))


def test_counts_have_to_match(tmp_path):
    with pytest.raises(ValueError, match="`images` holds 4 images and `labels` 3 labels"):
        idx_images(*write(tmp_path, labels=idx(LABELS[:3])))


def test_empty_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`images`: .* is empty \(shape \(0, 2, 3\)\)"):
        idx_images(*write(tmp_path, idx(PIXELS[:0]), idx(LABELS[:1])))


def test_a_missing_file_says_what_is_expected(tmp_path):
    images, _ = write(tmp_path)
    for path in (tmp_path / "other", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"`labels` is .*expected .*train-labels-idx1-ubyte.gz"):
            idx_images(images, path)


def test_a_path_is_a_path(tmp_path):
    with pytest.raises(TypeError, match=r"`images` is 3 .*expected a path"):
        idx_images(3, write(tmp_path)[1])
