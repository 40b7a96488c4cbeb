#pragma once

namespace pyphenom {

// Fills the table of core/blas.hpp from scipy.linalg.cython_blas and cython_lapack; throws ImportError where a
// routine is missing or has another signature. Does nothing in a build with the system's BLAS.
void load_blas_from_scipy();

}  // namespace pyphenom
