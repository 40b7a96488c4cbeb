import copy

import pytest
import torch
from torch import nn

from pyphenom.networks import mask, mlp, reset, reuse

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def net(*sizes, seed=0, activation="relu"):
    return mlp(sizes, activation, seed, torch.float64)


def state(model):
    return copy.deepcopy(dict(model.state_dict()))


def same(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ---- reuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(
    ("small", "large"),
    [((3, 2), (3, 2)), ((3, 4, 2), (3, 9, 2)), ((3, 4, 5, 2), (3, 8, 9, 2)), ((3, 4, 5, 2), (3, 4, 9, 2))],
)
def test_the_larger_network_computes_the_function_of_the_smaller_one(small, large, activation):
    smaller, larger = net(*small, seed=1, activation=activation), net(*large, seed=2, activation=activation)
    before = state(smaller)
    reuse(smaller, larger)
    torch.testing.assert_close(larger(X), smaller(X))
    assert same(smaller, before)


def test_units_that_are_added_keep_their_incoming_weights_and_can_learn():
    smaller, larger = net(3, 4, 2, seed=1), net(3, 9, 2, seed=2)
    before = state(larger)
    reuse(smaller, larger)
    assert torch.equal(larger[0].weight[4:], before["0.weight"][4:])
    assert torch.equal(larger[0].bias[4:], before["0.bias"][4:])
    (larger(X) ** 2).sum().backward()
    assert larger[2].weight.grad[:, 4:].any()


CONVOLUTION = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten())


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        (net(3, 4, 2), net(3, 3, 2)),
        (net(3, 4, 5, 2), net(3, 5, 4, 2)),
        (net(3, 4, 2), net(3, 4, 4, 2)),
        (net(3, 4, 2), net(4, 9, 2)),  # more inputs: not a function of the same things
        (net(3, 4, 2), net(3, 9, 3)),
        (CONVOLUTION, copy.deepcopy(CONVOLUTION)),
        (nn.ReLU(), nn.ReLU()),
    ],
)
def test_a_network_that_does_not_fit_is_refused_and_nothing_is_changed(smaller, larger):
    before = state(larger)
    with pytest.raises(ValueError, match=r"`smaller` with .* does not fit into `larger`"):
        reuse(smaller, larger)
    assert same(larger, before)


# ---- masks ----------------------------------------------------------------------------------------------------------


def test_a_mask_sets_to_zero_what_it_does_not_keep_once_and_for_all():
    model = net(3, 4, 2)
    before, kept = state(model), torch.rand(4, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    assert kept.any()
    assert not kept.all()
    mask(model, {"0.weight": kept})
    expected = before["0.weight"].clone()
    expected[~kept] = 0
    assert same(model, {**before, "0.weight": expected})
    mask(model, {"0.weight": kept})
    assert same(model, {**before, "0.weight": expected})
    assert model[0].weight.requires_grad


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ({"0.wieght": torch.ones(4, 3).bool()}, ValueError, r"`masks` names '0.wieght'; expected names among"),
        ({"0.weight": torch.ones(4, 3)}, TypeError, r"`masks\['0.weight'\]` has the dtype torch.float32"),
        (
            {"0.weight": torch.ones(4).bool()},
            ValueError,
            r"`masks\['0.weight'\]` has the shape \(4,\); expected \(4, 3\)",
        ),
    ],
)
def test_bad_masks_are_named_and_change_nothing(masks, error, message):
    model = net(3, 4, 2)
    before = state(model)
    with pytest.raises(error, match=message):
        mask(model, {"2.weight": torch.zeros(2, 4).bool(), **masks})
    assert same(model, before)


# ---- reset ----------------------------------------------------------------------------------------------------------


def test_all_parameters_go_back_to_the_source():
    model, source = net(3, 4, 2, seed=1), net(3, 4, 2, seed=2)
    given = state(source)
    reset(model, source)
    assert same(model, given)
    with torch.no_grad():
        model[0].weight += 1
    assert same(source, given)  # a copy, no alias


def test_only_named_parameters_go_back():
    model, source = net(3, 4, 2, seed=1), net(3, 4, 2, seed=2)
    before, given = state(model), state(source)
    reset(model, source, (name for name in ("0.bias", "2.weight")))
    assert same(model, {**before, "0.bias": given["0.bias"], "2.weight": given["2.weight"]})


@pytest.mark.parametrize(
    ("source", "names", "message"),
    [
        (net(3, 4, 2), ["0.bias", "1.weight"], r"no parameter is named \['1.weight'\]; expected names among"),
        (net(3, 4, 4, 2), ["0.bias", "4.weight"], r"no parameter is named \['4.weight'\]"),
        (net(3, 5, 2), None, r"`source` has '0.weight' of the shape \(5, 3\); expected \(4, 3\)"),
    ],
)
def test_bad_sources_are_named_and_change_nothing(source, names, message):
    model = net(3, 4, 2, seed=1)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        reset(model, source, names)
    assert same(model, before)
