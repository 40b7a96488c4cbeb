"""The study of memorisation: counts, neighbours and slopes against plain ones, and labels that are drawn anew."""

import numpy as np
import pandas as pd
import pytest

from pyphenom.phenomena import memorization as phenomenon
from pyphenom.phenomena.memorization import GAUSSIAN, RANDOM, SAME_DATA, THEOREM, TRUE, study
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def few(monkeypatch):
    """Build few and small interpolants: numbers are a matter of the quick preset, rows of this file."""
    monkeypatch.setattr(phenomenon, "COUNTS", (20, 40))
    monkeypatch.setattr(phenomenon, "REPEATS", dict.fromkeys(THEOREM, 2))
    monkeypatch.setattr(phenomenon, "SHARE", 1)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", [*THEOREM, *SAME_DATA])
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(few, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


def test_replicates_and_repeats_draw_labels_of_their_own():
    drawn = [phenomenon._signs(64, streams(k), repeat) for k in range(4) for repeat in range(3)]
    assert len({tuple(labels) for labels in drawn}) == 12  # two of 2^64 agree


def test_each_draw_of_gaussian_inputs_serves_so_many_directions(few, monkeypatch):
    """What is projected is watched, and labels; the networks are those of the first draw."""
    monkeypatch.setattr(phenomenon, "REPEATS", {GAUSSIAN: 6})
    monkeypatch.setattr(phenomenon, "SHARE", 2)
    built, seen, build, steepest = [], [], phenomenon.interpolation.relu_interpolant, phenomenon._steepest

    def watched(X, y, **options):
        built.append((len(X), X.tobytes(), y.tobytes(), options["seed"]))
        return build(X, y, **options)

    def projected(projections, labels):
        seen.extend((z.tobytes(), y.tobytes()) for z, y in zip(projections.T, labels.T, strict=True))
        return steepest(projections, labels)

    monkeypatch.setattr(phenomenon.interpolation, "relu_interpolant", watched)
    monkeypatch.setattr(phenomenon, "_steepest", projected)
    rows = [measured(GAUSSIAN, replicate) for replicate in range(2)]
    largest = [each for each in built if each[0] == 40]
    assert [len(set(part)) for part in zip(*largest, strict=True)] == [1, 2, 2 * 2, 2 * 2]
    assert [len(set(part)) for part in zip(*seen, strict=True)] == [2 * 4, 2 * 4]
    assert all(np.isfinite(values(each, "test_error")).all() for each in rows)


def test_slopes_are_those_of_the_networks_that_are_not_built(few):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 5)), rng.choice([-1.0, 1.0], (40, 3))
    built = [[phenomenon.interpolation.relu_interpolant(X[:n], y[:n, k], candidates=1, seed=k) for k in range(3)]
             for n in (20, 40)]  # fmt: skip
    projections = np.column_stack([X @ f.direction for f in built[0]])
    expected = [[f.lipschitz for f in each] for each in built]
    np.testing.assert_allclose(phenomenon._steepest(projections, y), expected, rtol=1e-9)


def test_test_labels_are_the_true_ones():
    """Images tell their parity by a table of all of them."""
    images = phenomenon.data.digits()
    truth = {row.tobytes(): 1.0 - 2.0 * (label % 2) for row, label in zip(images.pixels, images.labels, strict=True)}
    X, y, X_test, y_test = phenomenon._digits(300, streams())
    assert [truth[(16 * row).tobytes()] for row in X] == y.tolist()
    assert [truth[(16 * row).tobytes()] for row in X_test] == y_test.tolist()
    assert len(X) + len(X_test) == len(images)


def test_only_random_labels_differ_between_the_arms_on_digits(few):
    true, random = measured(TRUE), measured(RANDOM)
    assert not np.array_equal(values(true, "test_error"), values(random, "test_error"))
    for rows in (true, random):
        for quantity in ("misfit", "spare_weights", "unlike_neighbour"):
            np.testing.assert_array_equal(values(rows, quantity), 0.0)


def test_a_unit_too_many_is_counted(few, monkeypatch):
    class OneMore:
        def __init__(self, f):
            self._f = f

        def __getattr__(self, name):
            return getattr(self._f, name)

        def __call__(self, X):
            return self._f(X)

        @property
        def parameters(self):
            a, b, v = self._f.parameters
            return type(self._f.parameters)(a, np.append(b, 1e9), np.append(v, 1.0))

    build = phenomenon.interpolation.relu_interpolant
    monkeypatch.setattr(phenomenon.interpolation, "relu_interpolant", lambda *a, **o: OneMore(build(*a, **o)))
    assert (values(measured(TRUE), "spare_weights") == 2.0).all()


def test_the_mean_log_lipschitz_constant_is_that_of_sorted_draws():
    """The steepest piece of a line through sorted normal draws, in three lines of NumPy; 6 standard errors of 0.02."""
    rng, n = np.random.default_rng(0), 60
    z = np.sort(rng.standard_normal((4000, n)), axis=1)
    y = rng.choice([-1.0, 1.0], z.shape)
    steepest = np.log(np.abs(np.diff(y) / np.diff(z)).max(axis=1))
    assert steepest.mean() == pytest.approx(phenomenon._log_lipschitz(np.array([n]))[0], abs=0.12)


def test_one_unit_less_leaves_a_label_out():
    """Unless the unit had no weight, which happens where three labels in a row are equal."""
    off = [phenomenon._one_unit_less(streams(k))["one_unit_less"] for k in range(8)]
    assert max(off) > 0.1


def test_ranks_of_known_numbers():
    losses, stray = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [1.0, 3.0, 2.0, 4.0, 5.0, 6.0]
    tables = [
        pd.DataFrame({"arm": SAME_DATA, "weights": [2, 1, 4, 3, 6, 5], "quantity": name, "value": numbers})
        for name, numbers in (("test_loss", losses), ("stray", stray))
    ]
    rows = pd.concat(tables).assign(replicate=0)
    # 1 - 6 sum(d^2) / (n (n^2 - 1)), with d^2 = 1 twice, and six times.
    assert phenomenon._order("stray")(rows) == pytest.approx([1 - 12 / 210])
    assert phenomenon._order("weights")(rows) == pytest.approx([1 - 36 / 210])


def test_the_guard_sees_what_does_not_interpolate():
    (guard,) = study.guards
    rows = pd.DataFrame({"arm": [SAME_DATA[0]], "quantity": ["misfit"], "replicate": [0], "value": [1e-9]})
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=1e-3))
    assert guard.violation(rows.assign(value=np.nan))


def test_every_point_that_has_a_theory_is_predicted(few):
    predicted = phenomenon.predict((), pd.DataFrame())
    for arm, quantity in ((GAUSSIAN, "log_lipschitz"), (RANDOM, "test_error")):
        theory = predicted[(predicted["arm"] == arm) & (predicted["quantity"] == quantity)]
        assert theory["n"].tolist() == [20, 40]


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert {words[name] for name in ("interpolates", "literal", "count", "neighbour")} == {"CONFIRMED"}
    assert words["one-unit-less"] == "REFUTED"
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
