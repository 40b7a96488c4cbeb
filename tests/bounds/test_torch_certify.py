"""certify: what it refuses before work, what it keeps apart, and that its draws are draws from the posterior."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import pyphenom as ph
from pyphenom.bounds import Certificate, GaussianMLP, Loss, certify, draws, independent_draws, kl_inverse
from pyphenom.bounds._torch_gaussian import BLOCK, GaussianNetwork, Stream, bounded_loss, draw
from pyphenom.bounds._torch_model import stack, widths
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
        self.layer.reset_parameters()

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
        (mlp(), {"labels": Y.astype(float)}, "expected whole numbers"),
        (mlp(), {"labels": Y[:9]}, "9 labels for 600 rows"),
        (mlp(), {"delta": 0.0}, "strictly between 0 and 1"),
        (mlp(), {"delta": 1.0}, "strictly between 0 and 1"),
        (mlp(), {"delta": 1.5}, "strictly between 0 and 1"),
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
        # E17
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
    # E23
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


def test_convolutions_and_frozen_batch_norm_are_certified_by_shared_draws():
    model = convolutional(nn.BatchNorm2d(4)).eval()
    found = short(model, IMAGES, passes=300)
    assert found.monte_carlo.scheme == "shared"
    assert found.monte_carlo.trials == 300
    assert set(found.prior.buffers) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert {"1.weight", "1.bias"} <= {layer.name for layer in found.layers}  # part of the KL
    assert found.value < 0.3
    assert found.verify(IMAGES, Y, model).passed
    with pytest.raises(ValueError, match="`model` is missing"):
        found.verify(IMAGES, Y)
    buffers = dict(found.posterior.buffers)
    assert np.abs(buffers["1.running_mean"]).max() > 0  # counted on the prior's rows
    found.posterior.buffers["1.running_mean"][0] += 1.0
    assert "buffers" in {check.name for check in found.verify(IMAGES, Y, model).checks if not check.passed}


# ---- the draws ------------------------------------------------------------------------------------------------------


def network(layers, inputs, scale=0.3):
    torch.manual_seed(0)
    return GaussianNetwork(nn.Sequential(*layers()).eval(), inputs, scale)


STACKS = [
    (lambda: (nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)), ((4, 16, 3), "relu")),
    (lambda: (nn.Flatten(), nn.Linear(4, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 3)), ((4, 8, 3), "tanh")),
    (lambda: (nn.Linear(4, 3),), ((4, 3), "identity")),
    (lambda: (nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)), None),
    (lambda: (nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), None),
    (lambda: (nn.Linear(4, 8), nn.LeakyReLU(0.3), nn.Linear(8, 3)), None),
    (lambda: (nn.Linear(4, 8), nn.Linear(8, 3)), None),
]


@pytest.mark.parametrize(("layers", "native"), STACKS)
def test_which_networks_have_independent_draws(layers, native):
    found = stack(nn.Sequential(*layers()), torch.zeros(2, 4))
    assert found is not None
    assert widths(found) == native


def test_e17_no_independent_draws_where_a_weight_is_used_twice():
    linear = nn.Linear(4, 4)
    tied = nn.Linear(4, 4)
    tied.weight = linear.weight
    for model, inputs in (
        (nn.Sequential(linear, nn.ReLU(), linear), torch.zeros(2, 4)),
        (nn.Sequential(linear, nn.ReLU(), tied), torch.zeros(2, 4)),
        (nn.Sequential(linear, nn.Flatten()), torch.zeros(2, 3, 4)),  # acts on each of three positions
        (convolutional(), torch.zeros(2, 1, 4, 4)),
        (norm().eval(), torch.zeros(2, 4)),
        (nn.Sequential(nn.RNN(4, 3)), torch.zeros(2, 4)),
    ):
        assert stack(model, inputs) is None


def test_a_tied_weight_is_one_parameter_and_is_drawn_once():
    linear = nn.Linear(4, 4)
    model = nn.Sequential(linear, nn.ReLU(), linear)
    found = short(model)
    assert (found.monte_carlo.scheme, found.parameters) == ("shared", 20)
    gaussian = GaussianNetwork(model, torch.from_numpy(X), 0.3)
    x, weights = torch.from_numpy(X), gaussian.weights(Stream(0, 0, 0, torch.zeros(())))
    W, b = weights["0.weight"], weights["0.bias"]
    expected = torch.relu(x @ W.T + b) @ W.T + b
    assert torch.allclose(gaussian.with_weights(x, weights), expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "_"), STACKS)
def test_e12_fresh_pre_activations_have_the_law_of_fresh_weights(layers, _):
    # One point many times; a Kolmogorov-Smirnov test per output fails a correct sampler once in 1e6.
    inputs = torch.from_numpy(X[:1])
    gaussian = network(layers, inputs)
    with torch.no_grad():
        fast = gaussian.noisy(inputs.expand(4000, -1), Stream(1, 0, 0, inputs))
        slow = torch.cat(
            [gaussian.with_weights(inputs, gaussian.weights(Stream(2, i, 0, inputs))) for i in range(1500)]
        )
    for k in range(3):
        assert stats.ks_2samp(fast[:, k].numpy(), slow[:, k].numpy()).pvalue > 1e-6
    # Outputs of two points with fresh weights each are independent; with shared weights they are not.
    both = torch.from_numpy(np.repeat(X[:1], 2, axis=0))
    with torch.no_grad():
        pairs = torch.stack([gaussian.noisy(both, Stream(3, i, 0, inputs))[:, 0] for i in range(1500)])
    assert abs(np.corrcoef(pairs.T.numpy())[0, 1]) < 5 / math.sqrt(1500)


def test_native_and_torch_draws_agree_in_distribution():
    inputs, labels = torch.from_numpy(X), torch.from_numpy(Y)
    gaussian = network(STACKS[0][0], inputs)
    slow = draw(gaussian, inputs, labels, Loss("zero-one"), "independent", 60, 5, lambda done, total: None)
    layers = [(gaussian.mean[i].detach().numpy(), gaussian.mean[i + 1].detach().numpy()) for i in (0, 2)]
    fast = draws(GaussianMLP.around(layers, 0.3), X, Y, 60, seed=6).errors
    error = math.sqrt((np.var(slow) + np.var(fast)) / 60)
    assert abs(np.mean(slow) - np.mean(fast)) < 5 * error


def test_e4_a_ragged_last_block_counts_its_own_points():
    many, labels = torch.from_numpy(np.concatenate([X, X, X])), torch.from_numpy(np.concatenate([Y, Y, Y]))
    assert len(many) % BLOCK
    gaussian = network(lambda: (nn.Linear(4, 8, bias=False), nn.ELU(), nn.Linear(8, 3)), many)
    for loss in (Loss("zero-one"), Loss("cross-entropy", 1e-4)):
        (total,) = draw(gaussian, many, labels, loss, "shared", 1, 9, lambda done, total: None)
        with torch.no_grad():
            logits = gaussian.with_weights(many, gaussian.weights(Stream(9, 0, 0, many)))
            p = torch.softmax(logits.double(), dim=1)[torch.arange(len(many)), labels]
        floor = loss.floor or 1.0
        expected = (
            (logits.argmax(1) != labels).sum().item()
            if loss.kind == "zero-one"
            else torch.clamp(-torch.log(p), max=-math.log(floor)).sum().item() / -math.log(floor)
        )
        assert total == pytest.approx(expected, rel=1e-5)
        assert bounded_loss(logits, labels, loss).max() <= 1.0


def test_e16_the_violation_rates_of_the_simulation():
    """A linear classifier in 20 dimensions whose exact Gibbs risk is known; 4000 certificates of the empirical risk."""
    rng = np.random.default_rng(0)
    n, repetitions, delta = 1000, 4000, 0.05
    points = rng.standard_normal((n, 20)).astype(np.float32)
    mean = rng.standard_normal(20) * 0.6
    labels = (points @ mean + rng.standard_normal(n) > 0).astype(int)
    W = np.stack([-mean / 2, mean / 2]).astype(np.float32)
    gaussian = GaussianMLP.around([(W, np.zeros(2, np.float32))], 1 / math.sqrt(2))
    # The difference of the two logits is N(x.mean, (x^2 + 1) / 2 * 2).
    margin = (points @ mean) * (2 * labels - 1) / np.sqrt((points**2).sum(axis=1) + 1)
    risk = stats.norm.cdf(-margin).mean()

    fresh = draws(gaussian, points, labels, repetitions, seed=1).errors / n
    assert np.mean(fresh) == pytest.approx(risk, abs=5 * 0.5 / math.sqrt(n * repetitions))
    weights = mean + rng.standard_normal((repetitions, 20))
    biases = rng.standard_normal((repetitions, 1))
    wrong = (weights @ points.T + biases > 0) != labels
    shared = wrong.mean(axis=1)

    violated = {
        "fresh weights for each point": np.mean(independent_draws(fresh, n, delta) < risk),
        "one network, counted for each point": np.mean(independent_draws(shared, n, delta) < risk),
        "one network, counted once": np.mean(kl_inverse(shared, math.log(1 / delta)) < risk),
    }
    assert violated["fresh weights for each point"] <= delta
    assert violated["one network, counted once"] <= delta
    assert violated["one network, counted for each point"] > 3 * delta  # the error that the plan rules out


# ---- digits ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_digits_have_a_certificate_that_says_something():
    images = ph.data.digits()
    model = nn.Sequential(nn.Linear(64, 600), nn.ReLU(), nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 10))
    pixels = (images.pixels / 8 - 1).astype(np.float32)
    how = Training(prior_epochs=30, epochs=5)
    found = certify(model, pixels, images.labels, passes=30, training=how)
    assert found.value < 0.1
    assert found.held_out[0].value < found.value  # on as few points the plain test bound wins
    labels = np.random.default_rng(0).permutation(images.labels)
    assert certify(model, pixels, labels, passes=30, training=how).vacuous
