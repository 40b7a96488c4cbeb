import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.bounds import Certificate, certify, gibbs_network
from pyphenom.bounds.training import Training

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 600)
X = (RNG.standard_normal((600, 1, 2, 2)) + 3.0 * np.eye(4)[Y].reshape(600, 1, 2, 2)).astype(np.float32)
SHORT = Training(prior_epochs=15, epochs=1, prior_learning_rate=1e-2)
PLAIN = nn.Sequential(nn.Flatten(), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
OTHER = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize(("model", "given"), [(PLAIN, None), (PLAIN, PLAIN), (OTHER, OTHER)])
def test_it_errs_as_often_as_the_draws_of_the_certificate(model, given):
    found = certify(model, X, Y, prior_scale=0.2, passes=200, training=SHORT)
    network = gibbs_network(found, X, given)
    rows = found.posterior.bound_rows
    points, labels = torch.from_numpy(X[rows]), torch.from_numpy(Y[rows])
    rates = [float((network(points).argmax(dim=1) != labels).float().mean()) for _ in range(200)]
    recorded = np.array(found.monte_carlo.sums) / len(rows)
    error = np.sqrt((np.var(rates) + np.var(recorded)) / 200)
    assert abs(np.mean(rates) - recorded.mean()) < 5 * error  # fails once in a million
    assert len(set(rates)) > 5
    assert torch.equal(gibbs_network(found, X, given, seed=3)(points), gibbs_network(found, X, given, seed=3)(points))


def test_what_is_missing_is_said():
    found = certify(OTHER, X, Y, passes=2, training=SHORT)
    with pytest.raises(ValueError, match="`model` is missing"):
        gibbs_network(found, X)
    with pytest.raises(ValueError, match="no `posterior`"):
        gibbs_network(Certificate.from_json(found.to_json()), X, OTHER)
    with pytest.raises(ValueError, match=r"Load posterior\.state_dict"):
        gibbs_network(certify(PLAIN, X, Y, predictor="sampled", training=SHORT), X)
