"""The one comparison that every test of a path uses."""

import numpy as np
import pytest

EPS = float(np.finfo(np.float64).eps)
# The rounding errors of a backward stable solver are a small multiple of eps times the condition number: this one.
FACTOR = 200.0
# Beyond this expected relative error, agreement says nothing.
MEANINGLESS = 1e-2
ILL_CONDITIONED = 1e8


def as_columns(values, count):
    """Return an array over widths with a target axis."""
    values = np.asarray(values, dtype=np.float64)
    return values.reshape(count, -1)


def status_words(path):
    """Return the status of each width as a plain string, from strings or an enum."""
    return [str(getattr(status, "value", status)) for status in np.asarray(path.status, dtype=object)]


def _check_status(word, truth_rank, full_rank, kappa, penalty_is_zero):
    if penalty_is_zero and truth_rank < full_rank:
        assert word == "rank-deficient"
    elif kappa > 1.3 * ILL_CONDITIONED:
        assert word in ("ill-conditioned", "rank-deficient")
    elif kappa * full_rank < 0.9 * ILL_CONDITIONED:
        assert word == "ok"


def _assert_matches(path, truth, y, y_test, *, ridge=0.0, eps=EPS, ill_conditioned=False, leave_one_out=True):
    """Compare every field at every width with the truth, to the rounding error that the condition number allows.

    Fails where that error is too large for a comparison to mean anything, unless ``ill_conditioned`` expects it: every
    value must still be finite there. Returns the number of widths compared.
    """
    count, n, m = len(truth.widths), len(y), len(y_test)
    targets = 1 if np.ndim(y) == 1 else np.shape(y)[1]
    assert np.array_equal(np.asarray(path.widths), truth.widths)
    shape = (count,) if np.ndim(y) == 1 else (count, targets)
    for name in ("train_error", "test_error", "coefficient_norm", "leave_one_out_error"):
        assert np.shape(getattr(path, name)) == shape, name
        assert np.all(np.isfinite(np.asarray(getattr(path, name)))), name
    for name in ("degrees_of_freedom", "condition", "rank", "status"):
        assert np.shape(getattr(path, name)) == (count,), name
    assert np.all(np.isfinite(np.asarray(path.degrees_of_freedom)))
    assert not np.any(np.isnan(np.asarray(path.condition)))

    field = {
        name: as_columns(getattr(path, name), count)
        for name in ("train_error", "test_error", "coefficient_norm", "leave_one_out_error")
    }
    true = {name: as_columns(getattr(truth, name), count) for name in field}
    true_predictions = truth.predictions.reshape(count, m, targets)
    y_rms = np.sqrt(np.mean(np.asarray(y, dtype=np.float64).reshape(n, targets) ** 2, axis=0))
    y_test_rms = np.sqrt(np.mean(np.asarray(y_test, dtype=np.float64).reshape(m, -1) ** 2, axis=0))
    words, compared = status_words(path), 0

    for i, N in enumerate(truth.widths):
        kappa, rank, full_rank = float(truth.condition[i]), int(truth.rank[i]), min(n, int(N))
        if ridge > 0.0:
            # The n x n dual may be used from width 1 on where its condition number stays below 1e4, and a width
            # shares the errors of its block.
            kappa = max(kappa, min(1e4, float(np.nanmax(truth.dual_condition))))
        where = f"width {N}, n = {n}, condition {kappa:.2g}, rank {rank}, ridge {ridge}"
        tolerance = FACTOR * eps * kappa
        if not tolerance <= MEANINGLESS:
            assert ill_conditioned, f"the test itself: {where}"
            assert kappa < 1.3 * ILL_CONDITIONED or words[i] != "ok", where
            continue
        compared += 1
        _check_status(words[i], rank, full_rank, kappa, ridge == 0.0)
        if ridge == 0.0:
            assert path.rank[i] == rank, where
        else:  # the stacked matrix may count as of full rank
            assert rank <= path.rank[i] <= full_rank, where
        if rank > 0:
            assert (
                float(truth.condition[i]) / 1.001
                <= path.condition[i]
                <= 1.001 * (full_rank if ridge == 0.0 else n) * kappa
            ), where
        freedom_error = abs(path.degrees_of_freedom[i] - truth.degrees_of_freedom[i])
        assert freedom_error <= tolerance * max(rank, 1), where

        prediction_rms = np.sqrt(np.mean(true_predictions[i] ** 2, axis=0))
        allowed = tolerance * (prediction_rms + y_rms)
        if ridge > 0.0 and rank < full_rank:
            # The ridge alone decides between dependent features, and a least-squares solution with a residual moves by
            # eps kappa^2 times the residual there, whatever the algorithm.
            allowed = allowed + FACTOR * eps * kappa**2 * np.sqrt(true["train_error"][i])
        if path.predictions is not None:
            assert np.shape(path.predictions) == (*shape[:1], m, *shape[1:])
            difference = np.asarray(path.predictions[i], dtype=np.float64).reshape(m, targets) - true_predictions[i]
            assert np.all(np.sqrt(np.mean(difference**2, axis=0)) <= allowed), where
        assert np.all(np.abs(field["train_error"][i] - true["train_error"][i]) <= tolerance * y_rms**2), where
        root_error = np.abs(np.sqrt(field["test_error"][i]) - np.sqrt(true["test_error"][i]))
        assert np.all(root_error <= allowed + tolerance * y_test_rms), where

        # |a| also moves by the residual over the smallest singular value: perturbation theory of least squares.
        residual = np.sqrt(n * true["train_error"][i])
        smallest = truth.largest[i] / kappa if truth.largest[i] > 0 else 1.0
        norm_error = np.abs(field["coefficient_norm"][i] - true["coefficient_norm"][i])
        assert np.all(norm_error <= tolerance * (true["coefficient_norm"][i] + residual / smallest)), where

        # 1 - h divides; without a ridge it is of the order of the squared ratio of two condition numbers.
        if leave_one_out:
            # Also, the diagonal of K^-1 may fall by 1e3 before it is computed afresh: 1e3 eps, five times FACTOR.
            grown = max(truth.refit_condition[i] ** 2, kappa**2, 1.0 / truth.spare[i], 5.0)
            refit_tolerance = FACTOR * eps * grown
            if not refit_tolerance <= MEANINGLESS:
                continue
            loo_error = np.abs(field["leave_one_out_error"][i] - true["leave_one_out_error"][i])
            assert np.all(loo_error <= refit_tolerance * (true["leave_one_out_error"][i] + y_rms**2)), where
    return compared


def _assert_same(path, other, rtol=1e-8, leave_one_out_rtol=1e-6):
    """Compare two paths field by field, in units of their own largest value over the widths."""
    for name in ("train_error", "test_error", "coefficient_norm", "leave_one_out_error", "degrees_of_freedom"):
        a, b = np.asarray(getattr(path, name)), np.asarray(getattr(other, name))
        scale = np.max(np.abs(b))
        tolerance = leave_one_out_rtol if name == "leave_one_out_error" else rtol
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-12 * scale, err_msg=name)
    assert np.array_equal(np.asarray(path.rank), np.asarray(other.rank))
    assert status_words(path) == status_words(other)


@pytest.fixture(scope="session")
def assert_matches():
    return _assert_matches


@pytest.fixture(scope="session")
def assert_same():
    return _assert_same


@pytest.fixture(scope="session")
def words():
    return status_words
