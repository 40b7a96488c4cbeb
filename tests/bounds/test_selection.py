import pytest

import pyphenom as ph

b = ph.bounds
CANDIDATES = {
    "posterior": lambda delta: b.maurer(0.02, 20, 898, delta),
    "held out": lambda delta: b.test_set(18, 898, delta),
}


def test_each_candidate_pays_its_share():
    chosen = b.best_valid(CANDIDATES, 0.05, shares={"posterior": 0.2, "held out": 0.8})
    assert chosen.shares == pytest.approx({"posterior": 0.01, "held out": 0.04})
    assert chosen.values == {"posterior": b.maurer(0.02, 20, 898, 0.01), "held out": b.test_set(18, 898, 0.04)}
    assert (chosen.name, chosen.value) == ("held out", chosen.values["held out"])
    assert chosen.value > b.test_set(18, 898, 0.05)
    assert sum(b.best_valid(CANDIDATES, 0.05).shares.values()) <= 0.05
    assert chosen.to_dict()["delta"] == 0.05


@pytest.mark.parametrize(
    ("bounds", "delta", "shares", "message"),
    [
        ({}, 0.05, None, "`bounds` is empty"),
        (CANDIDATES, 1.0, None, "`delta` is 1"),
        (CANDIDATES, 0.05, {"posterior": 1.0}, "`shares` has"),
        (CANDIDATES, 0.05, {"posterior": 0.6, "held out": 0.6}, "`shares` sums to 1.2"),
        (CANDIDATES, 0.05, {"posterior": 1.0, "held out": 0.0}, "`shares` is 0"),
    ],
)
def test_bad_arguments(bounds, delta, shares, message):
    with pytest.raises(ValueError, match=message):
        b.best_valid(bounds, delta, shares)
