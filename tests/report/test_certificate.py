import math

import numpy as np
import pytest

from pyphenom.bounds import Certificate, HeldOut, Loss, MonteCarlo, Posterior, Provenance, Rows, Union
from pyphenom.bounds import test_set as binomial_bound
from pyphenom.bounds.accounting import budget
from pyphenom.report import draw_certificate, save_figure


@pytest.fixture
def found():
    X, y = np.random.default_rng(0).standard_normal((400, 2)), np.zeros(400, int)
    weights = Posterior(
        ("weight",), (np.ones((2, 2)),), (np.full((2, 2), math.log(0.1)),), (np.zeros((2, 2)),), 0.5,
        np.arange(200), np.arange(200, 400), np.empty(0, np.int64),
    )  # fmt: skip
    rows = Rows.of(weights.bound_rows, X, y)
    return Certificate.issue(
        weights, loss=Loss("zero-one"), classes=2, rows=rows, delta=budget(0.05),
        prior=Provenance("train", None, 0.5, 0, weights.prior_digest()), monte_carlo=MonteCarlo(
            "independent", (4.0, 6.0), 200, 1, 2, ""
        ), held_out=(HeldOut("the mean", 5, rows, 0.05, binomial_bound(5, 200, 0.05)),), model="a model", parameters=4,
        unions=(Union("certificates", 3),),
    )  # fmt: skip


def test_the_bars_end_at_the_certificate_and_the_line_is_the_test_bound(found, tmp_path):
    canvas = draw_certificate(found, "a title")
    (axes,) = canvas.axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx([value for _, value in found.parts()])
    assert ends[-1] == found.value
    assert axes.lines[0].get_xdata()[0] == found.held_out[0].value
    assert axes.get_title() == "a title"
    save_figure(canvas, tmp_path / "certificate.png")
