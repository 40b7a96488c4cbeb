#pragma once

#include <pybind11/pybind11.h>

namespace pyphenom {

void bind_cnn_descent(pybind11::module_& module);
void bind_curvature(pybind11::module_& module);
void bind_hard_margin(pybind11::module_& module);
void bind_implicit_bias(pybind11::module_& module);
void bind_interpolation(pybind11::module_& module);
void bind_gaussian_mlp(pybind11::module_& module);
void bind_kl_inverse(pybind11::module_& module);
void bind_lanczos(pybind11::module_& module);
void bind_random_features(pybind11::module_& module);
void bind_training(pybind11::module_& module);

}  // namespace pyphenom
