"""Wrong input: a ValueError or TypeError that names the argument, before any work."""

import re

import numpy as np
import pytest
import torch

import pyphenom as ph

N_TRAIN, N_TEST, DIMENSION, COLUMNS = 6, 4, 3, 10


def refused(naming, function, /, *args, **kwargs):
    """Assert that the call is refused with a message naming (one of) the arguments."""
    names = "|".join(re.escape(name) for name in naming.split("|"))
    with pytest.raises((ValueError, TypeError), match=rf"(?<!\w)({names})(?!\w)") as caught:
        function(*args, **kwargs)
    assert len(str(caught.value)) > len(naming) + 5  # a sentence, not only a name


def arguments(face, **changes):
    """Return the function and a good set of its arguments, with the changes put in."""
    rng = np.random.default_rng(0)
    if face == "features":
        good = {"X": rng.normal(size=(N_TRAIN, DIMENSION)), "width": 5}
    elif face == "weights":
        good = {"dimension": DIMENSION, "width": 5}
    else:
        inputs, d = ("X", DIMENSION) if face == "width_path" else ("Z", COLUMNS)
        good = {
            inputs: rng.normal(size=(N_TRAIN, d)),
            "y": rng.normal(size=N_TRAIN),
            f"{inputs}_test": rng.normal(size=(N_TEST, d)),
            "y_test": rng.normal(size=N_TEST),
            "widths": [2, 9],
        }
    return getattr(ph.random_features, face), {**good, **changes}


def refuse(face, naming, **changes):
    function, good = arguments(face, **changes)
    refused(naming, function, **good)


@pytest.mark.parametrize("face", ["features", "weights", "width_path", "nested_path"])
def test_the_good_arguments_are_good(face):
    function, good = arguments(face)
    function(**good)


MATRICES = [
    ("features", "X"),
    ("width_path", "X"),
    ("width_path", "X_test"),
    ("nested_path", "Z"),
    ("nested_path", "Z_test"),
]
TARGETS = [("width_path", "y"), ("width_path", "y_test"), ("nested_path", "y"), ("nested_path", "y_test")]


@pytest.mark.parametrize(("face", "name"), MATRICES + TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(face, name, dtype, bad):
    # In every position: a check that looks at the ends, or at a sum in which inf - inf hides nothing, is not enough.
    for position in (0, 3, -1):
        array = arguments(face)[1][name].astype(dtype)
        array.flat[position] = bad
        refuse(face, name, **{name: array})


@pytest.mark.parametrize(("face", "name"), MATRICES)
def test_not_a_matrix(face, name):
    good = arguments(face)[1][name]
    for bad in (good[0], good[None], np.float64(1.0), good[:0], good[:, :0], np.zeros((0, 0))):
        refuse(face, name, **{name: bad})


@pytest.mark.parametrize(("face", "name"), TARGETS)
def test_not_a_target(face, name):
    good = arguments(face)[1][name]
    for bad in (good[:, None, None], np.float64(1.0), good[:0], np.zeros((len(good), 0))):
        refuse(face, name, **{name: bad})


@pytest.mark.parametrize(("face", "name"), MATRICES + TARGETS)
def test_not_real_numbers(face, name):
    good = arguments(face)[1][name]
    words = np.full(good.shape, "one")
    for bad in (good.astype(complex), good.astype(object), words, good.astype("datetime64[s]"), None, "data"):
        refuse(face, name, **{name: bad})


@pytest.mark.parametrize(("face", "name"), MATRICES)
def test_torch_tensors_that_cannot_be_used(face, name):
    good = torch.from_numpy(arguments(face)[1][name])
    for bad in (good.to(torch.complex128), good * float("nan"), good[:0], good[None]):
        refuse(face, name, **{name: bad})


@pytest.mark.parametrize(("face", "inputs"), [("width_path", "X"), ("nested_path", "Z")])
def test_shapes_that_do_not_fit(face, inputs):
    good = arguments(face)[1]
    refuse(face, f"{inputs}|y", y=good["y"][:-1])
    refuse(face, f"{inputs}|y", **{inputs: good[inputs][:-1]})
    refuse(face, f"{inputs}_test|y_test", y_test=good["y_test"][:-1])
    refuse(face, f"{inputs}_test", **{f"{inputs}_test": good[f"{inputs}_test"][:, :-1]})
    two, three = np.zeros((N_TRAIN, 2)), np.zeros((N_TEST, 3))
    refuse(face, "y_test", y=two, y_test=three)
    refuse(face, "y_test", y_test=three)
    # One row of n targets is not n rows of one.
    refuse(face, "y", y=good["y"][None, :])


@pytest.mark.parametrize("face", ["features", "weights"])
@pytest.mark.parametrize("bad", [0, -1, 2.5, "5", None, [5], np.nan])
def test_width(face, bad):
    refuse(face, "width", width=bad)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "3", None])
def test_dimension(bad):
    refuse("weights", "dimension", dimension=bad)


@pytest.mark.parametrize("face", ["width_path", "nested_path"])
@pytest.mark.parametrize(
    "bad", [[], [0], [3, 0, 5], [-1], [2.5], [2, "3"], [None], None, "abc", np.array([1.5, 2.0]), [np.nan]]
)
def test_widths(face, bad):
    refuse(face, "widths", widths=bad)


@pytest.mark.parametrize("face", ["width_path", "nested_path"])
def test_widths_in_two_dimensions(face):
    refuse(face, "widths", widths=np.array([[1, 2], [3, 4]]))


def test_widths_beyond_the_columns():
    refuse("nested_path", "widths", widths=[2, COLUMNS + 1])


@pytest.mark.parametrize("face", ["width_path", "nested_path"])
@pytest.mark.parametrize("bad", [-1.0, -1e-300, np.nan, np.inf, "1", None, 1j])
def test_ridge(face, bad):
    refuse(face, "ridge", ridge=bad)


@pytest.mark.parametrize("face", ["width_path", "nested_path"])
@pytest.mark.parametrize("bad", ["none", "Fixed", None, 1])
def test_ridge_scaling(face, bad):
    refuse(face, "ridge_scaling", ridge_scaling=bad)


@pytest.mark.parametrize("face", ["width_path", "nested_path"])
def test_progress(face):
    refuse(face, "progress", progress=3)


DRAWING = ["features", "weights", "width_path"]


@pytest.mark.parametrize("face", DRAWING)
@pytest.mark.parametrize("bad", ["swish", "ReLU", "", None, 3])
def test_activation(face, bad):
    refuse(face, "activation", activation=bad)


@pytest.mark.parametrize("face", DRAWING)
@pytest.mark.parametrize("bad", ["normal", "Gaussian", None])
def test_distribution(face, bad):
    refuse(face, "distribution", distribution=bad)


@pytest.mark.parametrize("face", DRAWING)
@pytest.mark.parametrize("bad", [-1, 2**64, 2**200, 1.5, "1", None])
def test_seed(face, bad):
    refuse(face, "seed", seed=bad)


@pytest.mark.parametrize("face", ["features", "weights"])
@pytest.mark.parametrize("bad", [-1, 2**64, 1.5, "1", None])
def test_first(face, bad):
    refuse(face, "first", first=bad)


@pytest.mark.parametrize("face", ["features", "weights"])
def test_features_past_the_end_of_the_stream(face):
    # Feature numbers are 64 bits: going round would repeat feature 0.
    refuse(face, "first|width", first=2**64 - 2)


@pytest.mark.parametrize("face", DRAWING)
@pytest.mark.parametrize("bad", [np.nan, np.inf, "1", None, 1j])
def test_bias_scale(face, bad):
    refuse(face, "bias_scale", bias_scale=bad)


@pytest.mark.parametrize("bad", [np.int64, np.float16, complex, "word"])
def test_dtype(bad):
    refuse("weights", "dtype", dtype=bad)


def test_an_unknown_argument():
    for face in ("features", "weights", "width_path", "nested_path"):
        function, good = arguments(face)
        with pytest.raises(TypeError):
            function(**good, ridgee=1.0)
