#include "core/tiles_kernel.hpp"

namespace pyphenom::dense {

void product_avx512(const Product<float>& x) { multiply<float, 64, 8>(x); }
void product_avx512(const Product<double>& x) { multiply<double, 64, 8>(x); }

}  // namespace pyphenom::dense
