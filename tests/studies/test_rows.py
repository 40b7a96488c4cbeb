import numpy as np
import pandas as pd
import pytest

from pyphenom.studies import Cell, Select
from pyphenom.studies.rows import join, measured_rows, predicted_rows

CELL = Cell("a", {"width": 8}, 2)


def table(**columns):
    return pd.DataFrame({"quantity": "risk", "value": [1.0, 2.0], **columns})


def test_the_engine_adds_what_it_knows():
    rows = measured_rows("s", CELL, table(step=[1, 2]))
    assert list(rows) == ["study", "arm", "width", "step", "replicate", "quantity", "value", "origin", "band"]
    assert rows.iloc[1].to_dict() == {
        "study": "s", "arm": "a", "width": 8, "step": 2, "replicate": 2, "quantity": "risk", "value": 2.0,
        "origin": "measured", "band": 0.0,
    }  # fmt: skip
    assert measured_rows("s", CELL, table(width=[1, 2]))["width"].tolist() == [1, 2]


def test_numbers_get_one_type_each():
    rows = measured_rows("s", CELL, table(x=np.float32([1, 2]), y=np.int8([1, 2])).astype({"value": "int32"}))
    assert rows.dtypes[["x", "y", "value"]].tolist() == [np.float64, np.int64, np.float64]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([1], TypeError, "list"),
        (pd.DataFrame({"value": [1.0]}), ValueError, r"\['quantity'\] are missing"),
        (table(arm="b"), ValueError, r"\['arm'\] are written by the engine"),
        (table()[:0], ValueError, "no rows"),
        (table(x=[{}, {}]), TypeError, "column 'x'"),
    ],
)
def test_a_wrong_measurement_is_told_so(rows, error, message):
    with pytest.raises(error, match=message):
        measured_rows("s", CELL, rows)


def test_predictions_carry_a_band_and_no_replicate():
    rows = predicted_rows("s", table(arm="a"))
    assert rows["band"].tolist() == [0.0, 0.0]
    assert rows["replicate"].isna().all()
    with pytest.raises(ValueError, match="negative or NaN"):
        predicted_rows("s", table(arm="a", band=[0.1, np.nan]))
    with pytest.raises(ValueError, match=r"\['arm'\] are missing"):
        predicted_rows("s", table())


def test_arms_with_different_points_are_joined():
    both = join([measured_rows("s", CELL, table()), measured_rows("s", Cell("b", {"depth": 3}, 0), table())])
    assert both["width"].isna().tolist() == [False, False, True, True]
    assert both["depth"].tolist()[2:] == [3, 3]
    assert Select("risk", arm="b", over="depth", where=lambda r: r["value"] == 1.0).measured(both).columns == [3]


def rows_of(places):
    return pd.DataFrame(
        [{"arm": a, "x": x, "y": y, "replicate": r, "quantity": "q", "value": v, "band": 0} for a, x, y, r, v in places]
    )


def test_a_selection_keeps_every_replicate_at_every_point():
    rows = rows_of([("a", x, y, r, 100 * x + 10 * y + r) for x in (1, 2) for y in (3, 4) for r in (0, 1)])
    wide = Select("q", over=("x", "y")).measured(rows)
    assert wide.columns.tolist() == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert wide.to_numpy().tolist() == [[130, 140, 230, 240], [131, 141, 231, 241]]


def test_a_selection_averages_nothing_and_drops_nothing():
    rows = rows_of([("a", 1, 0, 0, 1.0), ("a", 1, 0, 1, np.nan), ("a", 2, 0, 0, 3.0), ("a", 2, 0, 1, 4.0)])
    assert np.isnan(Select("q", over="x").measured(rows).loc[1, 1])
    with pytest.raises(ValueError, match="1 of 4"):
        Select("q", over="x").measured(rows[:3])
    with pytest.raises(ValueError, match=r"several rows.*'x'"):
        Select("q").measured(rows)
    with pytest.raises(ValueError, match=r"no row is selected; the rows have the quantity 'q' and the arm 'a'"):
        Select("risk").measured(rows)
    with pytest.raises(ValueError, match="several rows"):
        Select("q", over="x").predicted(rows)
