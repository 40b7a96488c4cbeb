import copy

import pytest
import torch
from torch import nn

from pyphenom.networks import Stack, mlp

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def net(*sizes, seed=0, activation="relu"):
    return mlp(sizes, activation, seed, torch.float64)


def sigmoid(width, seed=0):
    """Return a network whose units give 1/2 at no input: f(0) is not zero."""
    plain = net(3, width, 2, seed=seed)
    return nn.Sequential(plain[0], nn.Sigmoid(), plain[2])


def normed(width):
    return nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width), nn.Linear(width, 2)).double()


class Tied(nn.Module):
    """The same matrix twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, dtype=torch.float64)
        self.second = nn.Linear(3, 3, dtype=torch.float64)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def twice(middle):
    """Return a network in which a layer and an activation stand twice."""
    function, (first, last) = nn.Tanh(), (nn.Linear(3, 3), nn.Linear(3, 2))
    return nn.Sequential(first, function, *middle(first), function, last).double()


STACKS = {
    "one": [net(3, 5, 2)],
    "widths": [net(3, width, 2, seed=width) for width in (1, 7, 4)],
    "crossing": [net(3, 10, 4, 2), net(3, 4, 10, 2)],
    "sigmoid": [sigmoid(2), sigmoid(5)],
    "convolution": [
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, c, 2), nn.ReLU(), nn.Conv1d(c, 2, 2), nn.Flatten()).double()
        for c in (3, 5)
    ],
    "normalised": [normed(4), normed(4)],
    "tied": [Tied(), Tied()],
    "an activation twice": [twice(lambda _: [nn.Linear(3, 3)])],
    "a layer twice": [twice(lambda layer: [layer]), twice(lambda layer: [layer])],
    "list of modules": nn.ModuleList([net(3, 5, 2), net(3, 4, 2)]),
}


@pytest.mark.parametrize("models", STACKS.values(), ids=STACKS)
def test_a_stack_computes_what_its_members_compute(models):
    stack = Stack(models)
    stack.check(X)
    assert len(stack) == len(models)
    for found, model in zip(stack.outputs(X), models, strict=True):
        torch.testing.assert_close(found, model(X))


@pytest.mark.parametrize("models", STACKS.values(), ids=STACKS)
def test_the_check_leaves_the_members_their_parameters(models):
    before = [value for model in models for value in model.parameters()]
    Stack(models).check(X)
    assert all(now is then for now, then in zip([v for m in models for v in m.parameters()], before, strict=True))


def test_inputs_may_have_more_axes():
    models = [net(3, 5, 2), net(3, 4, 2)]
    sequences = torch.stack([X, -X, X + 1], dim=1)
    for found, model in zip(Stack(models).outputs(sequences), models, strict=True):
        torch.testing.assert_close(found, model(sequences))


def test_members_may_see_inputs_of_their_own():
    models = STACKS["crossing"]
    inputs = torch.stack([X, 2 * X])
    for found, model, own in zip(Stack(models).outputs(inputs, shared=False), models, inputs, strict=True):
        torch.testing.assert_close(found, model(own))


def test_gradients_of_a_member_are_its_own_and_those_of_the_padding_are_zero():
    models = [copy.deepcopy(model) for model in STACKS["sigmoid"]]
    stack = Stack(models)
    (stack.outputs(X) ** 2).sum().backward()
    assert stack.parameters["2.weight"].grad[0, :, 2:].abs().min() > 0  # units that give 1/2 want weights
    stack.hold_gradients()
    for index, model in enumerate(models):
        (model(X) ** 2).sum().backward()
        for name, value in model.named_parameters():
            rest = stack.parameters[name].grad[index].clone()
            place = tuple(map(slice, value.shape))
            torch.testing.assert_close(rest[place], value.grad)
            rest[place] = 0
            assert not rest.any()


def test_masks_hold_weights_and_padding_at_zero():
    kept = torch.tensor([[True, False, True]] * 4)
    stack = Stack([net(3, 4, 2), net(3, 6, 2)], [{"0.weight": kept}, {}])
    assert torch.equal(stack.parameters["0.weight"][0, :4] == 0, ~kept)
    free = stack.masks["0.weight"]
    assert torch.equal(free[0, :4].bool(), kept)
    assert not free[0, 4:].any()
    assert free[1].all()
    assert "2.bias" not in stack.masks


def test_nothing_changes_until_it_is_written_back_in_the_sizes_of_each():
    models = [net(3, 10, 4, 2), net(3, 4, 10, 2)]
    before = [copy.deepcopy(model.state_dict()) for model in models]
    stack = Stack(models)
    with torch.no_grad():
        for value in stack.parameters.values():
            value += 1
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    stack.write_back()
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(model.state_dict()[name], value + 1) for name, value in state.items())


@pytest.mark.parametrize("widths", [(4, 6), (6, 4)])
@pytest.mark.parametrize("readout", [1.0, 0.0])
def test_normalisation_across_units_is_refused_in_different_widths(widths, readout):
    models = [normed(width) for width in widths]
    with torch.no_grad():
        for model in models:
            model[2].weight *= readout  # networks that begin at zero must not slip through
            model[2].bias *= readout
    with pytest.raises(
        ValueError, match=r"computes something else when units without weights are added.*no normalisation"
    ):
        Stack(models).check(X)


def test_dropout_is_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).double()
    with pytest.raises(ValueError, match="expected no normalisation across units and no dropout"):
        Stack([model]).check(X)
    Stack([model.eval()]).check(X)


@pytest.mark.parametrize("inputs", [X[:, :2], X.float(), X.long()])
def test_inputs_that_the_networks_do_not_take_are_named(inputs):
    with pytest.raises(ValueError, match=r"`models\[0\]` fails at `inputs` of the shape \(6, "):
        Stack([net(3, 4, 2)]).check(inputs)


def frozen():
    model = net(3, 4, 2)
    model[0].weight.requires_grad_(False)
    return model


def infinite():
    model = net(3, 4, 2)
    with torch.no_grad():
        model[2].bias[0] = float("inf")
    return model


SAME = net(3, 4, 2)
OTHERS = {
    "depth": net(3, 4, 4, 2),
    "activation": net(3, 4, 2, activation="tanh"),
    "dtype": mlp((3, 4, 2)),
    "fixed": frozen(),
    "bias": nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)).double(),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_networks_differ_in_sizes_only(other):
    with pytest.raises(ValueError, match=r"`models\[1\]` has another architecture, dtype or set of fixed parameters"):
        Stack([net(3, 4, 2), other])


def test_settings_of_an_activation_are_part_of_the_architecture():
    models = [nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(slope)) for slope in (0.1, 0.4)]
    with pytest.raises(ValueError, match=r"`models\[1\]` has another architecture"):
        Stack(models)


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ([], ValueError, "`models` is empty"),
        (net(3, 4, 2), TypeError, r"`models` is one network; expected a sequence of them. Pass \[model\]"),
        ([net(3, 4, 2), "net"], TypeError, r"`models\[1\]` is a str"),
        ([SAME, SAME], ValueError, "`models` share parameters.*copy.deepcopy"),
        ([nn.ReLU()], ValueError, r"`models\[0\]` has no parameters"),
        ([nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))], ValueError, r"`models\[0\]` holds buffers"),
        ([infinite()], ValueError, r"`models\[0\]` has parameters that are not finite in \['2.bias'\]"),
    ],
)
def test_what_cannot_be_stacked_is_named(models, error, message):
    with pytest.raises(error, match=message):
        Stack(models)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ([], ValueError, "`masks` has 0 entries; expected 1"),
        (
            [{"weight": torch.ones(4, 3).bool()}],
            ValueError,
            r"`masks\[0\]` names 'weight'; expected names among \['0.weight'",
        ),
        (
            [{"0.weight": torch.ones(3, 4).bool()}],
            ValueError,
            r"`masks\[0\]\['0.weight'\]` has the shape \(3, 4\).*\(4, 3\)",
        ),
        (
            [{"0.weight": torch.ones(4, 3)}],
            TypeError,
            r"`masks\[0\]\['0.weight'\]` has the dtype torch.float32.*torch.bool",
        ),
    ],
)
def test_masks_fit_the_parameters(masks, error, message):
    with pytest.raises(error, match=message):
        Stack([net(3, 4, 2)], masks)
