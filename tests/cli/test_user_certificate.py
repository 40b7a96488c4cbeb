import json
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from pyphenom.bounds import Certificate
from pyphenom.cli import app

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 400)
X = (RNG.standard_normal((400, 4)) + 4.0 * np.eye(4)[LABELS]).astype(np.float32)

NET = """
    from torch import nn

    def plain():
        print("what the user prints")
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    def normed():
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    np.savez("data.npz", X=X, y=LABELS, noise=RNG.permutation(LABELS), high=LABELS + 1, seen=np.arange(40))
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).state_dict(), "weights.pt")
    return tmp_path


def certify(*arguments, model="net.py:plain", data="data.npz"):
    short = ("--prior-epochs", "60", "--epochs", "2", "--passes", "20")
    return CliRunner().invoke(app, ["certify", model, data, *short, *map(str, arguments)])


def test_an_account_a_figure_and_files_that_verify(place):
    result = certify("-o", "here", "--test-fraction", "0.2")
    assert result.exit_code == 0, result.stderr
    assert "what the user prints" not in result.stdout
    found = Certificate.load(place / "here")
    assert repr(found) in result.stdout
    assert (found.rows.count, found.prior.rows.count, len(found.held_out)) == (120, 200, 2)
    assert (place / "here" / "certificate.png").read_bytes().startswith(b"\x89PNG")
    assert found.verify(X, LABELS).passed
    for word in ("prior", "posterior", "draws"):  # the bars
        assert word in result.stderr


def test_the_json_is_the_record_and_nothing_else(place):
    result = certify("--json", "--delta", "0.1", "--candidates", "4")
    assert result.exit_code == 0, result.stderr
    record = (place / "pyphenom-results/certificate/certificate.json").read_text()
    assert json.loads(result.stdout) == json.loads(record)
    assert json.loads(record)["unions"] == [{"what": "certificates", "candidates": 4, "draws": True}]
    assert json.loads(record)["delta"]["delta"] == 0.1


def test_given_weights_with_the_rows_that_they_have_seen(place):
    result = certify("--prior", "given", "--prior-rows", "seen", "--weights", "weights.pt", "--json")
    record = json.loads(result.stdout)
    assert record["prior"]["rows"]["count"] == 40
    assert record["rows"]["count"] == 360
    unseen = json.loads(certify("--prior", "continue", "--unseen", "--prior-fraction", "0.25", "--json").stdout)
    assert (unseen["prior"]["origin"], unseen["prior"]["rows"]["count"]) == ("continue", 100)


def test_random_labels_are_vacuous_and_exit_status_1(place):
    result = certify("--targets", "noise", "-o", "noise")
    assert result.exit_code == 1
    assert "vacuous: a uniform guess" in result.stderr
    assert (place / "noise" / "certificate.json").exists()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("--targets", "high"), {}, "labels from 1 to 3; expected 0 to 2"),
        (("--delta", "1"), {}, "strictly between 0 and 1"),
        (("--prior", "given"), {}, "expected --prior-rows with the name of the array"),
        (("--output", "net.py/folder"), {}, "'net.py/folder', and"),
        (("--prior", "given", "--prior-rows", "rows"), {}, "expected 'rows'"),
        ((), {"model": "net.py:normed"}, "'1' in training mode"),
        ((), {"model": "net.py:none"}, "has no function 'none'"),
        ((), {"data": "none.npz"}, "which is no file"),
        (("--prior-fraction", "1"), {}, "in [0, 1)"),
        (("--targets", "X"), {}, "Write y.argmax(1)"),
        (("--loss", "hinge"), {}, "hinge"),
    ],
)
def test_what_is_wrong_is_said(place, arguments, options, message):
    result = certify(*arguments, **options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert not (place / "pyphenom-results").exists()
