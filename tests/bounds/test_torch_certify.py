"""certify: what it refuses before work, what it keeps apart, and that its draws are draws from the posterior."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import pyphenom as ph
from pyphenom.bounds import Certificate, Loss, certify
from pyphenom.bounds.split import split
from pyphenom.bounds.training import Training

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 600)
X = (RNG.standard_normal((600, 4)) + 3.0 * np.eye(4)[Y]).astype(np.float32)
IMAGES = np.repeat(X, 4, axis=1).reshape(600, 1, 4, 4)
SHORT = Training(prior_epochs=15, epochs=3, prior_learning_rate=1e-2)


def mlp():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def convolutional(*more):
    return nn.Sequential(nn.Conv2d(1, 4, 3), *more, nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()


def short(model=None, inputs=X, labels=Y, **options):
    return certify(model or mlp(), inputs, labels, **{"training": SHORT, "passes": 5} | options)


@pytest.fixture(scope="module")
def found():
    return short(passes=20)


# ---- refused before any work ----------------------------------------------------------------------------------------


class NaNOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x) / 0.0 * 0.0


class Coupled(NaNOutputs):
    def forward(self, x):
        return self.layer(x - x.mean(dim=0))


class Random(NaNOutputs):
    def forward(self, x):
        return self.layer(nn.functional.dropout(x, 0.5, training=True))


class Counting(nn.Module):
    """Moves a buffer in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(()))

    def reset_parameters(self):
        self.seen.zero_()

    def forward(self, x):
        self.seen += len(x)
        return self.layer(x)


def norm(track=True):
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, track_running_stats=track), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (mlp(), {"labels": np.where(Y == 2, 3, Y)}, r"labels from 0 to 3; expected 0 to 2"),
        (mlp(), {"labels": Y - 1}, "labels from -1 to 1"),
        (mlp(), {"labels": Y.astype(float)}, r"expected whole numbers.*astype\('int64'\)"),
        (mlp(), {"labels": Y[:, None]}, r"Write y\.ravel\(\)"),
        (mlp(), {"labels": np.eye(3)[Y]}, r"Write y\.argmax\(1\)"),
        (mlp(), {"labels": Y + 0.5}, "no classes, and a certificate speaks of a classifier"),
        (mlp(), {"labels": Y.astype(str)}, "return_inverse=True"),
        (mlp().requires_grad_(False), {}, r"Use requires_grad_\(\)"),
        (mlp(), {"labels": Y[:9]}, "9 labels for 600 rows"),
        (mlp(), {"delta": 0.0}, "strictly between 0 and 1"),
        (mlp(), {"delta": 1.0}, "strictly between 0 and 1"),
        (mlp(), {"delta": 1.5}, r"`delta` of 'certificate' is 1\.5; expected .* strictly between 0 and 1"),
        (mlp(), {"inputs": X[:1], "labels": Y[:1]}, "of 1 rows"),
        (mlp(), {"inputs": X[:2], "labels": Y[:2]}, "expected 2 or more"),
        (mlp(), {"inputs": np.where(X > 4, np.nan, X)}, "not finite"),
        (mlp(), {"prior": "given", "prior_rows": np.arange(600)}, "names all 600 rows"),
        (mlp(), {"prior": "given"}, "does not say which rows of X"),
        (mlp(), {"prior": "continue"}, "does not say which rows of X"),
        (mlp(), {"prior_rows": [0]}, "prior='train' draws new ones"),
        (mlp(), {"prior": "given", "prior_rows": [1, 1]}, "rows twice"),
        (mlp(), {"prior_fraction": 1.0}, r"in \[0, 1\)"),
        (mlp(), {"prior_fraction": 0.9, "test_fraction": 0.1}, "expected 2 or more"),
        (mlp(), {"prior_fraction": 0.0}, "Pass X_test and y_test"),
        (mlp(), {"prior_scale": 0.0}, "`prior_scale` is 0"),
        (mlp(), {"X_test": X}, "both or neither"),
        (mlp(), {"loss": "hinge"}, "expected one of"),
        (mlp(), {"passes": 0}, "`passes` is 0"),
        (norm(), {}, "'1' in training mode"),
        (norm(track=False).eval(), {}, "keeps no statistics"),
        (NaNOutputs(), {}, "logits that are not finite"),
        (Coupled(), {}, "other logits when others stand beside it"),
        (Random(), {}, "random logits"),
        (nn.Sequential(nn.Linear(4, 1)), {}, r"expected logits \(n, classes\)"),
        (nn.Linear(5, 3), {}, "fails on inputs of shape"),
        (nn.ReLU(), {}, "no parameters"),
        # a convolution draws one kernel for all positions
        (convolutional(), {"inputs": IMAGES, "monte_carlo": "independent"}, "more than once for a point"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(model, options, message, monkeypatch):
    monkeypatch.setattr("pyphenom.bounds._torch_prior.train", lambda *a, **k: pytest.fail("the prior was trained"))
    monkeypatch.setattr("pyphenom.bounds._torch_draws.train_posterior", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises((ValueError, TypeError), match=message):
        short(model, **options)


def test_a_model_that_is_none_and_weights_that_are_nan_are_refused():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module"):
        short(lambda x: x)
    broken = mlp()
    broken[0].weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"not finite in '0\.weight'"):
        short(broken)


def test_e13_buffers_moved_by_the_bounds_points_are_refused():
    with pytest.raises(ValueError, match="moved it, outside of the KL"):
        short(Counting())


# ---- what is kept apart ---------------------------------------------------------------------------------------------


def test_e18_the_split_is_random_and_blind_to_the_labels(found):
    parts = split(600, "train", None, 0.5, 0.1, 3)
    every = np.concatenate([parts.prior, parts.bound, parts.test])
    assert sorted(every) == list(range(600))
    assert (len(parts.prior), len(parts.bound), len(parts.test)) == (300, 240, 60)
    again = split(600, "train", None, 0.5, 0.1, 4)
    assert not np.array_equal(parts.prior, again.prior)
    # A stratified split has the same class counts each time; a random one has hypergeometric ones.
    counts = [np.bincount(Y[split(600, "train", None, 0.5, 0.0, s).prior])[0] for s in range(300)]
    share = np.mean(Y == 0)
    expected = math.sqrt(300 * share * (1 - share) * 300 / 599)
    assert np.std(counts) == pytest.approx(expected, rel=0.2)  # 5 standard errors
    # Named rows stay with the prior.
    seen = np.array([5, 50, 500])
    assert set(seen) <= set(split(600, "continue", seen, 0.1, 0.0, 0).prior)
    assert split(600, "given", seen, 0.5, 0.0, 0).prior.tolist() == seen.tolist()


def test_e1_n_is_that_of_the_bounds_part(found):
    assert (found.rows.count, found.prior.rows.count, found.monte_carlo.n) == (300, 300, 300)
    assert found.held_out[0].rows == found.rows
    assert found.monte_carlo.trials == 20 * 300


def test_the_model_is_neither_read_nor_changed_by_a_trained_prior():
    first, second = mlp(), mlp()
    before = [p.clone() for p in first.parameters()]
    assert short(first) == short(second)
    assert all(torch.equal(a, b) for a, b in zip(before, first.parameters(), strict=True))
    assert all(p.requires_grad and p.grad is None for p in first.parameters())
    assert first.training


def test_a_seed_gives_the_same_certificate_and_another_one_another():
    model = mlp()
    state = torch.random.get_rng_state()
    first, again, other = short(model), short(model), short(model, seed=1)
    assert first == again
    assert first.rows != other.rows
    assert torch.equal(state, torch.random.get_rng_state())
    # training noise and certificate have streams of their own
    assert first.monte_carlo.seed != first.monte_carlo.training_seed


def test_the_prior_depends_on_its_own_rows_alone(found):
    changed = X.copy()
    changed[found.posterior.bound_rows] += 1.0
    other = short(inputs=changed)
    assert other.prior.means == found.prior.means
    assert other.posterior_digest != found.posterior_digest
    changed = X.copy()
    changed[found.posterior.prior_rows[0]] += 1.0
    assert short(inputs=changed).prior.means != found.prior.means


class Shifted(NaNOutputs):
    """Has a buffer that may have been learnt, and no rule to renew it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(4))

    def forward(self, x):
        return self.layer(x - self.mean)


def test_a_trained_prior_renews_every_weight_and_refuses_what_it_cannot_renew():
    for name, model in (
        ("mean", Shifted()),
        ("parametrizations.weight.original0", nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))),
    ):
        with pytest.raises(ValueError, match=f"'{name}', which no reset_parameters"):
            short(model)
        assert short(model, prior="continue", prior_rows=[]).prior.rows.count == 300
    trained = norm().eval()
    trained[1].running_mean += 5.0
    assert short(trained).posterior.buffers["1.running_mean"].max() < 4.0  # set anew on the prior's rows
    attention = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.TransformerEncoderLayer(2, 1, 4, 0.0, batch_first=True))
    assert short(nn.Sequential(attention, nn.Flatten(), nn.Linear(4, 3))).monte_carlo.scheme == "shared"


def test_given_weights_stay_the_priors_means():
    model = mlp()
    given = short(model, prior="given", prior_rows=[], X_test=X[:50], y_test=Y[:50])
    assert given.prior.rows is None
    assert given.rows.count == 600
    assert all(
        np.array_equal(a, b.detach()) for a, b in zip(given.posterior.prior_mean, model.parameters(), strict=True)
    )
    assert "no row of these data" in repr(given)
    on = short(model, prior="continue", prior_rows=[0, 1, 2], prior_fraction=0.25)
    assert on.prior.rows.count == 150
    assert on.prior.means != given.prior.means


def test_a_prior_without_data_and_test_points_beside_it():
    found = short(prior_fraction=0.0, prior_scale=0.1, test_fraction=0.2)
    assert found.prior.rows is None
    assert [held.predictor for held in found.held_out] == ["the posterior's mean network", "the prior's mean network"]
    assert found.held_out[0].rows.count == 120
    assert found.rows.count == 480


# ---- the value ------------------------------------------------------------------------------------------------------


def test_three_separated_classes_are_certified_and_random_labels_are_vacuous(found):
    assert found.value < 0.25
    assert not found.vacuous
    control = short(labels=np.random.default_rng(1).permutation(Y))
    assert control.vacuous
    assert "VACUOUS" in repr(control)
    assert control.held_out[0].value > 0.5


def test_e8_candidates_are_paid_for(found):
    chosen = short(passes=20, candidates=100)
    assert chosen.value > found.value
    assert chosen.held_out[0].delta == pytest.approx(0.0005)
    assert "one of 100: 4.605 nats" in repr(chosen)


def test_e14_the_cross_entropy_is_certified_as_such(found):
    other = short(loss="cross-entropy", floor=1e-3, passes=20)
    assert other.posterior_digest == found.posterior_digest
    assert other.value != found.value
    assert other.loss == Loss("cross-entropy", 1e-3)


def test_e15_a_vote_is_certified_at_twice_the_gibbs_value(found):
    vote = short(passes=20, predictor="vote")
    assert vote.value == pytest.approx(2 * found.value, rel=1e-12)
    assert "vote: the class that most networks" in repr(vote)
    assert vote.parts()[-1] == ("vote", vote.value)
    with pytest.raises(ValueError, match="for a vote"):
        short(predictor="vote", loss="cross-entropy")


def test_e15_a_sampled_network_is_certified_by_its_density_ratio(tmp_path):
    model = mlp()
    found = short(model, predictor="sampled")
    weights, total = found.posterior, 0.0
    for h, mean, rho, centre in zip(weights.sample, weights.mean, weights.log_scale, weights.prior_mean, strict=True):
        posterior = stats.norm.logpdf(np.float64(h), mean, np.exp(np.float64(rho)))
        total += (posterior - stats.norm.logpdf(np.float64(h), centre, weights.prior_scale)).sum()
    assert found.kl == pytest.approx(total, rel=1e-9, abs=1e-9)
    # The network is at hand, and has the recorded errors.
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.state_dict().items()})
    rows = weights.bound_rows
    wrong = int((model(torch.from_numpy(X[rows])).argmax(dim=1).numpy() != Y[rows]).sum())
    assert found.monte_carlo.sums == (wrong,)
    assert found.value == ph.bounds.rivasplata(wrong / 300, found.kl, 300, 0.05)
    assert found.delta.parts[0].delta == 0.05  # no draws to pay for
    again = Certificate.load(found.save(tmp_path))
    assert again.verify(X, Y).passed
    again.posterior.sample[0][0, 0] += 1.0  # another network than the one that the stream gives
    changed = Certificate.from_json(found.to_json(), again.posterior)
    assert [check.name for check in changed.verify(X, Y).checks if not check.passed] == ["saved weights"]


def test_verify_finds_the_same_and_finds_what_was_changed(found, tmp_path):
    again = Certificate.load(found.save(tmp_path))
    assert again.verify(X, Y).passed
    assert again.verify(torch.from_numpy(X), Y, mlp()).passed
    other = X.copy()
    other[found.posterior.bound_rows[0]] += 1e-3
    report = again.verify(other, Y)
    assert not report.passed
    assert next(check.name for check in report.checks if not check.passed) == "rows of the bound"
    assert "FAILED rows of the bound" in repr(report)
    again.posterior.mean[0][0, 0] += 1.0
    names = {check.name for check in again.verify(X, Y).checks if not check.passed}
    assert {"posterior", "KL", "value"} <= names
    with pytest.raises(ValueError, match="in its place"):
        again.verify(X, Y, nn.Sequential(nn.Linear(4, 3)))


def test_a_tied_weight_is_one_parameter():
    linear = nn.Linear(4, 4)
    found = short(nn.Sequential(linear, nn.ReLU(), linear))
    assert (found.monte_carlo.scheme, found.parameters) == ("shared", 20)


def test_convolutions_and_frozen_batch_norm_are_certified_by_shared_draws():
    model = convolutional(nn.BatchNorm2d(4)).eval()
    found = short(model, IMAGES, passes=300)
    assert found.monte_carlo.scheme == "shared"
    assert found.monte_carlo.trials == 300
    assert set(found.prior.buffers) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert {"1.weight", "1.bias"} <= {layer.name for layer in found.layers}  # part of the KL
    assert found.value < 0.3
    assert found.verify(IMAGES, Y, model).passed
    with pytest.raises(ValueError, match=r"`model` is missing.*Write verify\(X, y, model\)"):
        found.verify(IMAGES, Y)
    buffers = dict(found.posterior.buffers)
    assert np.abs(buffers["1.running_mean"]).max() > 0  # counted on the prior's rows
    found.posterior.buffers["1.running_mean"][0] += 1.0
    assert "buffers" in {check.name for check in found.verify(IMAGES, Y, model).checks if not check.passed}


# ---- digits ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_digits_have_a_certificate_that_says_something():
    images = ph.data.digits()
    model = nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10))
    pixels = (images.pixels / 8 - 1).astype(np.float32)
    how = Training(prior_epochs=30, epochs=5)
    found = certify(model, pixels, images.labels, passes=30, training=how)
    assert found.value < 0.1
    assert found.held_out[0].value < found.value  # on as few points the plain test bound wins
    labels = np.random.default_rng(0).permutation(images.labels)
    assert certify(model, pixels, labels, passes=30, training=how).vacuous
