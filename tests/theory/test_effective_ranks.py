import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.theory import benign_overfitting as bo


def sorted_spectra():
    numbers = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30)
    return numbers.map(lambda values: np.sort(values)[::-1])


@given(sorted_spectra())
def test_effective_ranks_are_their_definition(spectrum):
    found = bo.effective_ranks(spectrum)
    for k in range(len(spectrum)):
        tail = spectrum[k:]
        assert found.r[k] == pytest.approx(tail.sum() / tail[0], rel=1e-12)
        assert found.R[k] == pytest.approx(tail.sum() ** 2 / (tail**2).sum(), rel=1e-12)
    # Lemma 5 of Bartlett et al.
    assert (found.r <= found.R * (1 + 1e-12)).all()
    assert (found.r**2 >= found.R * (1 - 1e-12)).all()


@given(sorted_spectra(), st.integers(1, 40), st.floats(0.1, 3.0), st.sampled_from([0.0, 0.01, 10.0]))
def test_the_critical_rank_is_the_first_of_all(spectrum, n, factor, ridge):
    wide = [k for k in range(len(spectrum)) if n * ridge + spectrum[k:].sum() >= factor * n * spectrum[k] * (1 + 1e-9)]
    close = [k for k in range(len(spectrum)) if n * ridge + spectrum[k:].sum() >= factor * n * spectrum[k] * (1 - 1e-9)]
    none = len(spectrum) if ridge else np.inf
    found = bo.critical_rank(spectrum, n, ridge, factor)
    assert found in (min(wide, default=none), min(close, default=none))


def test_ranks_of_a_spectrum_whose_squares_leave_the_range_of_floats():
    tail = 1 / (1 - np.exp(-1))
    found = bo.effective_ranks(np.exp(-np.arange(700.0)))
    assert found.r[:600] == pytest.approx(np.full(600, tail), rel=1e-10)
    assert found.R[:600] == pytest.approx(np.full(600, tail**2 * (1 - np.exp(-2))), rel=1e-10)
    assert pytest.approx(np.arange(10.0, 0, -1), rel=1e-12) == bo.effective_ranks(np.full(10, 1e308)).R


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bo.effective_ranks([1.0, 2.0]), r"eigenvalues: got 1 before 2 .*sort"),
        (lambda: bo.effective_ranks([1.0, -2.0]), "eigenvalues: got -2"),
        (lambda: bo.effective_ranks([0.0, 0.0]), "eigenvalues: got zeros only"),
        (lambda: bo.effective_ranks([np.inf, 1.0]), "eigenvalues: got inf"),
        (lambda: bo.effective_ranks([]), "eigenvalues: got shape"),
        (lambda: bo.critical_rank([1.0], 0), "n: got 0"),
        (lambda: bo.critical_rank([1.0], 1, factor=0.0), "factor: got 0"),
    ],
)
def test_bad_parameters_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_ranks_become_a_dictionary():
    assert list(bo.effective_ranks([1.0]).to_dict()) == ["r", "R"]
