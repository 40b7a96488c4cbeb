import copy
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.networks import Recipe, classification, mlp, train

N, D, K = 23, 3, 4
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.from_numpy(np.random.default_rng(1).integers(0, K, (3, N)))
TARGETS = torch.from_numpy(np.random.default_rng(2).standard_normal((3, N, K)))


def net(*sizes, seed=0, activation="relu"):
    return mlp(sizes, activation, seed, torch.float64)


def sigmoid(width, seed):
    """Return a network whose units give 1/2 at no input: f(0) is not zero."""
    plain = net(D, width, K, seed=seed)
    return nn.Sequential(plain[0], nn.Sigmoid(), plain[2])


def numbers(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def assert_equal(models, others, atol=1e-9):
    for model, other in zip(models, others, strict=True):
        torch.testing.assert_close(dict(model.named_parameters()), dict(other.named_parameters()), rtol=0, atol=atol)


# ---- the oracle: one network in a plain loop ------------------------------------------------------------------------


def order(subset, seed, size, steps):
    """Return the samples of each step, as the documentation says."""
    rng, drawn = np.random.default_rng(seed), []
    while len(drawn) < steps:
        if size is None:
            drawn.append(np.array(subset))
            continue
        permuted = list(rng.permutation(subset))
        while len(permuted) >= size:
            drawn.append(np.array(permuted[:size]))
            permuted = permuted[size:]
    return drawn[:steps]


def alone(model, X, y, recipe, seed=0, subset=None, masks=None):
    """Train a copy of a network by the textbook."""
    model, masks = copy.deepcopy(model), masks or {}
    parameters = dict(model.named_parameters())

    def hold():
        with torch.no_grad():
            for name, kept in masks.items():
                parameters[name][~kept] = 0.0

    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(
            parameters.values(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    else:
        optimiser = torch.optim.Adam(parameters.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: 1 - done / recipe.steps if recipe.schedule == "linear" else 1.0
    )
    hold()
    subset = np.arange(len(X)) if subset is None else subset
    for batch in order(subset, seed, recipe.batch_size, recipe.steps):
        outputs = model(X[batch])
        if recipe.loss == "squared":
            loss = torch.mean(torch.sum((outputs - y[batch]) ** 2, dim=1))
        else:
            loss = nn.CrossEntropyLoss()(outputs, y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        hold()
    return model


RECIPES = {
    "gradient descent": Recipe(50, 0.2, momentum=0.0),
    "sgd": Recipe(50, 0.2, 5, momentum=0.0),
    "momentum": Recipe(50, 0.05, 5, momentum=0.9),
    "decay": Recipe(50, 0.05, 5, weight_decay=0.1),
    "adam": Recipe(50, 0.01, 5, optimiser="adam"),
    "adam, decay": Recipe(50, 0.01, optimiser="adam", weight_decay=0.1),
    "linear": Recipe(50, 0.1, 5, schedule="linear"),
    "adam, linear": Recipe(50, 0.02, 5, optimiser="adam", schedule="linear"),
    "squared": Recipe(50, 0.01, 5, loss="squared"),
    "squared, all samples": Recipe(50, 0.01, loss="squared", schedule="linear", weight_decay=0.01),
    "one sample": Recipe(50, 0.01, 1),
    "a batch of all": Recipe(50, 0.05, N),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_each_network_is_trained_as_it_would_be_alone(recipe, activation):
    models = [net(D, width, K, seed=width, activation=activation) for width in (2, 9, 5)]
    y = TARGETS if recipe.loss == "squared" else LABELS
    expected = [alone(model, X, y[m], recipe, seed=10 + m) for m, model in enumerate(models)]
    train(models, X, y, recipe, order=[10, 11, 12])
    assert_equal(models, expected)


@pytest.mark.parametrize("name", ["momentum", "adam, decay", "squared", "squared, all samples"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_networks_of_unequal_widths_are_trained_as_they_would_be_alone(name, activation):
    recipe, seen = RECIPES[name], []
    models = [net(D, width, K, seed=width, activation=activation) for width in (3, 32, 33, 8, 20, 200)]
    y = TARGETS if recipe.loss == "squared" else LABELS
    y = torch.cat([y, y])
    expected = [alone(model, X, y[m], recipe, seed=10) for m, model in enumerate(models)]
    train(models, X, y, recipe, order=10, probes=[lambda stack: seen.append(stack.outputs(X)) or {}], at=[25, 50])
    assert_equal(models, expected)
    torch.testing.assert_close(seen[1], torch.stack([model(X) for model in models]), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(*seen)


ARCHITECTURES = {
    "crossing": [net(D, 10, 4, K, seed=1), net(D, 4, 10, K, seed=2), net(D, 1, 1, K, seed=3)],
    "sigmoid": [sigmoid(width, seed=width) for width in (2, 8, 5)],
    "no hidden layer": [net(D, K, seed=seed) for seed in range(3)],
    "normalised": [
        nn.Sequential(net(D, 6, seed=s), nn.LayerNorm(6, dtype=torch.float64), net(6, K, seed=s)) for s in range(3)
    ],
}


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("models", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_architectures_with_subsets_labels_and_orders_of_their_own(models, optimiser):
    models = copy.deepcopy(models)
    recipe = Recipe(50, 0.02, 4, optimiser=optimiser, weight_decay=0.05, schedule="linear")
    subsets = [np.arange(5, 20), np.array([3, 1, 4, 1, 5, 9, 2, 6]), np.arange(0, N, 2)]  # one draws a sample twice
    expected = [alone(model, X, LABELS[m], recipe, 7 + m, subsets[m]) for m, model in enumerate(models)]
    train(models, X, LABELS, recipe, [7, 8, 9], subsets=subsets)
    assert_equal(models, expected)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("size", [4, None])
def test_masks_keep_weights_at_zero(optimiser, size):
    recipe = Recipe(50, 0.02, size, optimiser=optimiser, weight_decay=0.05)
    models = [net(D, 6, K, seed=1), net(D, 8, K, seed=2), net(D, 6, K, seed=3)]
    stream = torch.Generator().manual_seed(0)
    masks = [
        {name: torch.rand(value.shape, generator=stream) > 0.4 for name, value in models[0].named_parameters()},
        {},
        {"2.weight": torch.rand(K, 6, generator=stream) > 0.4},
    ]
    expected = [alone(model, X, LABELS[0], recipe, masks=own) for model, own in zip(models, masks, strict=True)]
    train(models, X, LABELS[0], recipe, masks=masks)
    assert_equal(models, expected)
    for model, own in zip(models, masks, strict=True):
        for name, kept in own.items():
            assert torch.equal(model.get_parameter(name) != 0, kept)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("make", [sigmoid, lambda width, seed: net(D, width, K, seed=seed, activation="tanh")])
def test_units_of_the_padding_stay_at_zero(make, optimiser):
    seen = []

    def probe(stack):
        seen.append({name: value.detach().clone() for name, value in stack.parameters.items()})
        return {}

    recipe = Recipe(20, 0.05, 5, optimiser=optimiser, weight_decay=0.3)
    train([make(2, 0), make(6, 1)], X, LABELS[0], recipe, probes=[probe], at=range(21))
    assert len(seen) == 21
    for values in seen:
        assert not values["0.weight"][0, 2:].any()
        assert not values["0.bias"][0, 2:].any()
        assert not values["2.weight"][0, :, 2:].any()
        assert values["2.weight"][1].all()


def test_fixed_parameters_stay_fixed_and_the_others_are_trained_as_alone():
    models = [net(D, width, K, seed=width) for width in (3, 6)]
    for model in models:
        model[0].weight.requires_grad_(False)
    recipe = Recipe(30, 0.05, 5, weight_decay=0.5)
    before, expected = [model[0].weight.clone() for model in models], [alone(m, X, LABELS[0], recipe) for m in models]
    train(models, X, LABELS[0], recipe)
    assert_equal(models, expected)
    for model, weight in zip(models, before, strict=True):
        assert torch.equal(model[0].weight, weight)
        assert [value.requires_grad for value in model.parameters()] == [False, True, True, True]


def test_shared_weights_inside_a_network_stay_shared():
    def tied():
        layers = nn.Sequential(net(D, D, seed=1), nn.Tanh(), net(D, D, seed=2))
        layers[2][0].weight = layers[0][0].weight
        return layers

    model, recipe = tied(), Recipe(20, 0.1, 5)
    expected = alone(model, X, LABELS[0] % D, recipe)
    train([model], X, LABELS[0] % D, recipe)
    assert_equal([model], [expected])
    assert model[0][0].weight is model[2][0].weight


def test_in_single_precision_a_stack_agrees_up_to_rounding():
    models = [mlp((D, width, K), "tanh", width) for width in (2, 9)]
    recipe = Recipe(50, 0.05, 5)
    expected = [alone(model, X.float(), LABELS[0], recipe) for model in models]
    train(models, X.float(), LABELS[0], recipe)
    assert models[0][0].weight.dtype == torch.float32
    assert_equal(models, expected, atol=1e-4)


def test_one_sample_is_enough():
    models, recipe = [net(D, 4, K), net(D, 6, K)], Recipe(10, 0.1, 1)
    expected = [alone(model, X[:1], LABELS[0, :1], recipe) for model in models]
    train(models, X[:1], LABELS[0, :1], recipe)
    assert_equal(models, expected)


# ---- who sees what --------------------------------------------------------------------------------------------------


def batches(subsets=None, order=0, size=4, steps=13, count=2, n=N):
    """Return the samples that each network saw at each step, read off the gradients of an embedding."""
    drawn = size or (n if subsets is None else len(subsets[0]))
    models = [nn.Embedding(n, 2, dtype=torch.float64) for _ in range(count)]
    for model in models:
        nn.init.zeros_(model.weight)
    seen = []

    def probe(stack):
        gradient = stack.parameters["weight"].grad
        if gradient is not None:
            # at equal outputs the gradient is (-1/2, 1/2) / drawn for each time that a sample occurs in the batch
            counts = (gradient[:, :, 1] * 2 * drawn).abs().round().int().tolist()
            seen.append([Counter({i: c for i, c in enumerate(row) if c}) for row in counts])
        return {}

    recipe = Recipe(steps, 1e-9, size, momentum=0.0)
    inputs = torch.arange(n)
    train(models, inputs, torch.zeros(n).long(), recipe, order, subsets=subsets, probes=[probe], at=range(steps + 1))
    return [[step[m] for step in seen] for m in range(count)]


def expected_batches(subset, seed, size=4, steps=13):
    return [Counter(map(int, batch)) for batch in order(subset, seed, size, steps)]


def test_networks_with_order_seeds_of_their_own_see_batches_of_their_own():
    first, second = batches(order=[3, 4])
    assert first == expected_batches(np.arange(N), 3)
    assert second == expected_batches(np.arange(N), 4)
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_one_order_seed_gives_networks_with_the_same_samples_the_same_batches():
    first, second = batches(order=5)
    assert first == second == expected_batches(np.arange(N), 5)


def test_networks_with_other_order_seeds_and_equal_weights_become_different():
    models = [net(D, 5, K) for _ in range(3)]
    train(models, X, LABELS[0], Recipe(10, 0.1, 5), order=[0, 1, 0])
    assert torch.equal(numbers(models[0]), numbers(models[2]))
    assert (numbers(models[0]) - numbers(models[1])).abs().max() > 1e-3


def test_no_network_sees_a_sample_outside_its_subset():
    subsets = [np.arange(8), [20, 2, 20, 11, 7]]
    for seen, subset in zip(batches(subsets, order=[1, 1]), subsets, strict=True):
        assert seen == expected_batches(subset, 1)
        assert set().union(*seen) == set(map(int, subset))


@pytest.mark.parametrize("twice", [[*range(1, N), 1], [0] * N])
def test_a_bootstrap_sample_of_full_size_is_no_full_batch(twice):
    assert batches([twice, range(N)], size=None, steps=1) == [[Counter(twice)], [Counter(range(N))]]


def test_subsets_may_be_read_only_arrays_tensors_or_ranges():
    subset = np.arange(2, 8)
    subset.flags.writeable = False
    drawn = batches([subset, torch.arange(2, 8), range(2, 8)], size=None, steps=1, count=3)
    assert drawn == [[Counter(range(2, 8))]] * 3


# ---- what is left as it was -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_when_training_stops_the_networks_and_the_threads_are_as_before(error):
    models = [net(D, width, K) for width in (3, 6)]
    before, threads = [numbers(model) for model in models], torch.get_num_threads()

    def stop(done, steps):
        if done >= 10:
            raise error

    torch.set_num_threads(2)
    try:
        with pytest.raises(error):
            train(models, X, LABELS[0], Recipe(20, 0.1), progress=stop)
        assert torch.get_num_threads() == 2
        train(models, X, LABELS[0], Recipe(1, 0.0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(numbers(model), value) for model, value in zip(models, before, strict=True))


def test_training_runs_on_one_thread():
    threads, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        train([net(D, 3, K)], X, LABELS[0], Recipe(2, 0.1), progress=lambda *_: seen.append(torch.get_num_threads()))
    finally:
        torch.set_num_threads(threads)
    assert seen == [1, 1]


def test_global_generators_modes_and_arguments_are_left_alone():
    model, inputs = net(D, 3, K), X.clone().requires_grad_()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    with torch.no_grad():
        train([model.eval()], inputs, LABELS[0], Recipe(5, 0.1, 5))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_state, strict=True))  # noqa: NPY002
    assert not model.training
    assert inputs.grad is None
    assert all(value.requires_grad and value.grad is None and value.is_leaf for value in model.parameters())


# ---- the history ----------------------------------------------------------------------------------------------------


def test_only_the_network_that_diverges_is_marked_and_the_others_are_as_alone():
    models = [net(D, width, K, seed=width, activation="identity") for width in (2, 6, 4)]
    targets, recipe = TARGETS.clone(), Recipe(60, 0.02, 5, loss="squared")
    with torch.no_grad():
        models[1][2].weight *= 1e3  # its curvature is a million times that of the others
    expected = [alone(model, X, targets[m], recipe) for m, model in enumerate(models)]
    history = train(models, X, targets, recipe)
    assert history.diverged.tolist() == [False, True, False]
    assert not numbers(models[1]).isfinite().all()
    assert_equal(models[::2], expected[::2])
    assert "1 diverged" in repr(history)


def test_a_huge_learning_rate_is_marked():
    history = train([net(D, 5, K, activation="identity")], X, TARGETS[0], Recipe(500, 1e3, loss="squared"))
    assert history.diverged.tolist() == [True]


def test_steps_are_read_once_each_in_order():
    models, seen = [net(D, 3, K), net(D, 4, K)], []

    def probe(stack):
        seen.append(numbers(stack).clone())
        return {"first": stack.parameters["0.bias"][:, 0]}

    def numbers(stack):
        return torch.cat([value.flatten() for value in stack.parameters.values()])

    history = train(models, X, LABELS[0], Recipe(6, 0.1), probes=[probe], at=[5, 0, 2, 5])
    assert history.steps.tolist() == [0, 2, 5]
    assert len(seen) == 3
    assert history.values["first"].shape == (3, 2)
    for step, row in zip((0, 2, 5), history.values["first"], strict=True):
        again = [net(D, 3, K), net(D, 4, K)]
        if step:
            train(again, X, LABELS[0], Recipe(step, 0.1))
        np.testing.assert_allclose(row, [model[0].bias[0].item() for model in again], rtol=0, atol=1e-12)


def test_without_probes_or_steps_there_is_nothing_to_read():
    history = train([net(D, 3, K)], X, LABELS[0], Recipe(3, 0.1))
    assert (history.steps.tolist(), history.values) == ([3], {})
    assert "nothing" in repr(history)
    history = train([net(D, 3, K)], X, LABELS[0], Recipe(3, 0.1), probes=[classification("train", X, LABELS[0])], at=[])
    assert (history.steps.tolist(), history.values) == ([], {})
    assert "0 readings" in repr(history)
    assert set(history.to_dict()) == {"steps", "diverged"}


@pytest.mark.parametrize("steps", [1, 7, 255])
def test_progress_ends_with_the_last_step(steps):
    calls = []
    train([net(D, K)], X, LABELS[0], Recipe(steps, 0.1), progress=lambda *call: calls.append(call))
    assert calls[-1] == (steps, steps)
    assert calls == sorted(set(calls))
    assert len(calls) <= 201


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"steps": 0}, ValueError, "`steps` is 0"),
        ({"steps": 1.0}, TypeError, "`steps` is 1.0"),
        ({"learning_rate": -0.1}, ValueError, "`learning_rate` is -0.1"),
        ({"learning_rate": float("nan")}, ValueError, "`learning_rate` is nan"),
        ({"learning_rate": "0.1"}, TypeError, "`learning_rate` is '0.1'"),
        ({"batch_size": 0}, ValueError, "`batch_size` is 0"),
        ({"loss": "mse"}, ValueError, "`loss` is 'mse'; expected one of 'cross-entropy', 'squared'"),
        ({"optimiser": "adamw"}, ValueError, "`optimiser` is 'adamw'; expected one of 'sgd', 'adam'"),
        ({"momentum": 1.0}, ValueError, "`momentum` is 1.0; expected less than 1"),
        ({"momentum": -0.5}, ValueError, "`momentum` is -0.5"),
        ({"weight_decay": float("inf")}, ValueError, "`weight_decay` is inf"),
        ({"schedule": "cosine"}, ValueError, "`schedule` is 'cosine'; expected one of 'constant', 'linear'"),
    ],
)
def test_recipes_are_checked(fields, error, message):
    with pytest.raises(error, match=message):
        Recipe(**{"steps": 10, "learning_rate": 0.1, **fields})


def test_probes_may_not_overwrite_each_other():
    probe = classification("test", X, LABELS[0])
    with pytest.raises(ValueError, match="`probes` give 'test_error' twice"):
        train([net(D, K)], X, LABELS[0], Recipe(1, 0.1), probes=[probe, probe])
    with pytest.raises(ValueError, match="`probes` give 'steps' twice, or it is a field of the history"):
        train([net(D, K)], X, LABELS[0], Recipe(1, 0.1), probes=[lambda stack: {"steps": torch.zeros(1)}])


def test_probes_give_one_value_a_network():
    with pytest.raises(ValueError, match=r"`probes` give 'norm' the shape \(\); expected \(1,\)"):
        train([net(D, K)], X, LABELS[0], Recipe(1, 0.1), probes=[lambda stack: {"norm": torch.tensor(1.0)}])
