"""Norms of weights and paths against numpy's decompositions and explicit enumeration."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.bounds import margins, path_norm, weight_norms


def dense(*sizes, activation=nn.ReLU, bias=True, seed=0):
    torch.manual_seed(seed)
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, bias), activation()]
    return nn.Sequential(*layers[:-1]).double()


def rescaled(model, factor):
    """The same function: the first ReLU layer times a factor, the next divided by it."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other[0].parameters():
            value.mul_(factor)
        other[2].weight.div_(factor)
    return other


def test_norms_are_those_of_numpys_svd():
    end, start = dense(6, 5, 4, 3, seed=1), dense(6, 5, 4, 3, seed=2)
    found = weight_norms(end, start)
    for j, layer in enumerate((0, 2, 4)):
        W, D = end[layer].weight.detach().numpy(), (end[layer].weight - start[layer].weight).detach().numpy()
        values = np.linalg.svd(W, compute_uv=False)
        assert found.spectral[j] == pytest.approx(values[0], rel=1e-12)
        assert found.frobenius[j] == pytest.approx(np.sqrt((values**2).sum()), rel=1e-12)
        assert found.distance_spectral[j] == pytest.approx(np.linalg.svd(D, compute_uv=False)[0], rel=1e-12)
        assert found.distance_frobenius[j] == pytest.approx(np.sqrt((D**2).sum()), rel=1e-12)
        assert found.distance_21[j] == pytest.approx(sum(np.sqrt((row**2).sum()) for row in D), rel=1e-12)
        assert found.row_sum[j] == pytest.approx(max(np.abs(row).sum() for row in W), rel=1e-12)
    assert found.widths.tolist() == [5, 4, 3]
    assert found.weights == 6 * 5 + 5 * 4 + 4 * 3


def test_a_kernel_is_a_matrix_on_patches_and_groups_are_blocks_of_one():
    torch.manual_seed(0)
    plain, grouped = nn.Conv2d(4, 6, 3).double(), nn.Conv1d(4, 6, 3, groups=2).double()
    zero = [copy.deepcopy(layer) for layer in (plain, grouped)]
    for layer in zero:
        layer.weight.data.zero_()
    found = weight_norms(plain, zero[0])
    matrix = plain.weight.detach().numpy().reshape(6, 36)
    assert found.spectral[0] == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-12)
    blocks = np.zeros((6, 12))
    kernel = grouped.weight.detach().numpy()
    blocks[:3, :6], blocks[3:, 6:] = kernel[:3].reshape(3, 6), kernel[3:].reshape(3, 6)
    found = weight_norms(grouped, zero[1])
    assert found.spectral[0] == pytest.approx(np.linalg.norm(blocks, 2), rel=1e-12)
    assert found.distance_21[0] == pytest.approx(np.linalg.norm(blocks, axis=1).sum(), rel=1e-12)
    assert found.weights == 36


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_path_norm_enumerates_the_paths(power, activation):
    net = dense(3, 4, 2, activation=activation)
    (W1, b1), (W2, b2) = ([v.detach().numpy() for v in layer.parameters()] for layer in (net[0], net[2]))
    total = sum(abs(b) ** power for b in b2)
    for k, j in itertools.product(range(2), range(4)):
        total += abs(W2[k, j] * b1[j]) ** power
        total += sum(abs(W2[k, j] * W1[j, i]) ** power for i in range(3))
    assert path_norm(net, np.zeros((7, 3)), power) == pytest.approx(total, rel=1e-12)


def test_an_activation_may_stand_twice():
    net, function = dense(3, 4, 3, 2, activation=nn.Tanh), nn.Tanh()
    shared = nn.Sequential(net[0], function, net[2], function, net[4])
    assert path_norm(shared, np.zeros((1, 3))) == path_norm(net, np.zeros((1, 3)))
    apart = nn.Sequential(net[0], function, net[2], function, nn.BatchNorm1d(3), net[4]).double().eval()
    with pytest.raises(ValueError, match="`model` has batch norm '4'; expected it right behind a linear"):
        path_norm(apart, np.zeros((1, 3)))


def test_path_norm_of_a_convolution_is_that_of_its_dense_matrix():
    torch.manual_seed(0)
    conv, head = nn.Conv1d(2, 3, 2, bias=False).double(), nn.Linear(9, 2, bias=False).double()
    net = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head)
    with torch.no_grad():
        matrix = conv(torch.eye(8, dtype=torch.float64).reshape(8, 2, 4)).reshape(8, 9).T
        total = float(((head.weight**2) @ (matrix**2)).sum())
    assert path_norm(net, np.zeros((1, 2, 4))) == pytest.approx(total, rel=1e-12)


def test_path_norms_do_not_see_a_rescaling_that_the_function_does_not_see():
    net = dense(3, 5, 4, 2)
    other, X = rescaled(net, 7.0), np.zeros((1, 3))
    for power in (1, 2):
        assert path_norm(other, X, power) == pytest.approx(path_norm(net, X, power), rel=1e-12)
    assert weight_norms(other, net).spectral[0] == pytest.approx(7.0 * weight_norms(net, net).spectral[0])


def test_margins_are_the_distance_to_the_best_other_class():
    net, rng = dense(3, 4, 3), np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.integers(0, 3, 50)
    f = net(torch.from_numpy(X)).detach().numpy()
    slow = [f[i, y[i]] - max(f[i, k] for k in range(3) if k != y[i]) for i in range(50)]
    np.testing.assert_allclose(margins(net, X, y), slow, rtol=1e-12)
    np.testing.assert_array_equal(margins(net, X, y) < 0, f.argmax(1) != y)


def normalised(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2)).double()
    net.append(nn.BatchNorm1d(2)).double()
    for layer in (net[1], net[5]):
        for value in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
            value.uniform_(0.5, 2.0)
    return net.eval()


def test_batch_norm_is_folded_into_the_layer_before_it():
    net = normalised()
    before = copy.deepcopy(net.state_dict())
    found = weight_norms(net, net)
    for j, (layer, norm) in enumerate(((net[0], net[1]), (net[4], net[5]))):
        factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().numpy()
        W = layer.weight.detach().numpy().reshape(len(factor), -1) * factor[:, None]
        assert found.spectral[j] == pytest.approx(np.linalg.norm(W, 2), rel=1e-10)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    X, y = torch.randn(8, 2, 4, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    f = net(X).detach().numpy()
    np.testing.assert_allclose(margins(net, X, y), f[:, 0] - f[:, 1], rtol=1e-10)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        return x + self.norm(self.layer(x))


def test_what_cannot_be_measured_is_refused_with_a_remedy():
    net = dense(3, 4, 2)
    with pytest.raises(ValueError, match=r"`model` has batch norm in training mode.*model\.eval\(\)"):
        weight_norms(normalised().train(), normalised())
    with pytest.raises(ValueError, match=r"`model` has batch norm 'norm'; expected it right behind"):
        weight_norms(Residual().eval(), Residual().eval())
    with pytest.raises(TypeError, match=r"parameters in '0', a LayerNorm; expected Linear and"):
        weight_norms(nn.Sequential(nn.LayerNorm(3)), net)
    with pytest.raises(TypeError, match=r"`model` is a str"):
        weight_norms("net", net)
    with pytest.raises(ValueError, match=r"`initial` has parameters of the shapes"):
        weight_norms(net, dense(3, 5, 2))
    with pytest.raises(ValueError, match="no layer with weights"):
        weight_norms(nn.Sequential(nn.ReLU()), net)
    broken = copy.deepcopy(net)
    broken[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"not finite in \['0.weight'\]"):
        weight_norms(broken, net)
    with pytest.raises(ValueError, match="`power` is 3"):
        path_norm(net, np.zeros((1, 3)), 3)
    X = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"`y` goes from 0 to 2; expected 0 to 1"):
        margins(net, X, [0, 1, 2, 0])
    with pytest.raises(TypeError, match="expected class indices"):
        margins(net, X, [0.0, 1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="as many targets"):
        margins(net, X, [0, 1])
    with pytest.raises(ValueError, match="`X` holds NaN"):
        margins(net, X * np.nan, [0, 1, 1, 0])
