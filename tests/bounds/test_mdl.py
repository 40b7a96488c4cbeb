"""Prequential code lengths against the evidence of a conjugate model, Kraft's inequality, and uniform labels."""

import itertools

import numpy as np
import pytest
from scipy.special import gammaln
from sklearn.linear_model import LogisticRegression

from pyphenom.bounds import CodeLength, doubling_blocks, prequential
from pyphenom.data import digits


def krichevsky_trofimov(X_seen, y_seen, X_new):
    counts = np.bincount(y_seen, minlength=2) + 0.5
    return np.tile(counts / counts.sum(), (len(X_new), 1))


@pytest.mark.parametrize("ones", [0, 7, 20, 60])
def test_label_by_label_it_is_the_evidence_of_the_beta_prior(ones):
    y = np.zeros(60, int)
    y[:ones] = 1
    np.random.default_rng(ones).shuffle(y)
    found = prequential(krichevsky_trofimov, np.zeros((60, 1)), y, 2, starts=range(60))
    evidence = gammaln(ones + 0.5) + gammaln(60 - ones + 0.5) - np.log(np.pi) - gammaln(61)
    assert found.bits == pytest.approx(-evidence / np.log(2), rel=1e-12)
    assert found.uniform_bits == 60.0


@pytest.mark.parametrize("starts", [[0, 1, 2, 3, 4], [0, 2, 3], [0, 1, 4]])
def test_lengths_of_all_labellings_are_those_of_a_code(starts):
    def odd(X_seen, y_seen, X_new):  # depends on the labels and inputs seen in some way or other
        p = (1.0 + np.sum(y_seen * X_seen[:, 0]) % 5 + X_new[:, 0] % 3) / 10.0
        return np.stack([p, 1 - p], axis=1)

    X = np.arange(5.0)[:, None]
    lengths = [prequential(odd, X, np.array(y), 2, starts=starts).bits for y in itertools.product((0, 1), repeat=5)]
    assert sum(2.0**-bits for bits in lengths) == pytest.approx(1.0, rel=1e-12)


def test_the_predictor_sees_blocks_before_and_no_label_of_its_own():
    seen = []

    def uniform(X_seen, y_seen, X_new):
        seen.append((len(X_seen), len(y_seen), len(X_new)))
        return np.full((len(X_new), 4), 0.25)

    done = []
    found = prequential(uniform, np.zeros((300, 2)), np.zeros(300, int), 4, progress=lambda *step: done.append(step))
    assert seen == [(64, 64, 64), (128, 128, 128), (256, 256, 44)]
    assert done == [(2, 4), (3, 4), (4, 4)]
    np.testing.assert_allclose(found.block_bits, [128, 128, 256, 88])
    assert found.ratio == 1.0
    assert found.chance == 1.0
    assert "600 bits for 300 labels" in repr(found)


def regression(X_seen, y_seen, X_new):
    model = LogisticRegression(C=1.0, max_iter=500).fit(X_seen, y_seen)
    p = np.full((len(X_new), 10), 0.0)
    p[:, model.classes_] = model.predict_proba(X_new)
    return 0.98 * p + 0.002


def test_true_labels_are_compressed_and_random_ones_are_not():
    images = digits()
    X, y = images.pixels[:600] / 16.0, images.labels[:600]
    true = prequential(regression, X, y, 10)
    assert true.ratio < 0.6
    assert true.chance < 1e-9
    # Kraft: ten bits are saved with probability below 2^-10.
    random = prequential(regression, X, np.random.default_rng(0).integers(0, 10, 600), 10)
    assert random.bits > random.uniform_bits - 10
    assert random.uniform_bits == pytest.approx(600 * np.log2(10))


def test_blocks_double():
    assert doubling_blocks(64) == [0]
    assert doubling_blocks(65) == [0, 64]
    assert doubling_blocks(1, first=1) == [0]


def test_wrong_certainty_costs_infinitely_much():
    def certain(X_seen, y_seen, X_new):
        return np.tile([1.0, 0.0], (len(X_new), 1))

    assert prequential(certain, np.zeros((2, 1)), [0, 1], 2, starts=[0, 1]).bits == np.inf
    saved = CodeLength(np.array([0, 100]), np.array([90.0]), 90.0, 100.0)
    assert saved.chance == 2.0**-10


def test_bad_input():
    X, y = np.zeros((4, 1)), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="`classes` is 1; expected an integer >= 2"):
        prequential(krichevsky_trofimov, X, y, 1)
    with pytest.raises(TypeError, match="expected class indices"):
        prequential(krichevsky_trofimov, X, y.astype(float), 2)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        prequential(krichevsky_trofimov, X, y + 1, 2)
    for starts in ([1, 2], [0, 2, 2], [0, 4], [0.0, 1.0]):
        with pytest.raises(ValueError, match="`starts` is"):
            prequential(krichevsky_trofimov, X, y, 2, starts=starts)
    with pytest.raises(ValueError, match="gives the shape"):
        prequential(lambda *_: np.zeros((1, 1)), X, y, 2, starts=[0, 1])
    with pytest.raises(ValueError, match="no probabilities"):
        prequential(lambda *_: np.ones((3, 2)), X, y, 2, starts=[0, 1])
    with pytest.raises(ValueError, match="`first` is 9"):
        doubling_blocks(4, 9)
