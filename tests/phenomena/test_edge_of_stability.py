"""The study of the edge of stability: its summaries, its closed forms, and guards that see."""

import numpy as np
import pandas as pd
import pytest

from pyphenom.networks import Descent
from pyphenom.phenomena import edge_of_stability as phenomenon
from pyphenom.phenomena.edge_of_stability import CATAPULT, FLOW, MINIMAL, POLYAK, study
from pyphenom.studies import Cell, Streams


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def test_the_summary_of_a_known_run():
    run = Descent(list(np.linspace(2.0, 1.0, 101)), list(range(0, 101, 10)), [1.0] * 5 + [3.0] * 6)
    numbers = phenomenon._summary(run, 0.5, 2.0)
    numbers = numbers[numbers["quantity"] != "sharpness"].set_index("quantity")["value"]
    assert numbers["plateau"] == 1.5
    assert numbers["crossing"] == 0.5 * 50
    assert numbers["late"] == pytest.approx(50 / 101)
    assert numbers["rises"] == 0.0
    assert numbers["fall"] == pytest.approx(np.log(1.06 / 1.44), abs=0.02)  # medians of the quarters from 1.5 to 1
    run.losses[60] = 9.0
    assert phenomenon._summary(run, 0.5, 2.0).set_index("quantity")["value"]["rises"] == pytest.approx(1 / 50)


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_a_run_that_never_crosses_says_so(limit):
    run = Descent([1.0] * 8, [0, 4], [1.0, 1.0])
    numbers = phenomenon._summary(run, 0.5, limit).set_index("quantity")["value"]
    assert np.isinf(numbers["crossing"]) == (limit == 100.0)


def test_the_catapult_follows_its_recursion():
    rows = phenomenon.measure(Cell(CATAPULT, {}, 0), streams())
    table = rows.set_index(["rate", "quantity"])["value"].unstack("quantity")  # noqa: PD010
    assert (table["off"].dropna() < 1e-9).all()
    np.testing.assert_array_equal(table["diverged"], [0, 0, 0, 0, 0, 0, 1])
    f, curve = 0.7, 1.9
    u, v = np.zeros(512), np.zeros(512)
    u[0], v[0] = 2.0, 0.7 * np.sqrt(512) / 2.0
    f, curve = u @ v / np.sqrt(512), (u @ u + v @ v) / 512
    g = 0.3 * f / np.sqrt(512)
    u, v = u - g * v, v - g * u
    np.testing.assert_allclose(
        phenomenon._recursion(f, curve, 0.3), [u @ v / np.sqrt(512), (u @ u + v @ v) / 512], rtol=1e-13
    )


def test_the_minimal_model_ends_at_a_minimum_below_the_limit():
    rows = phenomenon.measure(Cell(MINIMAL, {}, 0), streams())
    assert (rows[rows["quantity"] == "loss"]["value"] < 1e-20).all()
    assert rows[rows["quantity"] == "gap"]["value"].between(0.0, 1.0).all()


def test_slope_of_known_plateaus():
    limits = list(phenomenon.LIMITS)
    table = pd.DataFrame({limit: [limit ** (0.1 * k) for k in range(3)] for limit in limits})
    np.testing.assert_allclose(phenomenon._slope(table)["slope"], [1.0, 1.1, 1.2])


def test_guards_see_what_did_not_happen():
    guards = {guard.id: guard for guard in study.guards}
    for id, arm, quantity, good, bad in (
        ("finite", POLYAK, "finite", 1.0, 0.0),
        ("certain", FLOW, "certain", 1.0, 0.0),
        ("crossing", POLYAK, "late", 0.3, 0.9),
        ("flow-crossing", FLOW, "crossing", 100.0, np.inf),
        ("minimum", MINIMAL, "loss", 0.0, 1e-3),
    ):
        rows = pd.DataFrame({"arm": [arm], "quantity": [quantity], "replicate": [0], "value": [good]})
        assert guards[id].violation(rows) is None
        assert guards[id].violation(rows.assign(value=bad))
        assert guards[id].violation(rows.assign(value=np.nan))


def test_every_limit_and_every_rate_is_predicted():
    times = [0.0, 1.0, 1.0, 2.0]
    measured = pd.DataFrame({"arm": [POLYAK] * 4, "time": times, "quantity": "sharpness", "value": 5.0})
    predicted = phenomenon.predict((), measured)
    limits = predicted[predicted["arm"] == POLYAK]
    assert limits["time"].tolist() == [0.0, 1.0, 2.0]
    assert (limits["value"] == 11.0).all()
    ends = predicted[predicted["quantity"] == "end"].set_index("rate")["value"]
    np.testing.assert_allclose(ends, np.log(ends.index))
    diverged = predicted[predicted["quantity"] == "diverged"].set_index("rate")["value"]
    assert diverged.index[diverged == 1.0].tolist() == [4.5]


def test_the_flow_passes_the_limit_of_steps_that_are_not_halved():
    """Runge-Kutta steps of fourth order are stable to 2.785 over the sharpness, which is 1.39 times the limit."""
    rows = phenomenon.measure(Cell(FLOW, {}, 0), streams())
    sharpness = rows[rows["quantity"] == "sharpness"]["value"].to_numpy()
    assert sharpness[-1] > 1.45 * phenomenon.FLOW_LIMIT
    assert (np.diff(sharpness[-20:]) > 0).all()


def test_every_arm_has_its_replicates_and_its_limit():
    for preset in ("smoke", "quick", "full"):
        cells = phenomenon.cells(preset)
        assert {cell.arm for cell in cells} == set(phenomenon.ARMS)
        assert all(cell.parameters.get("limit") == phenomenon.LIMIT_OF.get(cell.arm) for cell in cells)
        for arm, count in phenomenon.REPLICATES[preset].items():
            assert [cell.replicate for cell in cells if cell.arm == arm] == list(range(count))
