import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.studies import Cell, Streams
from pyphenom.studies.store import key

scalars = st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
parameters = st.dictionaries(st.text(max_size=8), scalars, max_size=5)


@given(st.text(), parameters, st.integers(0, 10**6))
def test_canonical_form_is_strict_json_that_holds_the_cell_exactly(arm, values, replicate):
    cell = Cell(arm, values, replicate)
    content = json.loads(cell.canonical(), parse_constant=pytest.fail)
    assert Cell(**content) == cell
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert {name: type(value) for name, value in content["parameters"].items()} == {
        name: type(value) for name, value in values.items()
    }


@given(parameters)
def test_the_order_of_parameters_does_not_matter(values):
    reverse = dict(reversed(values.items()))
    assert Cell("a", values, 0) == Cell("a", reverse, 0)
    assert hash(Cell("a", values, 0)) == hash(Cell("a", reverse, 0))


@given(st.lists(st.tuples(st.text(max_size=3), parameters, st.integers(0, 3)), max_size=6))
def test_different_cells_have_different_keys(contents):
    cells = {Cell(*content) for content in contents}
    assert len({key("study", "1", "code", cell, 0) for cell in cells}) == len(cells)


def test_the_key_depends_on_all_it_should():
    cell = Cell("a", {"n": 1}, 0)
    keys = [key("s", "1", "f", cell, 0), key("t", "1", "f", cell, 0), key("s", "2", "f", cell, 0)]
    keys += [key("s", "1", "g", cell, 0), key("s", "1", "f", cell, 1), key("s", "1", "f", Cell("a", {"n": 1}, 1), 0)]
    assert len(set(keys)) == len(keys)


def test_types_are_told_apart_and_zeros_are_not():
    assert len({Cell("a", {"x": x}, 0) for x in (1, 1.0, True, "1")}) == 4
    assert Cell("a", {"x": -0.0}, 0).canonical() == Cell("a", {"x": 0.0}, 0).canonical()
    assert Cell("a", {"x": np.int64(3), "y": np.float64(0.5)}, np.int64(1)) == Cell("a", {"x": 3, "y": 0.5}, 1)


def test_a_cell_cannot_be_changed():
    given = {"x": 1}
    cell = Cell("a", given, 0)
    given["x"] = 2
    assert cell.parameters["x"] == 1
    with pytest.raises(TypeError):
        cell.parameters["x"] = 2


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match=r"'x'.*nan.*finite"):
        Cell("a", {"x": float("nan")}, 0)
    with pytest.raises(TypeError, match=r"'x'.*list"):
        Cell("a", {"x": [1]}, 0)
    with pytest.raises(ValueError, match=r"replicate.*-1"):
        Cell("a", {}, -1)


@given(st.integers(0, 2**63), st.text(), st.integers(0, 1000), st.text(), st.text())
def test_streams_are_functions_of_their_names(seed, study, replicate, name, other):
    streams, again = Streams(seed, study, replicate), Streams(seed, study, replicate)
    expected = again.rng(name).integers(2**63, size=4)
    streams.rng(other).integers(2**63, size=100)
    assert (streams.rng(name).integers(2**63, size=4) == expected).all()
    assert streams.seed(name) == again.seed(name)
    assert 0 <= streams.seed(name) < 2**64
    assert streams.seed(name) != streams.rng(name).bit_generator.seed_seq.generate_state(1, np.uint64)[0]
    if name != other:
        assert streams.seed(name) != streams.seed(other)
        assert (streams.rng(other).integers(2**63, size=4) != expected).any()


def test_streams_of_different_owners_differ():
    owners = [Streams(0, "a", 0), Streams(1, "a", 0), Streams(0, "b", 0), Streams(0, "a", 1)]
    assert len({streams.seed("data") for streams in owners}) == 4
    assert len({streams.rng("data").normal() for streams in owners}) == 4


def test_streams_are_uncorrelated():
    # 100 correlations of 1000 pairs: each exceeds 5/sqrt(1000) with probability 6e-7.
    draws = np.array([Streams(0, "s", r).rng(n).normal(size=1000) for r in range(5) for n in ("data", "init", "order")])
    correlations = np.corrcoef(draws) - np.eye(15)
    assert np.abs(correlations).max() < 5.0 / np.sqrt(1000)
