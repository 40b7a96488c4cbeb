import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.networks import Recipe, mlp, train

N, D, K = 23, 3, 4
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.from_numpy(np.random.default_rng(1).integers(0, K, (3, N)))
TARGETS = torch.from_numpy(np.random.default_rng(2).standard_normal((3, N, K)))


def net(*sizes, seed=0):
    return mlp(sizes, "relu", seed, torch.float64)


def numbers(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


NAN, BEYOND, IGNORED = X.clone(), LABELS[0].clone(), LABELS[0].clone()
NAN[3, 1], BEYOND[5], IGNORED[5] = float("nan"), K, -100

BAD = {
    "numpy": ({"inputs": X.numpy()}, TypeError, "`inputs` and `targets` are ndarray and Tensor.*torch.from_numpy"),
    "dtype": (
        {"inputs": X.float()},
        TypeError,
        r"`inputs` has the dtype torch.float32.*Use inputs.to\(torch.float64\)",
    ),
    "columns": ({"inputs": X[:, :2]}, ValueError, r"`models\[0\]` fails at `inputs` of the shape \(2, 2\)"),
    "no samples": ({"inputs": X[:0]}, ValueError, r"`inputs` has the shape \(0, 3\)"),
    "nan": ({"inputs": NAN}, ValueError, "`inputs` holds NaN or infinity"),
    "nan in targets": ({"targets": NAN, "recipe": "squared"}, ValueError, "`targets` holds NaN or infinity"),
    "label beyond": ({"targets": BEYOND}, ValueError, "`targets` go up to 4; expected 0 to 3"),
    "label ignored by torch": ({"targets": IGNORED}, ValueError, "`targets` go down to -100"),
    "labels of 32 bits": ({"targets": LABELS[0].int()}, TypeError, "`targets` has the dtype torch.int32"),
    "fewer labels": ({"targets": LABELS[0, :-1]}, ValueError, r"`targets` has the shape \(22,\); expected \(23,\)"),
    "rows of labels": ({"targets": LABELS}, ValueError, r"`targets` has the shape \(3, 23\); .*, or \(2, 23\)"),
    "columns of targets": ({"targets": TARGETS[0, :, :1], "recipe": "squared"}, ValueError, r"expected \(23, 4\)"),
    "labels for targets": ({"targets": LABELS[0], "recipe": "squared"}, ValueError, r"\(23,\); expected \(23, 4\)"),
    "outputs": (
        {"models": [nn.Sequential(net(D, K), nn.Flatten(0))]},
        ValueError,
        "`models` give outputs of the shape",
    ),
    "nothing to train": (
        {"models": [net(D, K).requires_grad_(False)]},
        ValueError,
        "no parameter that requires a grad",
    ),
    "seeds": ({"order": [1]}, ValueError, "`order` has 1 seeds; expected one, or 2"),
    "seed": ({"order": [1, -1]}, ValueError, r"`order\[1\]` is -1"),
    "seed of floats": ({"order": 0.5}, TypeError, r"`order\[0\]` is 0.5"),
    "number of subsets": ({"subsets": [[0]]}, ValueError, "`subsets` has 1 entries; expected 2"),
    "boolean subset": (
        {"subsets": [[0], np.arange(N) < 9]},
        ValueError,
        r"`subsets\[1\]` has .*dtype bool.*flatnonzero",
    ),
    "subset of floats": ({"subsets": [[0], [1.5]]}, ValueError, r"`subsets\[1\]` has .* dtype float64"),
    "empty subset": ({"subsets": [[0], []]}, ValueError, r"`subsets\[1\]` has shape \(0,\)"),
    "sample beyond": ({"subsets": [[0], [N]]}, ValueError, r"`subsets\[1\]` .*expected indices of samples, 0 to 22"),
    "sample below": ({"subsets": [[0], [-1]]}, ValueError, r"`subsets\[1\]`"),
    "subsets of two sizes": ({"subsets": [[0], [1, 2]]}, ValueError, r"`subsets` have the sizes \[1, 2\]"),
    "subset below the batch": (
        {"subsets": [[0]] * 2, "recipe": "batch"},
        ValueError,
        r"`subsets\[0\]` has 1 samples, fewer",
    ),
    "batch": ({"recipe": "large batch"}, ValueError, "`batch_size` is 24 with 23 samples; expected at most 23"),
    "step": ({"at": [0, 11]}, ValueError, r"`at` is 11; expected an integer in \[0, 10\]"),
    "step of floats": ({"at": [0.5]}, TypeError, "`at` is 0.5"),
    "mask": ({"masks": [{}, {"weight": torch.ones(1).bool()}]}, ValueError, r"`masks\[1\]` names 'weight'"),
}
CHECKED = {
    "squared": Recipe(10, 0.1, loss="squared"),
    "batch": Recipe(10, 0.1, 5),
    "large batch": Recipe(10, 0.1, N + 1),
}


@pytest.mark.parametrize(("bad", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named_before_any_work(bad, error, message):
    models = bad.get("models", [net(D, 5, K, seed=1), net(D, 3, K, seed=2)])
    before, readings = [numbers(model) for model in models], []
    arguments = {"inputs": X, "targets": LABELS[0], "probes": [readings.append], "at": [0], **bad}
    arguments |= {"models": models, "recipe": CHECKED.get(bad.get("recipe"), Recipe(10, 0.1))}
    with pytest.raises(error, match=message):
        train(**arguments)
    assert not readings
    assert all(torch.equal(numbers(model), value) for model, value in zip(models, before, strict=True))
