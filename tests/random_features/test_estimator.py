import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import pyphenom as ph

RandomFeatureRegressor = ph.random_features.RandomFeatureRegressor


@parametrize_with_checks([RandomFeatureRegressor(width=60), RandomFeatureRegressor(width=20, ridge=0.0)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def problem(n, d, targets=None, seed=0):
    rng = np.random.default_rng(seed)
    shape = n if targets is None else (n, targets)
    return rng.standard_normal((n, d)), rng.standard_normal(shape), rng.standard_normal((15, d))


@pytest.mark.parametrize("width", [1, 20, 40, 100])
@pytest.mark.parametrize("ridge", [0.0, 1e-6, 0.3])
@pytest.mark.parametrize("targets", [None, 1, 3])
def test_predictions_are_those_of_the_width_path(width, ridge, targets):
    X, y, fresh = problem(40, 5, targets)
    settings = {"activation": "tanh", "ridge": ridge, "seed": 3, "bias_scale": 0.4}
    model = RandomFeatureRegressor(width, **settings).fit(X, y)
    zeros = np.zeros((15, *y.shape[1:]))
    path = ph.random_features.width_path(X, y, fresh, zeros, [width], predictions=True, **settings)
    found = model.predict(fresh)
    assert found.shape == zeros.shape
    assert model.coef_.shape == (width, *y.shape[1:])
    np.testing.assert_allclose(found, path.predictions[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("width", [3, 90])
def test_coefficients_are_the_normal_equations(width):
    X, y, _ = problem(30, 4)
    Z = ph.random_features.features(X, width)
    truth = np.linalg.solve(Z.T @ Z + 30 * 0.2 * np.eye(width), Z.T @ y)
    np.testing.assert_allclose(RandomFeatureRegressor(width, ridge=0.2).fit(X, y).coef_, truth, rtol=1e-9, atol=1e-12)


def test_float32_inputs():
    X, y, fresh = problem(30, 4)
    wide = RandomFeatureRegressor(20, ridge=0.1).fit(X, y).predict(fresh)
    single = RandomFeatureRegressor(20, ridge=0.1).fit(X.astype(np.float32), y).predict(fresh.astype(np.float32))
    np.testing.assert_allclose(single, wide, rtol=1e-4, atol=1e-4)


def test_pipelines_searches_and_clones():
    X, y, fresh = problem(60, 3)
    y = np.abs(X[:, 0])
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RandomFeatureRegressor(width=80)),
        {"randomfeatureregressor__ridge": [1e-6, 1e3]},
        cv=3,
    ).fit(X, y)
    assert search.best_params_ == {"randomfeatureregressor__ridge": 1e-6}
    assert np.array_equal(clone(search.best_estimator_).fit(X, y).predict(fresh), search.predict(fresh))


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"width": 0}, ValueError, "width"),
        ({"width": 2.5}, TypeError, "width"),
        ({"ridge": -1.0}, ValueError, "ridge"),
        ({"activation": "gelu"}, ValueError, "activation"),
        ({"distribution": "cauchy"}, ValueError, "distribution"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_parameters_are_named_by_fit(settings, error, name):
    X, y, _ = problem(10, 3)
    with pytest.raises(error, match=name):
        RandomFeatureRegressor(**settings).fit(X, y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [50, 400])
@pytest.mark.parametrize(("activation", "d"), [("identity", 3), ("relu", 1), ("sign", 2)])
def test_dependent_features_without_a_ridge(activation, d, width, dtype):
    X, y, fresh = problem(200, d)
    X, fresh = X.astype(dtype), fresh.astype(dtype)
    found = RandomFeatureRegressor(width, activation=activation, ridge=0.0).fit(X, y).predict(fresh)
    path = ph.random_features.width_path(X, y, fresh, np.zeros(15), [width], activation, predictions=True)
    assert path.status == "rank-deficient"
    np.testing.assert_allclose(found, path.predictions[0], rtol=0, atol=200 * np.finfo(dtype).eps * np.abs(y).max())
