"""The native kernel against dense automatic differentiation, in float64 to twelve digits."""

import itertools

import curvature as reference
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pyphenom.curvature._loss_spec import LossSpec
from pyphenom.curvature._torch_native import native_products

EXACT = 1e-12
DIRECTIONS = 5
PRODUCTS = ("hessian", "ggn", "jacobian")


def close(found, truth, tolerance=EXACT):
    scale = max(float(np.abs(truth).max()), 1e-300)
    assert found.shape == truth.shape
    assert float(np.abs(found - truth).max()) <= tolerance * scale


def directions(products, K=DIRECTIONS, seed=0):
    return np.random.default_rng(seed).standard_normal((K, products.size)).astype(products.dtype)


def compare(products, truth, tolerance=EXACT):
    assert products is not None
    V = directions(products)
    U = np.random.default_rng(1).standard_normal((3, *truth.outputs.shape)).astype(products.dtype)
    assert products.loss == pytest.approx(truth.loss, rel=tolerance, abs=tolerance)
    close(products.outputs, truth.outputs, tolerance)
    close(products.gradient(), truth.gradient, tolerance)
    close(products.hessian(V), V @ truth.hessian, tolerance)
    close(products.ggn(V), V @ truth.ggn, tolerance)
    close(products.jacobian(V), np.einsum("ncp,kp->knc", truth.jacobian, V), tolerance)
    close(products.jacobian_transpose(U), np.einsum("ncp,knc->kp", truth.jacobian, U), tolerance)


def seeded(build, *shape):
    torch.manual_seed(0)
    return build().double(), torch.randn(*shape, dtype=torch.float64)


def cross_entropy(y):
    return lambda f: functional.cross_entropy(f, y, reduction="sum")


def dense_net(activation, *, outputs=3):
    return nn.Sequential(
        nn.Linear(5, 6), activation, nn.Sequential(nn.Linear(6, 4, bias=False), activation), nn.Linear(4, outputs)
    )


ACTIVATIONS = [
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.SiLU(),
    nn.Softplus(),
    nn.Softplus(beta=2.0, threshold=0.5),  # the samples lie on both sides of the threshold
    nn.Identity(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activations(activation):
    model, X = seeded(lambda: dense_net(activation), 7, 5)
    y = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    compare(native_products(model, nn.CrossEntropyLoss(), X, y), reference.dense(model, cross_entropy(y), X))


def test_the_second_derivative_of_an_activation_counts():
    # The Gauss-Newton matrix, which lacks it, is far away: what passes above cannot have dropped it.
    model, X = seeded(lambda: dense_net(nn.Tanh()), 7, 5)
    y = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    truth = reference.dense(model, cross_entropy(y), X)
    assert np.abs(truth.hessian - truth.ggn).max() > 0.05 * np.abs(truth.hessian).max()
    linear, _ = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh()), 7, 5)
    truth = reference.dense(linear, lambda f: 0.5 * (f**2).sum(), X)
    assert np.abs(truth.hessian - truth.ggn).max() > 0.05 * np.abs(truth.hessian).max()
    compare(native_products(linear, LossSpec("half_squared", np.zeros((7, 4))), X), truth)


def test_activations_in_a_row_and_at_the_end():
    def build():
        tanh = nn.Tanh()  # one object in three places
        return nn.Sequential(tanh, nn.Linear(5, 6), tanh, nn.Sigmoid(), nn.GELU(), tanh, nn.Linear(6, 3), nn.SiLU())

    model, X = seeded(build, 7, 5)
    y = torch.randn(7, 3, dtype=torch.float64)
    products = native_products(model, nn.MSELoss(reduction="sum"), X, y)
    compare(products, reference.dense(model, lambda f: ((f - y) ** 2).sum(), X))


SIX = torch.tensor([0, 1, 2, 1, 0, 2])
REAL = torch.linspace(-1.0, 2.0, 18, dtype=torch.float64).reshape(6, 3)
UNIT = REAL.sigmoid()  # rows that do not sum to one, as torch allows
LOSSES = {
    "mean squared": (nn.MSELoss(), REAL, lambda f: ((f - REAL) ** 2).sum() / 3),
    "squared": (nn.MSELoss(reduction="sum"), REAL, lambda f: ((f - REAL) ** 2).sum()),
    "half squared": (LossSpec("half_squared", REAL.numpy()), None, lambda f: 0.5 * ((f - REAL) ** 2).sum()),
    "indices": (nn.CrossEntropyLoss(), SIX, cross_entropy(SIX)),
    "smoothed indices": (
        nn.CrossEntropyLoss(label_smoothing=0.3, reduction="sum"),
        SIX,
        lambda f: functional.cross_entropy(f, SIX, label_smoothing=0.3, reduction="sum"),
    ),
    "probabilities": (nn.CrossEntropyLoss(), UNIT, cross_entropy(UNIT)),
    "smoothed probabilities": (
        nn.CrossEntropyLoss(label_smoothing=0.3),
        UNIT,
        lambda f: functional.cross_entropy(f, UNIT, label_smoothing=0.3, reduction="sum"),
    ),
    "binary": (
        nn.BCEWithLogitsLoss(),
        UNIT,
        lambda f: functional.binary_cross_entropy_with_logits(f, UNIT, reduction="sum") / 3,
    ),
    "summed binary": (
        nn.BCEWithLogitsLoss(reduction="sum"),
        UNIT,
        lambda f: functional.binary_cross_entropy_with_logits(f, UNIT, reduction="sum"),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    loss, y, total = LOSSES[name]
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    compare(native_products(model, loss, X, y), reference.dense(model, total, X))


def test_mean_loss_is_that_of_torch():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    for loss, y, _ in (LOSSES[name] for name in ("mean squared", "smoothed probabilities", "binary")):
        products = native_products(model, loss, X, y)
        assert products.loss / 6 == pytest.approx(loss(model(X), y).item(), rel=EXACT)


def test_cross_entropy_of_large_outputs_stays_finite():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(5, 3)), 6, 5)
    y = SIX
    with torch.no_grad():
        model[0].weight *= 1e4
    truth = functional.cross_entropy(model(X), y, reduction="sum").item()
    products = native_products(model, nn.CrossEntropyLoss(), X, y)
    assert products.loss == pytest.approx(truth, rel=EXACT)
    assert np.isfinite(products.hessian(directions(products))).all()


def cubic(f):
    return ((f**4).sum(1) + (f[:, 0] * f[:, 1]) ** 2).sum()


class Cubic:
    """A loss that couples the outputs of a sample, by torch."""

    def linearize(self, outputs):
        self.f = torch.from_numpy(outputs)
        return float(cubic(self.f)), torch.func.grad(cubic)(self.f).numpy()

    def hessian(self, U):
        _, pull = torch.func.vjp(torch.func.grad(cubic), self.f)
        return np.stack([pull(torch.from_numpy(u))[0].numpy() for u in U])


@pytest.mark.parametrize("workspace", [1, 1 << 26])
def test_custom_loss(workspace, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature._torch_native._WORKSPACE", workspace)
    model, X = seeded(lambda: dense_net(nn.GELU()), 6, 5)
    mine = Cubic()
    products = native_products(model, LossSpec("custom", linearize=mine.linearize, hessian=mine.hessian), X)
    compare(products, reference.dense(model, cubic, X))
    products.refresh()
    compare(products, reference.dense(model, cubic, X))


CONVOLUTIONAL = {
    "plain": (lambda: [nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(60, 2)], (2, 7, 6)),
    "strided": (
        lambda: [
            nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
            nn.GELU(),
            nn.Conv2d(4, 2, 2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16, 2),
        ],
        (2, 5, 6),
    ),
    "dilated": (
        lambda: [
            nn.Conv2d(1, 3, 2, dilation=2, padding="same"),
            nn.Softplus(),
            nn.Conv2d(3, 2, 3, dilation=(1, 2), padding="valid"),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(8, 2),
        ],
        (1, 4, 6),
    ),
    "grouped": (
        lambda: [
            nn.Conv2d(4, 6, 3, groups=2),
            nn.Sigmoid(),
            nn.Conv2d(6, 6, 1, groups=6),
            nn.Tanh(),
            nn.Conv2d(6, 2, 2, groups=2),
            nn.Flatten(),
        ],
        (4, 4, 4),
    ),
    "pointwise": (
        lambda: [nn.Conv2d(3, 4, 1), nn.Tanh(), nn.Conv2d(4, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        (3, 3, 4),
    ),
    "circular": (
        lambda: [
            nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"),
            nn.Tanh(),
            nn.Conv1d(3, 2, 3, padding=2, padding_mode="reflect"),
            nn.Tanh(),
            nn.Conv1d(2, 2, 3, padding=1, padding_mode="replicate"),
            nn.Flatten(),
        ],
        (2, 5),
    ),
    "maximum": (
        lambda: [
            nn.Conv2d(2, 3, 2),
            nn.Tanh(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(3, 2, 2, padding=1),
            nn.MaxPool2d(2, stride=1, dilation=(1, 2)),
            nn.Tanh(),
            nn.Flatten(),
        ],
        (2, 6, 6),
    ),
    "average": (
        lambda: [
            nn.Conv2d(2, 3, 2),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.Tanh(),
            nn.AvgPool2d((2, 3), count_include_pad=False, padding=(1, 1)),
            nn.SiLU(),
            nn.AvgPool2d(2, stride=1, divisor_override=3),
            nn.Flatten(),
        ],
        (2, 6, 6),
    ),
    "one-dimensional": (
        lambda: [
            nn.AvgPool1d(2),
            nn.Conv1d(2, 3, 3, padding=1),
            nn.Tanh(),
            nn.MaxPool1d(2),
            nn.AdaptiveAvgPool1d(3),
            nn.Conv1d(3, 2, 2),
            nn.Tanh(),
            nn.Flatten(),
        ],
        (2, 20),
    ),
    "spatial outputs": (lambda: [nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 2, 2)], (2, 4, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutions_and_pooling(name):
    layers, shape = CONVOLUTIONAL[name]
    model, X = seeded(lambda: nn.Sequential(*layers()), 3, *shape)
    y = torch.randn_like(model(X).detach())
    products = native_products(model, nn.MSELoss(reduction="sum"), X, y)
    compare(products, reference.dense(model, lambda f: ((f - y) ** 2).sum(), X))
    assert products.output_shape == tuple(y.shape)


@pytest.mark.parametrize(
    ("widths", "n"), [((1, 1), 1), ((1, 1, 1), 1), ((3, 1, 2), 1), ((1, 100, 1), 20), ((40, 70, 60, 3), 90)]
)
def test_sizes_from_one_unit_to_those_where_blas_takes_over(widths, n):
    def build():
        layers = [layer for d in itertools.pairwise(widths) for layer in (nn.Linear(*d), nn.Tanh())]
        return nn.Sequential(*layers[:-1])

    model, X = seeded(build, n, widths[0])
    y = torch.randn(n, widths[-1], dtype=torch.float64)
    products = native_products(model, nn.MSELoss(reduction="sum"), X, y)
    if products.size < 1000:
        compare(products, reference.dense(model, lambda f: ((f - y) ** 2).sum(), X))
        return
    V = directions(products, 2)
    gradient, truth = hessian_products(model, lambda f: ((f - y) ** 2).sum(), X, V)
    close(products.gradient(), gradient)
    close(products.hessian(V), truth)


def hessian_products(model, total, X, V):
    """Return V H by double backward, one row at a time."""
    parameters = list(model.parameters())
    grads = torch.autograd.grad(total(model(X)), parameters, create_graph=True)
    g = torch.cat([part.reshape(-1) for part in grads])
    rows = [torch.autograd.grad(g @ torch.from_numpy(v), parameters, retain_graph=True) for v in V]
    return g.detach().numpy(), np.stack([torch.cat([part.reshape(-1) for part in row]).numpy() for row in rows])


@pytest.mark.parametrize("K", [1, 2, 5, 7])
@pytest.mark.parametrize("workspace", [1, 3000, 1 << 20])
def test_blocks_are_single_products(K, workspace, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature._torch_native._WORKSPACE", workspace)
    model, X = seeded(lambda: dense_net(nn.GELU()), 7, 5)
    products = native_products(model, nn.CrossEntropyLoss(), X, torch.tensor([0, 1, 2, 1, 0, 2, 2]))
    V = directions(products, K)
    for name in PRODUCTS:
        product = getattr(products, name)
        np.testing.assert_allclose(product(V), np.concatenate([product(v[None]) for v in V]), rtol=1e-13, atol=1e-14)
    U = products.jacobian(V)
    singles = np.concatenate([products.jacobian_transpose(u[None]) for u in U])
    np.testing.assert_allclose(products.jacobian_transpose(U), singles, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("workspace", [1, 1 << 22])  # blocks of some hundred samples and one direction; all at once
def test_samples_shared_out_in_blocks(workers, workspace, monkeypatch):
    monkeypatch.setattr("pyphenom.curvature._torch_native._WORKSPACE", workspace)
    monkeypatch.setattr("pyphenom.curvature._torch_native.threads", lambda: workers)

    def build():
        return nn.Sequential(
            *(nn.Conv1d(2, 5, 3), nn.SiLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(45, 70), nn.Tanh()),
            *(nn.Linear(70, 30), nn.GELU(), nn.Linear(30, 3)),
        )

    model, X = seeded(build, 1001, 2, 20)
    y = torch.randint(0, 3, (1001,))
    products = native_products(model, nn.CrossEntropyLoss(), X, y)
    V = directions(products, 3)
    gradient, truth = hessian_products(model, cross_entropy(y), X, V)
    close(products.gradient(), gradient)
    close(products.hessian(V), truth)
    assert products.loss == pytest.approx(cross_entropy(y)(model(X)).item(), rel=EXACT)
    np.testing.assert_array_equal(products.hessian(V), products.hessian(V))
    p = products.outputs - products.outputs.max(axis=1, keepdims=True)
    p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    U = products.jacobian(V)
    U = p * (U - (p * U).sum(axis=2, keepdims=True))
    close(products.ggn(V), products.jacobian_transpose(U))


def test_products_repeat_bitwise():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(64, 90), nn.Tanh(), nn.Linear(90, 5)), 300, 64)
    y = torch.randint(0, 5, (300,))
    first, second = (native_products(model, nn.CrossEntropyLoss(), X, y) for _ in range(2))
    V = directions(first, 3)
    for name in PRODUCTS:
        once = getattr(first, name)(V)
        np.testing.assert_array_equal(once, getattr(first, name)(V))
        np.testing.assert_array_equal(once, getattr(second, name)(V))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_float32_is_float64_to_five_digits(activation):
    model, X = seeded(lambda: nn.Sequential(nn.Linear(30, 40), activation, nn.Linear(40, 40), activation), 50, 30)
    y = torch.randn(50, 40, dtype=torch.float64)
    double = native_products(model, nn.MSELoss(), X, y)
    single = native_products(model, nn.MSELoss(), X, y, torch.float32)
    assert single.dtype == np.float32
    V = directions(double)
    assert single.loss == pytest.approx(double.loss, rel=1e-5)
    close(single.gradient(), double.gradient(), 1e-5)
    for name in PRODUCTS:
        close(getattr(single, name)(V.astype(np.float32)), getattr(double, name)(V), 1e-5)


def test_bias_gradients_accumulate_in_float64():
    # 2^24 + 1 is no float32: a sum in float32 over 2^25 rows would stick; here a few large and many small ones.
    n = 1 << 15
    model = nn.Sequential(nn.Linear(1, 1))
    X, y = torch.zeros(n, 1), torch.full((n, 1), -1.0)
    y[0] = -(2.0**25)
    with torch.no_grad():
        model[0].bias.zero_()
    gradient = native_products(model, LossSpec("half_squared", y.numpy()), X).gradient()
    assert gradient[1] == np.float32(2.0**25 + n - 1)


# ---- parts of the parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["0.weight"],
        ["0.bias"],
        ["2.0.weight"],
        ["3.weight", "3.bias"],
        ["0.bias", "3.weight"],
        ["2.0.weight", "3.bias"],
    ],
)
def test_subsets_of_the_parameters(names):
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX, parameters=names)
    compare(products, reference.dense(model, cross_entropy(SIX), X, names))


def test_frozen_parameters_are_left_out():
    layers, shape = CONVOLUTIONAL["strided"]
    model, X = seeded(lambda: nn.Sequential(*layers()), 3, *shape)
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    y = torch.tensor([0, 1, 1])
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    compare(native_products(model, nn.CrossEntropyLoss(), X, y), reference.dense(model, cross_entropy(y), X, names))


def test_refresh_follows_the_model():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    products.refresh()
    compare(products, reference.dense(model, cross_entropy(SIX), X))
    products.refresh(np.zeros(products.size))
    assert products.loss == pytest.approx(6 * np.log(3))


# ---- the row space of the inputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flattened", [False, True])
def test_compression_changes_no_product(flattened):
    def build():
        return nn.Sequential(*[nn.Flatten()] * flattened, nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3))

    model, X = seeded(build, 6, *((2, 9) if flattened else (18,)))
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    assert products.compressible
    assert products.rank == 6
    assert products.compressed_size == products.size - 4 * 12
    V = directions(products)
    small = products.compress(V)
    assert small.shape == (DIRECTIONS, products.compressed_size)
    close(products.compress(products.expand(small)), small)  # an isometry
    close(products.expand(products.gradient(compressed=True)[None])[0], products.gradient())
    for name in ("hessian", "ggn"):
        close(products.expand(getattr(products, name)(small, compressed=True)), getattr(products, name)(V))
    close(products.jacobian(small, compressed=True), products.jacobian(V))
    U = products.jacobian(V)
    close(products.expand(products.jacobian_transpose(U, compressed=True)), products.jacobian_transpose(U))


def test_compression_with_repeated_samples_and_a_custom_loss():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3)), 6, 18)
    X[3] = X[1]
    mine = Cubic()
    products = native_products(model, LossSpec("custom", linearize=mine.linearize, hessian=mine.hessian), X)
    V = directions(products)
    close(products.expand(products.hessian(products.compress(V), compressed=True)), products.hessian(V))


def test_where_there_is_nothing_to_compress():
    wide, X = seeded(lambda: nn.Sequential(nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3)), 6, 18)
    square, Z = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    frozen, _ = seeded(lambda: nn.Sequential(nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 3)), 6, 18)
    frozen[0].weight.requires_grad_(False)
    for products in (
        native_products(wide, nn.CrossEntropyLoss(), X, SIX, compress=False),
        native_products(square, nn.CrossEntropyLoss(), Z, SIX),
        native_products(frozen, nn.CrossEntropyLoss(), X, SIX),
    ):
        assert not products.compressible
        assert products.compressed_size == products.size
        with pytest.raises(ValueError, match="not compressed"):
            products.compress(directions(products))


# ---- what is refused -----------------------------------------------------------------------------------------------


def hooked():
    model = dense_net(nn.Tanh())
    model[0].register_forward_hook(lambda *_: None)
    return model


def shared():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


UNKNOWN = {
    "hooks": hooked,
    "shared parameters": shared,
    "dropout that draws": lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)),
    "normalization": lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)),
    "a subclass": lambda: nn.Sequential(Doubled(5, 3)),
    "another module": lambda: nn.Linear(5, 3),
    "nothing to train": lambda: nn.Sequential(nn.Tanh()),
    "half precision": lambda: nn.Sequential(nn.Linear(5, 3)).half(),
    "wrong width": lambda: nn.Sequential(nn.Linear(4, 3)),
    "half a flattening": lambda: nn.Sequential(nn.Flatten(0), nn.Linear(5, 3)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_models_are_left_to_autograd(name):
    torch.manual_seed(0)
    assert native_products(UNKNOWN[name](), nn.CrossEntropyLoss(), torch.randn(6, 5), SIX) is None


def test_dropout_in_evaluation_is_the_identity():
    model, X = seeded(lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).eval(), 6, 5)
    compare(native_products(model, nn.CrossEntropyLoss(), X, SIX), reference.dense(model, cross_entropy(SIX), X))


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.ones(3)),
        nn.BCEWithLogitsLoss(pos_weight=torch.ones(3)),
        nn.MSELoss(reduction="none"),
        nn.L1Loss(),
        lambda f, y: (f - y).sum(),
    ],
)
def test_other_losses_are_left_to_autograd(loss):
    torch.manual_seed(0)
    assert native_products(dense_net(nn.Tanh()), loss, torch.randn(6, 5), REAL.float()) is None


def test_ignored_samples_are_left_to_autograd():
    torch.manual_seed(0)
    y = SIX.clone()
    y[2] = -100
    assert native_products(dense_net(nn.Tanh()), nn.CrossEntropyLoss(), torch.randn(6, 5), y) is None


def test_bad_input_is_named():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    with pytest.raises(ValueError, match=r"`y` has shape \(6, 2\); expected \(6, 3\)"):
        native_products(model, nn.MSELoss(), X, REAL[:, :2])
    with pytest.raises(ValueError, match="`y` holds class 3"):
        native_products(model, nn.CrossEntropyLoss(), X, SIX + 1)
    with pytest.raises(ValueError, match="`kind` is 'hinge'"):
        LossSpec("hinge")
    with pytest.raises(ValueError, match="expected both"):
        LossSpec("custom")
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    with pytest.raises(ValueError, match="`V` is of another shape"):
        products.hessian(np.zeros((2, products.size + 1)))
    with pytest.raises(ValueError, match="`V` is not contiguous"):
        products.hessian(np.zeros((2, 2 * products.size))[:, ::2])
    with pytest.raises(ValueError, match="`U` is of another shape"):
        products.jacobian_transpose(np.zeros((1, 6, 4)))


def test_the_model_stays_as_it_was():
    model, X = seeded(lambda: dense_net(nn.Tanh()), 6, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    products = native_products(model, nn.CrossEntropyLoss(), X, SIX)
    products.hessian(directions(products))
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
