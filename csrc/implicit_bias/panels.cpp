#include "implicit_bias/panels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace pyphenom::implicit_bias {
namespace {

using Lanes = double __attribute__((vector_size(lanes * sizeof(double))));

PYPHENOM_INLINE void load(const double* from, Lanes& to) {
    std::memcpy(&to, __builtin_assume_aligned(from, 64), sizeof to);
}
PYPHENOM_INLINE void store(const Lanes& from, double* to) {
    std::memcpy(__builtin_assume_aligned(to, 64), &from, sizeof from);
}

// Panels of up to four registers, as even as they come: 13 registers are 4 + 3 + 3 + 3.
Index panel_count(Index registers) { return (registers + 3) / 4; }

template <int W>
PYPHENOM_INLINE const double* multiply_panel(const double* panel, Index cols, const double* x, double* y) {
    Lanes even[W] = {}, odd[W] = {}, entry;
    Index j = 0;
    for (; j + 2 <= cols; j += 2) {
        for (int k = 0; k < W; ++k, panel += lanes) {
            load(panel, entry);
            even[k] += entry * x[j];
        }
        for (int k = 0; k < W; ++k, panel += lanes) {
            load(panel, entry);
            odd[k] += entry * x[j + 1];
        }
    }
    if (j < cols)
        for (int k = 0; k < W; ++k, panel += lanes) {
            load(panel, entry);
            even[k] += entry * x[j];
        }
    for (int k = 0; k < W; ++k) store(even[k] + odd[k], y + k * lanes);
    return panel;
}

PYPHENOM_CLONES void multiply_panels(const double* panels, Index n, const double* x, double* y) {
    const Index registers = padded(n) / lanes, count = panel_count(registers);
    for (Index p = 0; p < count; ++p) {
        const Index first = registers * p / count, size = registers * (p + 1) / count - first;
        double* at = y + first * lanes;
        switch (size) {
            case 1:
                panels = multiply_panel<1>(panels, n, x, at);
                break;
            case 2:
                panels = multiply_panel<2>(panels, n, x, at);
                break;
            case 3:
                panels = multiply_panel<3>(panels, n, x, at);
                break;
            default:
                panels = multiply_panel<4>(panels, n, x, at);
        }
    }
}

// g <- the panel's columns times r
PYPHENOM_INLINE void columns_times(const double* panel, Index n, const double* r, double* g) {
    Lanes a0 = {}, a1 = {}, b0 = {}, b1 = {}, entry;
    Index i = 0;
    for (; i + 2 <= n; i += 2, panel += 4 * lanes) {
        load(panel, entry);
        a0 += entry * r[i];
        load(panel + lanes, entry);
        a1 += entry * r[i];
        load(panel + 2 * lanes, entry);
        b0 += entry * r[i + 1];
        load(panel + 3 * lanes, entry);
        b1 += entry * r[i + 1];
    }
    if (i < n) {
        load(panel, entry);
        a0 += entry * r[i];
        load(panel + lanes, entry);
        a1 += entry * r[i];
    }
    store(a0 + b0, g);
    store(a1 + b1, g + lanes);
}

// sums(:, i) <- sums(:, i) + the panel's row i times w, lane by lane
PYPHENOM_INLINE void add_rows_times(const double* panel, Index n, const double* w, double* sums) {
    Lanes w0, w1, sum, entry;
    load(w, w0);
    load(w + lanes, w1);
    for (Index i = 0; i < n; ++i, panel += 2 * lanes, sums += lanes) {
        load(sums, sum);
        load(panel, entry);
        sum += entry * w0;
        load(panel + lanes, entry);
        sum += entry * w1;
        store(sum, sums);
    }
}

PYPHENOM_INLINE void reduce(const double* sums, Index n, double* m) {
    for (Index i = 0; i < n; ++i) {
        const double* s = sums + i * lanes;
        m[i] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    }
}

// A panel is still in the nearest cache when its rows are summed with the weights that its columns have moved.
template <class Update>
PYPHENOM_INLINE void sweep(const double* panels, Index n, Index d, double* w, double* sums, double* m,
                           const Update& update) {
    constexpr Index width = 2 * lanes;
    std::fill_n(sums, n * lanes, 0.0);
    for (Index j = 0; j < d; j += width, panels += n * width) {
        update(panels, j);
        add_rows_times(panels, n, w + j, sums);
    }
    reduce(sums, n, m);
}

PYPHENOM_CLONES void sweep_add(const double* panels, Index n, Index d, const double* r, double* w, double* sums,
                               double* m) {
    sweep(panels, n, d, w, sums, m, [=](const double* panel, Index j) __attribute__((always_inline)) {
        alignas(64) double g[2 * lanes];
        columns_times(panel, n, r, g);
#pragma omp simd
        for (Index k = 0; k < 2 * lanes; ++k) w[j + k] += g[k];
    });
}

PYPHENOM_CLONES void sweep_adam(const double* panels, Index n, Index d, const double* r, const AdamRates& rates,
                                double* w, double* first, double* second, double* sums, double* m) {
    const AdamRates a = rates;
    sweep(panels, n, d, w, sums, m, [=](const double* panel, Index j) __attribute__((always_inline)) {
        alignas(64) double g[2 * lanes];
        columns_times(panel, n, r, g);
        double *u = first + j, *v = second + j, *weight = w + j;
#pragma omp simd
        for (Index k = 0; k < 2 * lanes; ++k) {
            u[k] = a.beta1 * u[k] + (1 - a.beta1) * g[k];
            v[k] = a.beta2 * v[k] + (1 - a.beta2) * (g[k] * g[k]);
            const double size = std::sqrt(v[k] * a.second) + a.epsilon;
            weight[k] += size == 0 ? 0.0 : a.step * u[k] / size;  // a column of zeros, epsilon = 0
        }
    });
}

}  // namespace

SymmetricPanels::SymmetricPanels(Matrix<const double> K) : n_(K.rows), panels_(padded(K.rows) * K.rows) {
    const Index registers = padded(n_) / lanes, count = panel_count(registers);
    double* to = panels_.data();
    for (Index p = 0; p < count; ++p) {
        const Index first = registers * p / count * lanes, last = registers * (p + 1) / count * lanes;
        for (Index j = 0; j < n_; ++j)
            for (Index i = first; i < last; ++i) *to++ = i < n_ ? K(i, j) : 0.0;
    }
}

void SymmetricPanels::multiply(const double* x, double* y) const { multiply_panels(panels_.data(), n_, x, y); }

RowPanels::RowPanels(Matrix<const double> rows)
    : n_(rows.cols), d_(rows.rows), panels_(padded(rows.rows, width) * rows.cols), sums_(rows.cols * lanes) {
    double* to = panels_.data();
    for (Index first = 0; first < d_; first += width)
        for (Index i = 0; i < n_; ++i)
            for (Index j = first; j < first + width; ++j) *to++ = j < d_ ? rows(j, i) : 0.0;
}

void RowPanels::add(const double* r, double* w, double* m) { sweep_add(panels_.data(), n_, d_, r, w, sums_.data(), m); }

void RowPanels::adam(const double* r, const AdamRates& rates, double* w, double* first, double* second, double* m) {
    sweep_adam(panels_.data(), n_, d_, r, rates, w, first, second, sums_.data(), m);
}

}  // namespace pyphenom::implicit_bias
