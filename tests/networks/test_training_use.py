"""What training leaves as it was, what its history holds, and what it refuses."""

import numpy as np
import pytest
import torch
from torch_training import LABELS, TARGETS, D, K, X, alone, assert_equal, net, numbers

from pyphenom.networks import Recipe, classification, train

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
