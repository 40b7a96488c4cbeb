import subprocess
import sys

import numpy as np
import pytest
import torch

from pyphenom import _arrays
from pyphenom._arrays import as_float, as_integer, as_numeric, as_real, is_tensor, one_of, restore


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.bool_, np.float16, np.float32, np.float64])
def test_numbers_become_float64(dtype):
    array = as_float("x", np.array([[0, 1]], dtype=dtype), (2,))
    assert array.dtype == np.float64
    assert array.tolist() == [[0.0, 1.0]]


def test_float32_stays_where_asked():
    assert as_float("x", np.ones(3, np.float32), (1,), keep_float32=True).dtype == np.float32
    assert as_float("x", np.ones(3, np.float64), (1,), keep_float32=True).dtype == np.float64
    assert as_float("x", np.ones(3, np.int32), (1,), keep_float32=True).dtype == np.float64


def test_a_fitting_array_is_not_copied():
    x = np.ones((3, 4))
    assert as_float("x", x, (2,)) is x
    tensor = torch.ones(3, dtype=torch.float64)
    assert np.shares_memory(as_float("x", tensor, (1,)), tensor.numpy())


def test_numbers_stay_as_they_are():
    for x in (np.ones((4, 6), np.uint8), np.ones((4, 6), np.float32).T, np.full((1, 1), np.nan)):
        assert as_numeric("x", x, (2,)) is x
    tensor = torch.ones(3, dtype=torch.int64)
    assert np.shares_memory(as_numeric("x", tensor, (1,)), tensor.numpy())
    with pytest.raises(TypeError, match="`x`"):
        as_numeric("x", "text", (1,))
    with pytest.raises(ValueError, match="`x` is empty"):
        as_numeric("x", [], (1,))


def test_any_layout_becomes_c_ordered():
    x = np.arange(24.0).reshape(4, 6)
    for view in (x.T, x[:, ::2], x[::-1], np.asfortranarray(x)):
        array = as_float("x", view, (2,))
        assert array.flags.c_contiguous
        assert np.array_equal(array, view)


def test_tensors_come_and_go_as_tensors():
    tensor = torch.tensor([1.0, 2.0], requires_grad=True)
    array = as_float("x", tensor, (1,))
    assert type(array) is np.ndarray
    back = restore(array, like=tensor)
    assert isinstance(back, torch.Tensor)
    assert back.tolist() == [1.0, 2.0]
    assert restore(array, like=[1.0]) is array


def test_a_tensor_elsewhere_is_refused():
    with pytest.raises(TypeError, match=r"`x` is a tensor on meta.*x\.cpu\(\)"):
        as_float("x", torch.empty(3, device="meta"), (1,))


def test_a_tensor_is_told_without_importing_torch(tmp_path):
    assert is_tensor(torch.zeros(1))
    assert not is_tensor(np.zeros(1))
    code = (
        "import sys; from pyphenom import _arrays; "
        "assert not _arrays.is_tensor([1.0]); assert _arrays.restore(1, like=2) == 1; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("bad", ["text", [1j], [object()], [[1.0], [1.0, 2.0]], None, ["1.0"]])
def test_what_is_no_number_is_a_type_error(bad):
    with pytest.raises(TypeError, match="`weights`"):
        as_float("weights", bad, (0, 1, 2))


def test_dimensions_are_named():
    with pytest.raises(ValueError, match=r"`x` has shape \(2, 2\); expected 1 or 3 dimensions"):
        as_float("x", np.ones((2, 2)), (1, 3))


def test_empty_is_refused():
    with pytest.raises(ValueError, match=r"`x` is empty \(shape \(0, 3\)\)"):
        as_float("x", np.ones((0, 3)), (2,))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_entry_that_is_not_finite_is_named(bad, dtype):
    x = np.ones((3, 4), dtype)
    x[1, 2] = x[2, 0] = bad
    with pytest.raises(ValueError, match=rf"`x` holds {bad} at index \(1, 2\)"):
        as_float("x", x, (2,), keep_float32=True)


def test_infinities_that_cancel_are_found():
    with pytest.raises(ValueError, match=r"`x` holds inf at index \(0,\)"):
        as_float("x", [np.inf, -np.inf], (1,))


def test_large_finite_numbers_whose_sum_overflows_are_finite():
    x = np.full(4, 1e308)
    assert as_float("x", x, (1,)) is x


def test_integers():
    for good in (3, np.int64(3), np.uint8(3)):
        number = as_integer("n", good, 1, 5)
        assert number == 3
        assert type(number) is int
    for bad in (3.0, True, "3", np.bool_(True), None):
        with pytest.raises(TypeError, match=r"`n` is .*expected an integer >= 1"):
            as_integer("n", bad, 1)
    with pytest.raises(ValueError, match="`n` is 0; expected an integer >= 1"):
        as_integer("n", 0, 1)
    with pytest.raises(ValueError, match=r"`n` is 6; expected an integer in \[1, 5\]"):
        as_integer("n", 6, 1, 5)
    assert (as_integer("n", 1, 1, 5), as_integer("n", 5, 1, 5)) == (1, 5)


def test_reals():
    for good in (2, 2.0, np.float32(2.0), np.int8(2)):
        number = as_real("ridge", good)
        assert number == 2.0
        assert type(number) is float
    assert as_real("ridge", 0.0) == 0.0
    for bad in ("2", True, 1j, None, np.ones(1)):
        with pytest.raises(TypeError, match=r"`ridge` is .*expected a real number >= 0"):
            as_real("ridge", bad)
    for bad in (-1e-300, np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"`ridge` is .*expected a finite number >= 0"):
            as_real("ridge", bad)
    assert as_real("x", -1.0, low=-2.0) == -1.0


def test_one_of_words():
    assert one_of("activation", "relu", ("relu", "tanh")) == "relu"
    for bad in ("Relu", "", 3, None):
        with pytest.raises(ValueError, match=r"`activation` is .*; expected one of 'relu', 'tanh'"):
            one_of("activation", bad, ("relu", "tanh"))


def test_every_helper_is_tested_here():
    helpers = {name for name, value in vars(_arrays).items() if getattr(value, "__module__", "") == _arrays.__name__}
    tested = {"as_float", "as_integer", "as_numeric", "as_real", "is_tensor", "one_of", "restore"}
    assert helpers - {"Float", "Progress"} == tested
