// The compiled module: a list of what is bound. Documentation for users lives in the Python layer.
#include <pybind11/pybind11.h>

#include "bindings/bind.hpp"
#include "bindings/blas_from_scipy.hpp"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    module.doc() = "Compiled kernels of pyphenom; use them through the Python packages that carry their names.";
    pyphenom::load_blas_from_scipy();
    module.attr("__version__") = PYPHENOM_VERSION;
#ifdef PYPHENOM_SYSTEM_BLAS
    module.attr("blas") = "system";
#else
    module.attr("blas") = "scipy";
#endif
    module.def(
        "cuda_available",
        [] {
#ifdef PYPHENOM_WITH_CUDA
            return true;
#else
            return false;
#endif
        },
        "Whether this build holds CUDA kernels.");
    pyphenom::bind_cnn_descent(module);
    pyphenom::bind_curvature(module);
    pyphenom::bind_hard_margin(module);
    pyphenom::bind_implicit_bias(module);
    pyphenom::bind_interpolation(module);
    pyphenom::bind_gaussian_mlp(module);
    pyphenom::bind_kl_inverse(module);
    pyphenom::bind_lanczos(module);
    pyphenom::bind_random_features(module);
    pyphenom::bind_training(module);
}
