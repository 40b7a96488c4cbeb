// The inverse stage: the recursion on K^-1, and when its errors allow it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "core/blas.hpp"
#include "core/clones.hpp"
#include "core/dense.hpp"
#include "core/loops.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

// The inverse stage is entered where its error, about eps |Z|_F^2 / sigma_min^2, is below this.
constexpr double inverse_error = 1e-9;
// Blocks of the inverse stage between two computations of the state from K^-1 and S themselves.
constexpr Index refresh_state = 8;

constexpr Index side = 64;  // rows or columns of a task; diagonal blocks of K^-1 of this size are kept whole
constexpr Index panel_width = 16;  // columns that a tile of `dense` takes together in the widest vectors

Index blocks_of(Index count, Index size) { return (count + size - 1) / size; }

// The upper triangle of G = R^T R, row by row, <- that of R^-1; false where G is not positive. `spare` has room for n.
// LAPACK would wake the threads of its BLAS, which then spin where ours want to work.
PYPHENOM_CLONES bool cholesky_inverse(Index n, double* G, double* spare) {
    for (Index i = 0; i < n; ++i) {
        double* row = G + i * n;
        if (!(row[i] > 0.0) || !std::isfinite(row[i])) return false;
        const double scale = 1.0 / std::sqrt(row[i]);
        for (Index j = i; j < n; ++j) row[j] *= scale;
        for (Index k = i + 1; k < n; ++k) {
            const double factor = row[k];
            double* below = G + k * n;
#pragma omp simd
            for (Index j = k; j < n; ++j) below[j] -= factor * row[j];
        }
    }
    for (Index i = n - 1; i >= 0; --i) {  // R_ii X_i = e_i - sum over k > i of R_ik X_k, for the rows X_i of R^-1
        double* row = G + i * n;
        std::copy_n(row + i, n - i, spare + i);
        std::fill_n(row, n, 0.0);
        row[i] = 1.0;
        for (Index k = i + 1; k < n; ++k) {
            const double factor = spare[k];
            const double* below = G + k * n;
#pragma omp simd
            for (Index j = k; j < n; ++j) row[j] -= factor * below[j];
        }
        const double scale = 1.0 / spare[i];
#pragma omp simd
        for (Index j = i; j < n; ++j) row[j] *= scale;
    }
    return true;
}

}  // namespace

// sigma_min of R by power steps on R^-1 R^-T, started where K^-1 has its largest diagonal entry.
bool WidthPath::inverse_is_safe() const {
    const double bound = inverse_error / std::numeric_limits<double>::epsilon();
    if (squared_norm(state_.diagonal.data(), n_) == 0.0) return false;
    const auto top = std::max_element(state_.diagonal.begin(), state_.diagonal.end());
    const double norm2 = std::max(norm2_of_features_, announced_norm2_);  // K^-1 keeps its errors to the end
    if (!(norm2 * *top < bound)) return false;  // a lower bound already fails
    const CM R(R_.data(), n_, n_, capacity_);
    std::vector<double> x(n_, 0.0);
    x[static_cast<std::size_t>(top - state_.diagonal.begin())] = 1.0;
    double largest = 0;
    for (int step = 0; step < 4; ++step) {
        blas::solve_upper('L', 'T', R, M(x.data(), n_, 1));
        largest = squared_norm(x.data(), n_);
        blas::solve_upper('L', 'N', R, M(x.data(), n_, 1));
        const double norm = std::sqrt(squared_norm(x.data(), n_));
        for (double& v : x) v /= norm;
    }
    return norm2 * 2.0 * largest < bound;  // 2: what four power steps may fall short by
}

// K^-1 = R^-1 R^-T,  S = R^-1 C.
void WidthPath::enter_inverse() {
    stage_ = Stage::inverse;
    own_threads_ = false;  // those of the BLAS spin for a tenth of a second after each call
    inverse_.resize(n_ * (n_ + m_));
    const M R(R_.data(), n_, n_, capacity_), K_inverse(inverse_.data(), n_, n_), S(K_inverse.col(n_), n_, m_);
    zero(K_inverse);
    copy_upper(R, K_inverse);
    blas::invert_upper(K_inverse);
    copy(CM(C_.data(), n_, m_, capacity_), S);
    blas::multiply_upper('L', K_inverse, S);
    blas::multiply_by_transpose(K_inverse);
    for (auto* buffer : {&R_, &R_previous_, &C_previous_, &C_}) Buffer().swap(*buffer);
}

// No feature yet: K^-1 = I / P, S = 0.
void WidthPath::start_inverse_with_ridge() {
    stage_ = Stage::inverse;
    rank_ = n_;
    own_threads_ = dense::one_threaded<double>();
    multiplied_out_ = false;
    for (auto* buffer : {&R_, &C_}) Buffer().swap(*buffer);
    state_.alpha.resize(n_ * targets_);
    for (Index i = 0; i < n_ * targets_; ++i) state_.alpha[i] = y_[i] / penalty_;
    state_.diagonal.assign(n_, 1.0 / penalty_);
}

// Appends a block of features:
//     V = K^-1 Z,  L L^T = I + Z^T V,  k = V L^-T,  U = (Z_test - S^T Z) L^-T,
//     K^-1 <- K^-1 - k k^T,  S <- S + k U^T,  and column j of k and U belongs to the block's j-th feature.
// Of the symmetric K^-1 the upper triangle is kept, on threads of our own with whole diagonal blocks; S stands behind
// it. The last two products may wait (`pending_`): K^-1 and S are then what was multiplied out before, corrected by the
// pending columns. That is cheaper while they are few and the first of all, since I / P and 0 multiply for nothing, or
// the last, since nobody asks for K^-1 and S afterwards.
//
// The products are shared out among threads of our own: a threaded BLAS waits for the slower of its threads many times
// a product, and packs K^-1 anew for each. Only where a BLAS has just worked do the larger ones stay with it.
void WidthPath::append_inverse(CM Z, CM Z_test, const PathRows& rows, Index at, Team& team) {
    const Index b = Z.cols, height = n_ + m_;
    const Index worth_waiting = multiplied_out_ ? 0 : n_ / 2, worth_leaving = (n_ + 2 * m_) / 4;
    if (kU_.empty()) kU_.resize(height * (std::max(worth_waiting, worth_leaving) + inverse_block));
    const M kU(room(kU_, height * (pending_ + b)) + height * pending_, height, b);
    const M k = kU.top(n_), U = kU.block(n_, 0, m_, b), E_g(room(E_g_, b * targets_), b, targets_);

    // [V; Z_test - S^T Z], entry (i, j) at i * down + j * right
    const Index stride = blocks_of(b, panel_width) * panel_width;
    const Index down = own_threads_ ? stride : 1, right = own_threads_ ? 1 : height;
    const double* before = own_threads_ ? multiply_features(Z, Z_test, team) : multiply_features(Z, Z_test);
    room(small_, b * b);
    team.share(blocks_of(b, panel_width), [&](Index task) {  // I + Z^T V, its upper triangle
        const Index first = (blocks_of(b, panel_width) - 1 - task) * panel_width;
        const Index cols = std::min(panel_width, b - first);
        dense::multiply<double>({first + cols, cols, n_, Z.data, Z.stride, 1, before + first * right, down, right, 0,
                                 small_.data() + first, b});
    });
    for (Index j = 0; j < b; ++j) small_[j * b + j] += 1.0;
    room(small2_, b);
    if (!cholesky_inverse(b, small_.data(), small2_.data()))
        throw std::runtime_error("the factorisation broke down: the features' sizes differ too much; scale them alike");
    team.share(blocks_of(height, side), [&](Index task) {  // [k; U] = [V; Z_test - S^T Z] L^-T
        const Index first = task * side, count = std::min(side, height - first);
        for (Index from = 0; from < b; from += side) {
            const Index cols = std::min(side, b - from);
            dense::multiply<double>({cols, count, from + cols, small_.data() + from, 1, b, before + first * down, right,
                                     down, 0, kU.data + first + from * height, height});
        }
    });
    for (Index t = 0; t < targets_; ++t)
        for (Index j = 0; j < b; ++j) E_g(j, t) = dot(k.col(j), y_.data() + t * n_, n_);

    pending_ += b;
    if (pending_ >= worth_waiting && max_width_ - width_ - b > worth_leaving) multiply_out(team);
    if (pending_ == 0 && inverse_blocks_++ % refresh_state == 0) {
        solve_inverse();
    } else {
        for (Index t = 0; t < targets_; ++t)
            for (Index j = 0; j < b; ++j) {
                axpy(-E_g(j, t), k.col(j), state_.alpha.data() + t * n_, n_);
                axpy(E_g(j, t), U.col(j), state_.predictions.data() + t * m_, m_);
            }
    }
    if (pending_ == 0)
        for (Index i = 0; i < n_; ++i) state_.diagonal[i] = inverse_[i + i * n_];
    else
        for (Index j = 0; j < b; ++j) subtract_squares(k.col(j), state_.diagonal.data(), n_);
    for (Index t = 0; t < targets_; ++t) state_.norm2[t] = dot(y_.data() + t * n_, state_.alpha.data() + t * n_, n_);
    state_.inverse_norm2 = 0;
    for (double d : state_.diagonal) state_.inverse_norm2 += d;
    fill_backwards(k, U, E_g, rows, at);
}

// Returns [K^-1 Z; Z_test - S^T Z], height x b, by BLAS.
const double* WidthPath::multiply_features(CM Z, CM Z_test) {
    const Index b = Z.cols, height = n_ + m_;
    const M found(room(found_, height * b), height, b), tests = found.block(n_, 0, m_, b);
    const CM kept(inverse_.data(), n_, height);
    blas::multiply_symmetric(kept.columns(0, n_), Z, found.top(n_));
    copy(Z_test, tests);
    blas::gemm('T', 'N', -1.0, kept.columns(n_, m_), Z, 1.0, tests);
    if (pending_ > 0) {
        const M pending(kU_.data(), height, pending_), H(room(B_, pending_ * b), pending_, b);
        blas::gemm('T', 'N', 1.0, pending.top(n_), Z, 0.0, H);
        blas::gemm('N', 'N', -1.0, pending, H, 1.0, found);
    }
    return found.data;
}

// The same by the team, row by row, the rows filled up to whole panels.
const double* WidthPath::multiply_features(CM Z, CM Z_test, Team& team) {
    const Index b = Z.cols, height = n_ + m_, panels = blocks_of(b, panel_width), stride = panels * panel_width;
    double *Z_panels = room(Z_panels_, n_ * stride), *found = room(found_, height * stride);
    double* H = room(B_, pending_ * stride);
    team.share(panels, [&](Index number) {  // a panel: panel_width columns of Z, row by row
        double* to = Z_panels + number * n_ * panel_width;
        for (Index j = 0; j < panel_width; ++j) {
            const Index column = number * panel_width + j;
            for (Index i = 0; i < n_; ++i) to[i * panel_width + j] = column < b ? Z(i, column) : 0.0;
        }
    });
    const auto each_panel = [&](const auto& f) {
        for (Index i = 0; i < panels; ++i) f(Z_panels + i * n_ * panel_width, i * panel_width);
    };
    if (pending_ > 0)
        team.share(blocks_of(pending_, side), [&](Index task) {  // k^T Z of the pending k
            const Index first = task * side, count = std::min(side, pending_ - first);
            each_panel([&](const double* z, Index at) {
                dense::multiply<double>({count, panel_width, n_, kU_.data() + first * height, height, 1, z, panel_width,
                                         1, 0, H + first * stride + at, stride});
            });
        });
    const Index blocks = blocks_of(n_, side);
    team.share(blocks + blocks_of(m_, side), [&](Index task) {
        const bool tests = task >= blocks;
        const Index first = tests ? n_ + (task - blocks) * side : task * side;
        const Index count = std::min(side, (tests ? height : n_) - first);
        double* to = found + first * stride;
        if (tests)
            for (Index i = 0; i < count; ++i)
                for (Index j = 0; j < stride; ++j) to[i * stride + j] = j < b ? Z_test(first - n_ + i, j) : 0.0;
        each_panel([&](const double* z, Index at) {
            double* c = to + at;
            if (multiplied_out_) {
                // rows of S^T and of K^-1 up to its diagonal block are columns of what is kept, those behind it rows
                const double* column = inverse_.data() + first * n_;
                const Index above = tests ? n_ : first + count;
                dense::multiply<double>(
                    {count, panel_width, above, column, n_, 1, z, panel_width, 1, tests ? -1 : 0, c, stride});
                if (above < n_)
                    dense::multiply<double>({count, panel_width, n_ - above, inverse_.data() + first + above * n_, 1,
                                             n_, z + above * panel_width, panel_width, 1, 1, c, stride});
            } else if (!tests) {
                for (Index i = 0; i < count; ++i)
                    for (Index j = 0; j < panel_width; ++j)
                        c[i * stride + j] = z[(first + i) * panel_width + j] / penalty_;
            }
        });
        if (pending_ > 0)
            dense::multiply<double>(
                {count, stride, pending_, kU_.data() + first, 1, height, H, stride, 1, -1, to, stride});
    });
    return found;
}

// alpha = K^-1 y and predictions S^T y, afresh.
void WidthPath::solve_inverse() {
    for (Index t = 0; t < targets_; ++t) {
        const double* y = y_.data() + t * n_;
        double* alpha = state_.alpha.data() + t * n_;
        std::fill_n(alpha, n_, 0.0);
        for (Index j = 0; j < n_; ++j) {
            const double* column = inverse_.data() + j * n_;
            alpha[j] += dot(column, y, j + 1);
            axpy(y[j], column, alpha, j);
        }
        for (Index i = 0; i < m_; ++i) state_.predictions[t * m_ + i] = dot(inverse_.data() + (n_ + i) * n_, y, n_);
    }
}

// K^-1 <- K^-1 - k k^T,  S <- S + k U^T  for the pending columns of k and U.
void WidthPath::multiply_out(Team& team) {
    const Index height = n_ + m_;
    if (!own_threads_) {
        const CM kU(kU_.data(), height, pending_);
        blas::subtract_square(kU.top(n_), M(inverse_.data(), n_, n_));
        blas::gemm('N', 'T', 1.0, kU.top(n_), kU.block(n_, 0, m_, pending_), 1.0, M(inverse_.data() + n_ * n_, n_, m_));
        pending_ = 0;
        return;
    }
    if (!multiplied_out_) inverse_.resize(n_ * height);
    const double* kU = kU_.data();
    team.share(blocks_of(n_, side), [&](Index task) {  // some rows of K^-1, from their diagonal block on, and of S
        const Index first = task * side, count = std::min(side, n_ - first);
        double* to = inverse_.data() + first;
        if (!multiplied_out_)
            for (Index j = first; j < height; ++j)
                for (Index i = 0; i < count; ++i) to[i + j * n_] = j == first + i ? 1.0 / penalty_ : 0.0;
        const auto subtract = [&](Index from, Index cols, int add) {
            dense::multiply<double>(
                {cols, count, pending_, kU + from, 1, height, kU + first, height, 1, add, to + from * n_, n_});
        };
        subtract(first, n_ - first, -1);
        if (m_ > 0) subtract(n_, m_, 1);
    });
    multiplied_out_ = true;
    pending_ = 0;
}

}  // namespace pyphenom
