import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from pyphenom.networks import Stack, classification, mlp, regression

N, D, K = 5000, 3, 4  # more samples than a probe takes at once
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.from_numpy(np.random.default_rng(1).integers(0, K, (3, N)))
TARGETS = torch.from_numpy(np.random.default_rng(2).standard_normal((3, N, K)))
MODELS = [mlp((D, width, K), "tanh", width, torch.float64) for width in (2, 7, 4)]
OUTPUTS = [model(X).detach().numpy() for model in MODELS]


@pytest.mark.parametrize("labels", [LABELS[0], LABELS[:1], LABELS], ids=["shared", "one row", "own"])
def test_errors_and_losses_are_those_of_the_outputs(labels):
    values = classification("test", X, labels)(Stack(MODELS))
    assert set(values) == {"test_error", "test_loss"}
    truths = labels.expand(3, N).numpy()
    for m, (outputs, truth) in enumerate(zip(OUTPUTS, truths, strict=True)):
        losses = logsumexp(outputs, axis=1) - outputs[np.arange(N), truth]
        assert values["test_error"][m].item() == np.mean(outputs.argmax(axis=1) != truth)
        np.testing.assert_allclose(values["test_loss"][m].item(), losses.mean(), rtol=1e-12)


@pytest.mark.parametrize("targets", [TARGETS[0], TARGETS[:1], TARGETS], ids=["shared", "one", "own"])
def test_squared_distances_are_those_of_the_outputs(targets):
    values = regression("test", X, targets)(Stack(MODELS))
    assert set(values) == {"test_loss"}
    truths = targets.expand(3, N, K).numpy()
    expected = [np.sum((outputs - truth) ** 2) / N for outputs, truth in zip(OUTPUTS, truths, strict=True)]
    np.testing.assert_allclose(values["test_loss"].numpy(), expected, rtol=1e-12)


def test_single_precision_is_summed_in_double():
    models = [mlp((D, 3, K), seed=seed) for seed in range(2)]
    values = classification("test", X.float(), LABELS[0])(Stack(models))
    for m, model in enumerate(models):
        outputs = model(X.float()).detach().numpy()
        losses = logsumexp(outputs.astype(float), axis=1) - outputs[np.arange(N), LABELS[0].numpy()]
        np.testing.assert_allclose(values["test_loss"][m].item(), losses.mean(), rtol=2e-7)
    assert all(value.dtype == torch.float64 and value.shape == (2,) for value in values.values())


def test_reading_leaves_no_trace():
    stack = Stack(MODELS)
    values = classification("test", X[:5], LABELS[:, :5])(stack)
    assert not any(value.requires_grad for value in values.values())
    assert all(value.grad is None for value in stack.parameters.values())


@pytest.mark.parametrize(
    ("make", "truth", "error", "message"),
    [
        (
            classification,
            LABELS[0, :-1],
            ValueError,
            r"`inputs` and `labels` have the shapes \(5000, 3\) and \(4999,\)",
        ),
        (classification, TARGETS, ValueError, "`inputs` and `labels` have the shapes"),
        (classification, TARGETS[0, :, 0], TypeError, "`labels` has the dtype torch.float64; expected torch.int64"),
        (classification, LABELS - 1, ValueError, "`labels` go down to -1"),
        (
            regression,
            TARGETS[0, :-1],
            ValueError,
            r"`inputs` and `targets` have the shapes \(5000, 3\) and \(4999, 4\)",
        ),
        (regression, TARGETS[0, :, 0], ValueError, r"`inputs` and `targets` have the shapes \(5000, 3\) and \(5000,\)"),
    ],
)
def test_labels_and_targets_fit_the_samples(make, truth, error, message):
    with pytest.raises(error, match=message):
        make("test", X, truth)


def test_no_samples_give_no_mean():
    with pytest.raises(ValueError, match="at least one"):
        classification("test", X[:0], LABELS[0, :0])


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (classification("test", X, LABELS + 1), "`labels` go up to 4; the networks have 4 outputs"),
        (classification("test", X, LABELS[:2]), "a probe has labels or targets of 2 networks; the stack has 3"),
        (regression("test", X, TARGETS[0, :, :1]), "`targets` have 1 columns; the networks have 4 outputs"),
        (regression("test", X, TARGETS[:2]), "a probe has labels or targets of 2 networks; the stack has 3"),
    ],
)
def test_labels_and_targets_fit_the_networks(probe, message):
    with pytest.raises(ValueError, match=message):
        probe(Stack(MODELS))
