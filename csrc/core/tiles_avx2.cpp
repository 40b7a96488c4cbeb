#include "core/tiles_kernel.hpp"

namespace pyphenom::dense {

void product_avx2(const Product<float>& x) { multiply<float, 32, 6>(x); }
void product_avx2(const Product<double>& x) { multiply<double, 32, 6>(x); }

}  // namespace pyphenom::dense
