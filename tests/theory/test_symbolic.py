import ast
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy

from pyphenom.theory import eigenframework, random_features, ridge_regression
from pyphenom.theory import symbolic as sy


def zero(expression):
    return sympy.simplify(expression) == 0


def function(expression, *symbols):
    return sympy.lambdify(symbols, expression, "numpy")


# -- ridge regression -------------------------------------------------------------------------------------------------


def test_rearranged_form_is_the_textbook_form():
    for textbook, rearranged in zip(sy.isotropic_risk(), sy.isotropic_risk_rearranged(), strict=True):
        assert zero(textbook - rearranged)


def test_numeric_form_is_the_symbolic_form():
    bias, variance = sy.isotropic_risk()
    symbols = (sy.aspect_ratio, sy.ridge, sy.signal_power, sy.noise_variance)
    for values in [(0.5, 0.1, 1.0, 0.25), (2.0, 0.5, 3.0, 0.1), (1.0, 1e-3, 1.0, 1.0), (30.0, 7.0, 0.2, 2.0)]:
        risk = ridge_regression.isotropic_risk(*values)
        np.testing.assert_allclose(risk.bias, function(bias, *symbols)(*values), rtol=1e-9)
        np.testing.assert_allclose(risk.variance, function(variance, *symbols)(*values), rtol=1e-9)


@pytest.mark.parametrize("gamma", [sympy.Rational(1, 3), sympy.Rational(7, 2)])
def test_ridgeless_limit(gamma):
    bias, variance = (sympy.limit(e.subs(sy.aspect_ratio, gamma), sy.ridge, 0, "+") for e in sy.isotropic_risk())
    if gamma < 1:
        assert bias == 0
        assert zero(variance - sy.noise_variance * gamma / (1 - gamma))
    else:
        assert zero(bias - sy.signal_power * (1 - 1 / gamma))
        assert zero(variance - sy.noise_variance / (gamma - 1))


def test_derivative_vanishes_at_the_optimal_ridge():
    slope = sympy.diff(sum(sy.isotropic_risk()), sy.ridge)
    assert zero(slope.subs(sy.ridge, sy.optimal_ridge()))
    assert not zero(slope.subs(sy.ridge, 2 * sy.optimal_ridge()))


def test_risk_at_the_optimal_ridge_is_the_stieltjes_transform():
    best = sum(sy.isotropic_risk()).subs(sy.ridge, sy.optimal_ridge())
    m = sy.stieltjes_transform(-sy.optimal_ridge())
    assert zero(best - sy.noise_variance * sy.aspect_ratio * m)


def test_stieltjes_transform_is_that_of_the_marchenko_pastur_density():
    for gamma in (0.4, 2.5):
        low, high = (1 - gamma**0.5) ** 2, (1 + gamma**0.5) ** 2
        density = lambda x, g=gamma, a=low, b=high: mpmath.sqrt((b - x) * (x - a)) / (2 * mpmath.pi * g * x)  # noqa: E731
        integral = mpmath.quad(lambda x, f=density: f(x) / (x + 0.7), [low, high])
        atom = max(0, 1 - 1 / gamma) / 0.7
        m = sy.stieltjes_transform(sympy.Float(-0.7)).subs(sy.aspect_ratio, gamma)
        np.testing.assert_allclose(float(m), float(integral) + atom, rtol=1e-9)


def test_finite_sample_risk_is_the_numeric_one():
    symbols = (sy.samples, sy.width, sy.inside_power, sy.outside_power, sy.noise_variance)
    for values in [(40, 10, 0.1, 0.9, 0.04), (40, 80, 0.8, 0.2, 0.04)]:
        expected = function(sy.finite_sample_risk(values[1] > values[0]), *symbols)(*values)
        risk = ridge_regression.finite_sample_risk(*values).total
        np.testing.assert_allclose(risk + values[-1], expected, rtol=1e-13)


def test_finite_sample_risk_tends_to_the_proportional_limit():
    for over, gamma in [(False, sympy.Rational(1, 3)), (True, sympy.Integer(3))]:
        exact = sy.finite_sample_risk(over).subs({sy.width: gamma * sy.samples, sy.outside_power: 0})
        limit = sympy.limit(exact, sy.samples, sympy.oo) - sy.noise_variance
        proportional = sum(sympy.limit(e.subs(sy.aspect_ratio, gamma), sy.ridge, 0, "+") for e in sy.isotropic_risk())
        assert zero(limit - proportional.subs(sy.signal_power, sy.inside_power))


# -- random features --------------------------------------------------------------------------------------------------


def test_polynomials_are_the_eigenvalue_framework():
    # A rational identity in chi, zeta, psi1, psi2: any changed sign in a polynomial breaks it.
    assert sympy.cancel(sympy.together(sy.mei_montanari_risk() - sy.eigenframework_risk())) == 0


def test_real_equation_is_the_product_of_the_complex_ones():
    nu1, nu2, xi = sympy.symbols("nu1 nu2 xi")
    first, second = sy.mei_montanari_fixed_point()
    x = sy.chi
    share = sy.zeta**2 * x / (1 - sy.zeta**2 * x)
    solved1, solved2 = -(sy.psi1 + x + share) / xi, -(sy.psi2 + x + share) / xi
    # Each equation is linear in its own nu once nu1 nu2 is named chi.
    for equation, nu, other, solved in ((first, nu1, nu2, solved1), (second, nu2, nu1, solved2)):
        assert zero(sympy.simplify(equation.subs(other, x / nu)).subs(nu, solved))
    product = (solved1 * solved2).subs(xi, sympy.I * sympy.sqrt(sy.psi1 * sy.psi2 * sy.reduced_ridge))
    scale = -sy.psi1 * sy.psi2 * sy.reduced_ridge
    assert zero((product - x) * scale - sy.mei_montanari_real_equation())


def chi_of(psi1, psi2, ridge, constants):
    """The unknown of the paper from the effective ridge of the framework."""
    found = eigenframework.random_feature_regression(
        [constants.linear**2], [1.0], psi2, psi1, psi2 * ridge, tail_eigenvalue=constants.nonlinear**2
    )
    return -(constants.nonlinear**2) / found.effective_ridge


def test_chi_check_values():
    relu = random_features.activation_constants("relu")
    found = [chi_of(*case, relu) for case in [(3, 3, 0.01), (6, 3, 0.01), (6, 3, 0.0)]]
    np.testing.assert_allclose(found, [-1.164032280, -1.441594082, -2.144873776], rtol=1e-8)


def test_numeric_risk_is_the_polynomials_at_the_fixed_point():
    symbols = (sy.psi1, sy.psi2, sy.zeta, sy.chi, sy.linear_signal, sy.nonlinear_signal, sy.noise_variance)
    polynomial = function(sy.mei_montanari_risk(), *symbols)
    equation = function(sy.mei_montanari_real_equation(), sy.psi1, sy.psi2, sy.zeta, sy.reduced_ridge, sy.chi)
    rng = np.random.default_rng(8)
    for _ in range(100):
        psi1, psi2, ridge = 10 ** rng.uniform([-0.5, -0.5, -4], [1, 1, 1])
        constants = random_features.ActivationConstants(0.0, rng.uniform(0, 1), rng.uniform(0.1, 1))
        zeta, reduced = constants.linear / constants.nonlinear, ridge / constants.nonlinear**2
        chi = chi_of(psi1, psi2, ridge, constants)
        np.testing.assert_allclose(equation(psi1, psi2, zeta, reduced, chi), 0, atol=1e-9 * psi1 * psi2 * (1 + reduced))
        risk = random_features.risk(psi1, psi2, ridge, constants, 1.2, 0.3, 0.4).total
        np.testing.assert_allclose(risk, polynomial(psi1, psi2, zeta, chi, 1.2, 0.3, 0.4), rtol=1e-8)


def test_infinitely_many_features_are_kernel_regression():
    # One eigenvalue zeta^2, a tail of mass 1 (no part of the sum of squares), and g = 1/c.
    c = -sy.chi
    missed = 1 / (1 + sy.zeta**2 * c)
    q = (1 - missed) ** 2
    kernel = (sy.linear_signal * missed**2 + sy.nonlinear_signal + sy.noise_variance) / (1 - q / sy.psi2)
    limit = sympy.limit(sympy.cancel(sympy.together(sy.mei_montanari_risk())), sy.psi1, sympy.oo)
    assert zero(limit - (kernel - sy.noise_variance))


@pytest.mark.parametrize("name", ["relu", "erf", "abs", "sign"])
def test_activation_constants_equal_quadrature_and_the_numeric_ones(name):
    sigma = {"relu": lambda u: max(u, 0), "erf": mpmath.erf, "abs": abs, "sign": mpmath.sign}[name]
    moments = [
        mpmath.quad(lambda u, f=f: f(u) * mpmath.npdf(u), [-mpmath.inf, 0, mpmath.inf])
        for f in (sigma, lambda u: u * sigma(u), lambda u: sigma(u) ** 2)
    ]
    constants = [float(e) for e in sy.activation_constants(name)]
    np.testing.assert_allclose(constants[:2], [float(m) for m in moments[:2]], atol=1e-12)
    np.testing.assert_allclose(np.sum(np.square(constants)), float(moments[2]), rtol=1e-12)
    numeric = random_features.activation_constants(name)
    np.testing.assert_allclose(constants, (numeric.mean, numeric.linear, numeric.nonlinear), rtol=1e-14)


def test_constants_need_a_known_name():
    with pytest.raises(ValueError, match="name: got 'tanh', expected relu"):
        sy.activation_constants("tanh")


def test_theory_does_not_load_sympy():
    code = "import pyphenom.theory, sys; sys.exit('sympy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    folder = Path(sy.__file__).parent
    for file in folder.glob("*.py"):
        imported = {
            name.name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Import)
            for name in node.names
        }
        assert "sympy" not in imported or file.name == "symbolic.py"
