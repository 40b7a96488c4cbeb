"""Gaussian networks: the noise bit by bit, the law of their outputs, KL to fifty digits, draws of a certificate.

The streams are deterministic, so a random test here always passes or always fails; each states the probability with
which a correct generator would have failed it.
"""

import math
from itertools import pairwise

import gaussian_mlp as reference
import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

import pyphenom as ph
from pyphenom.bounds import GaussianMLP, draws, sample_outputs


def network(widths, seed=0, activation="relu", dtype=np.float64, scale=0.3):
    """A network whose means and scales all differ."""
    rng = np.random.default_rng(seed)
    count = sum((i + 1) * o for i, o in pairwise(widths))
    mean = rng.normal(size=count).astype(dtype)
    return GaussianMLP(mean, np.log(scale * rng.uniform(0.5, 2.0, count)).astype(dtype), tuple(widths), activation)


def data(n, d, classes, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.integers(classes, size=n)


# ---- outputs


@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
def test_outputs_follow_the_definition(activation):
    net = network((3, 5, 4, 2), activation=activation)
    X, _ = data(6, 3, 2)
    expected = reference.draw(net, X, 7, reference.CERTIFICATION, 3)
    np.testing.assert_allclose(sample_outputs(net, X, seed=7, repetition=3), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("widths", [(1, 2), (2, 1), (1, 1, 1), (17, 33, 70, 5), (40, 600, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_of_any_shape(widths, dtype):
    net = network(widths, dtype=dtype)
    X = data(3, widths[0], 2)[0].astype(dtype)
    expected = reference.draw(net, X, 2**64 - 1, reference.CERTIFICATION, 0)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    found = sample_outputs(net, X, seed=2**64 - 1)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_law_is_that_of_drawn_weights():
    """Fresh weights for every example, drawn one by one: the same law for the pair of outputs.

    Four Kolmogorov-Smirnov tests at 1e-7 each, and the correlation within six standard errors: a correct sampler fails
    with probability below 5e-7.
    """
    net, repeats = network((3, 6, 2), scale=0.7), 20_000
    x = np.array([0.5, -1.2, 0.8])
    found = sample_outputs(net, np.tile(x, (repeats, 1)), seed=5)
    rng = np.random.default_rng(6)
    h = np.tile(x, (repeats, 1))
    for layer in range(2):
        W, b, rho, rho_b = net.layer(layer)
        weights = W + np.exp(rho) * rng.normal(size=(repeats, *W.shape))
        z = np.einsum("rjk,rk->rj", weights, h) + b + np.exp(rho_b) * rng.normal(size=(repeats, len(b)))
        h = np.maximum(z, 0.0) if layer == 0 else z
    for ours, truth in ((found[:, 0], h[:, 0]), (found[:, 1], h[:, 1]), (found @ [1, 1], h @ [1, 1])):
        assert stats.ks_2samp(ours, truth).pvalue > 1e-7
    assert stats.ks_2samp(found @ [1, -2], h @ [1, -2]).pvalue > 1e-7
    # Outputs of one network share its hidden units: they are not independent.
    correlations = [np.corrcoef(outputs.T)[0, 1] for outputs in (found, h)]
    assert abs(correlations[0] - correlations[1]) < 6 * math.sqrt(2 / repeats) * 2
    assert abs(correlations[1]) > 0.1


def test_examples_have_networks_of_their_own():
    """Two rows of the same input: their outputs are uncorrelated (six standard errors: fails with 2e-9)."""
    net, repeats = network((3, 6, 2), scale=0.7), 4000
    pairs = np.array([sample_outputs(net, np.ones((2, 3)), seed=1, repetition=r)[:, 0] for r in range(repeats)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 6 / math.sqrt(repeats)


# ---- draws


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_count_what_the_outputs_show(dtype):
    net, (X, y) = network((4, 30, 3), dtype=dtype), data(1100, 4, 3)
    X = X.astype(dtype)
    found = draws(net, X, y, passes=3, seed=9, pmin=0.05, first=2)
    assert (found.n, found.passes, found.trials) == (1100, 3, 3300)
    for r in range(3):
        Z = sample_outputs(net, X, seed=9, repetition=2 + r)
        assert found.errors[r] == np.sum(Z.argmax(axis=1) != y)
        expected = sum(reference.loss(z.astype(np.float64), label, 0.05) for z, label in zip(Z, y, strict=True))
        assert found.cross_entropy[r] == pytest.approx(expected, rel=1e-12)
    assert found.error == found.errors.sum() / 3300
    assert "3300" not in repr(found)
    assert f"{found.error:.4g}" in repr(found)
    assert 0 < found.errors.sum() < 3300


def test_draws_depend_neither_on_passes_nor_on_blocks_nor_on_threads(monkeypatch):
    net, (X, y) = network((20, 64, 70, 4), dtype=np.float32), data(700, 20, 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = draws(net, X, y, passes=4, seed=1)
    outputs = sample_outputs(net, X)
    np.testing.assert_allclose(sample_outputs(net, X[:40]), outputs[:40], rtol=1e-4, atol=1e-4)
    later = draws(net, X, y, passes=2, seed=1, first=2)
    assert np.array_equal(later.errors, whole.errors[2:])
    assert np.array_equal(later.cross_entropy, whole.cross_entropy[2:])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    threaded = draws(net, X, y, passes=4, seed=1)
    assert np.array_equal(threaded.errors, whole.errors)
    np.testing.assert_allclose(threaded.cross_entropy, whole.cross_entropy, rtol=1e-6)
    assert len(set(whole.cross_entropy)) == 4  # the passes differ
    assert not np.array_equal(draws(net, X, y, seed=2).cross_entropy, whole.cross_entropy[:1])


def test_draws_take_tensors_integers_and_strided_arrays():
    net, (X, y) = network((4, 5, 3)), data(20, 4, 3)
    X = np.round(4 * X)
    expected = draws(net, X, y).cross_entropy
    wide = np.zeros((20, 8))
    wide[:, ::2] = X
    for inputs in (torch.from_numpy(X), X.astype(np.int64), np.asfortranarray(X), wide[:, ::2], X.astype(np.float32)):
        assert np.array_equal(draws(net, inputs, y).cross_entropy, expected)
    assert np.array_equal(draws(net, X, torch.from_numpy(y.astype(np.int32))).cross_entropy, expected)
    assert np.array_equal(draws(net, X, y.astype(np.uint8)).cross_entropy, expected)


def test_draws_of_one_example_and_their_floor():
    net = GaussianMLP.around([(np.array([[0.0], [50.0]]), np.zeros(2))], scale=1e-9)
    found = draws(net, [[1.0]], [0], pmin=1e-3)
    assert found.errors.tolist() == [1]
    assert found.cross_entropy.tolist() == [1.0]  # -ln p is 50, the floor's is 6.9
    assert draws(net, [[1.0]], [1], pmin=1e-3).cross_entropy[0] == pytest.approx(math.exp(-50) / math.log(1e3))


def test_draws_report_progress():
    told = []
    net, (X, y) = network((2, 3)), data(1500, 2, 3)
    draws(net, X, y, passes=2, progress=lambda done, total: told.append((done, total)))
    assert told[0][0] >= 0
    assert all(total == 1500 for _, total in told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_draws_cover_the_gibbs_risk():
    """The mean error of many passes is the exact risk of a binary linear classifier, Phi(-y m / s) on average.

    Six standard errors of 400,000 independent trials: a correct sampler fails with probability 2e-9.
    """
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 5)), rng.integers(2, size=200)
    net = network((5, 2), scale=0.8)
    W, b, rho, rho_b = net.layer(0)
    m = X @ (W[1] - W[0]) + b[1] - b[0]
    s = np.sqrt(X**2 @ np.exp(2 * rho).sum(axis=0) + np.exp(2 * rho_b).sum())
    risk = stats.norm.cdf(np.where(y == 1, -m, m) / s)
    found = draws(net, X, y, passes=2000)
    assert abs(found.error - risk.mean()) < 6 * math.sqrt(np.mean(risk * (1 - risk)) / found.trials)


# ---- KL


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-7, 1e-3, 0.17, 0.2, 1.0, 5.0, -1e-9, -0.3, -4.0])
def test_kl_to_fifty_digits(gap):
    rng = np.random.default_rng(4)
    widths = (3, 4, 2)
    prior = network(widths, 1)
    mean = prior.mean + gap * rng.normal(size=prior.parameters)
    posterior = GaussianMLP(mean, prior.log_scale + gap * rng.uniform(0.5, 1.0, prior.parameters), widths)
    found = posterior.kl(prior)
    assert found.shape == (2,)
    with mpmath.workdps(50):
        terms = []
        for m, r, m0, r0 in zip(posterior.mean, posterior.log_scale, prior.mean, prior.log_scale, strict=True):
            u = 2 * (mpmath.mpf(r) - mpmath.mpf(r0))
            terms.append(
                (mpmath.expm1(u) - u + (mpmath.mpf(m) - mpmath.mpf(m0)) ** 2 * mpmath.exp(-2 * mpmath.mpf(r0))) / 2
            )
        expected = [float(mpmath.fsum(terms[:16])), float(mpmath.fsum(terms[16:]))]
    # 2 (r - r0) is rounded once before the exponential: the relative error of u^2 / 2 is twice that of r - r0
    np.testing.assert_allclose(found, expected, rtol=1e-13 if abs(gap) > 1e-3 else 1e-9, atol=1e-40)


def test_kl_agrees_with_the_other_ways():
    prior, posterior = network((6, 9, 3), 1), network((6, 9, 3), 2)
    assert posterior.kl(prior).sum() == pytest.approx(reference.kl(posterior, prior), rel=1e-12)
    for layer, found in enumerate(posterior.kl(prior)):
        W, b, r, rb = posterior.layer(layer)
        W0, b0, r0, rb0 = prior.layer(layer)
        direct = ph.bounds.gaussian_kl(W, np.exp(r), W0, np.exp(r0)) + ph.bounds.gaussian_kl(
            b, np.exp(rb), b0, np.exp(rb0)
        )
        assert found == pytest.approx(direct, rel=1e-12)
    single = [GaussianMLP(n.mean.astype("f"), n.log_scale.astype("f"), n.widths) for n in (posterior, prior)]
    assert single[0].kl(single[1]).sum() == pytest.approx(reference.kl(*single), rel=1e-9)


# ---- the network


def test_layers_are_in_the_order_of_torch():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    net = GaussianMLP.around([(m.weight.detach(), m.bias.detach()) for m in (model[0], model[2])], scale=0.1)
    assert np.array_equal(net.mean, flat)
    assert net.mean.dtype == np.float32
    assert net.widths == (3, 4, 2)
    assert np.array_equal(net.layer(1)[0], model[2].weight.detach().numpy())
    assert np.allclose(net.layer(1)[3], math.log(0.1))
    assert "3-4-2" in repr(net)
    assert net.to_dict()["widths"] == (3, 4, 2)


GOOD = {"mean": np.zeros(6), "log_scale": np.zeros(6), "widths": (2, 2)}


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"widths": (2,)}, ValueError, "widths"),
        ({"widths": (2, 0)}, ValueError, "widths"),
        ({"widths": (2, 2.0)}, TypeError, "widths"),
        ({"mean": np.zeros(5)}, ValueError, "mean.*expected 6"),
        ({"log_scale": np.zeros(7)}, ValueError, "log_scale.*expected 6"),
        ({"mean": np.full(6, np.nan)}, ValueError, "mean"),
        ({"log_scale": np.full(6, -np.inf)}, ValueError, "log_scale"),
        ({"log_scale": np.full(6, -400.0)}, ValueError, "log_scale.*variance"),
        ({"log_scale": np.zeros(6, "f")}, TypeError, "log_scale.*dtype"),
        ({"mean": np.zeros(6, complex)}, TypeError, "mean"),
        ({"activation": "swish"}, ValueError, "activation"),
        ({"negative_slope": np.nan}, ValueError, "negative_slope"),
    ],
)
def test_bad_networks(changed, error, words):
    with pytest.raises(error, match=words):
        GaussianMLP(**{**GOOD, **changed})


def test_bad_layers():
    for layers, scale in (([], 1.0), ([(np.eye(2), np.zeros(3))], 1.0), ([(np.eye(2), np.zeros(2))], 0.0)):
        with pytest.raises(ValueError, match=r"layers|scale"):
            GaussianMLP.around(layers, scale)
    with pytest.raises(ValueError, match="layers"):
        GaussianMLP.around([(np.eye(2), np.zeros(2)), (np.ones((2, 3)), np.zeros(2))], 1.0)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"X": np.zeros((4, 3))}, ValueError, "X.*columns"),
        ({"X": np.zeros(4)}, ValueError, "X"),
        ({"X": np.full((4, 2), np.nan)}, ValueError, "X"),
        ({"X": np.full((4, 2), np.inf)}, ValueError, "X"),
        ({"X": np.zeros((0, 2))}, ValueError, "X"),
        ({"X": [["a", "b"]] * 4}, TypeError, "X"),
        ({"y": [0, 1, 2, 0]}, ValueError, "y.*0 to 1"),
        ({"y": [0, 1, -1, 0]}, ValueError, "y.*-1"),
        ({"y": [0, 1, 1]}, ValueError, "y.*shape"),
        ({"y": [0.0, 1.0, 1.0, 0.0]}, TypeError, "y.*integer"),
        ({"passes": 0}, ValueError, "passes"),
        ({"passes": 1.5}, TypeError, "passes"),
        ({"seed": -1}, ValueError, "seed"),
        ({"first": 2**32}, ValueError, "first"),
        ({"pmin": 0.0}, ValueError, "pmin"),
        ({"pmin": 1.0}, ValueError, "pmin"),
        ({"X": np.full((4, 2), 1e200)}, ValueError, "not finite"),
    ],
)
def test_bad_draws(changed, error, words):
    given = {"X": np.ones((4, 2)), "y": [0, 1, 1, 0], "passes": 1, "seed": 0, "first": 0, "pmin": 1e-5}
    net = GaussianMLP.around([(np.eye(2), np.zeros(2))], scale=1.0)
    draws(net, **given)
    with pytest.raises(error, match=words):
        draws(net, **{**given, **changed})


def test_one_output_has_no_classes_and_float32_has_an_end():
    with pytest.raises(ValueError, match="two classes"):
        draws(network((2, 1)), np.ones((1, 2)), [0])
    with pytest.raises(ValueError, match="beyond float32"):
        sample_outputs(network((2, 2), dtype=np.float32), np.full((1, 2), 1e50))
    with pytest.raises(ValueError, match=r"prior.*widths"):
        network((2, 2)).kl(network((2, 3, 2)))
    with pytest.raises(TypeError, match=r"prior.*dtype"):
        network((2, 2)).kl(network((2, 2), dtype=np.float32))
