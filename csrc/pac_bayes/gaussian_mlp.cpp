#include "pac_bayes/gaussian_mlp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/dense.hpp"

namespace pyphenom::pac_bayes {
namespace {

using dense::multiply;
using dense::Product;

constexpr Index group = 16;  // columns of a matrix that no two threads share

// Columns that are worked on together: they stay in the second cache.
template <class T>
Index piece() {
    return dense::tiled_product<T>() ? 2 * group : 64 * group;
}

Index groups(Index columns) { return (columns + group - 1) / group; }

}  // namespace

Index Architecture::weights_at(Index layer) const {
    Index at = 0;
    for (Index l = 0; l < layer; ++l) at += (widths[l] + 1) * widths[l + 1];
    return at;
}

void Architecture::check() const {
    require(widths.size() >= 2, "widths", std::to_string(widths.size()) + " long", "inputs and classes at least");
    for (const Index width : widths)
        require(width >= 1 && width < Index{1} << 31, "widths", "with " + std::to_string(width) + " in it",
                "widths in [1, 2^31)");
}

template <class T>
template <class U>
void GaussianPasses<T>::Rows<U>::reserve(Index rows, Index columns) {
    width = columns;
    stride = (columns + 15) / 16 * 16;
    if (stride % 256 == 0) stride += 16;  // rows a power of two apart would share the sets of the first cache
    memory.resize(static_cast<std::size_t>(rows * stride));
}

template <class T>
GaussianPasses<T>::GaussianPasses(const Architecture& architecture, Index examples, bool antithetic, bool backward,
                                  int threads)
    : architecture_(architecture),
      copies_(antithetic ? 2 : 1),
      capacity_(examples),
      keep_(backward),
      team_(dense::tiled_product<T>() ? std::max(1, threads) : 1) {
    architecture_.check();
    const Index layers = architecture_.layers(), rows = copies_ * examples;
    const auto reserve = [&](std::vector<Rows<T>>& all, Index layer, Index count, Index width) {
        all.resize(static_cast<std::size_t>(layers));
        all[layer].reserve(count, width);
    };
    Index widest = 0;
    for (Index l = 0; l < layers; ++l) {
        const Index in = architecture_.widths[l], out = architecture_.widths[l + 1], from = l == 0 ? examples : rows;
        widest = std::max({widest, in, out});
        reserve(inputs_, l, from, in);
        reserve(squares_, l, from, in);
        reserve(mean_part_, l, rows, out);
        reserve(variance_part_, l, rows, out);
        if (keep_) {
            reserve(ratio_, l, rows, out);
            reserve(slope_, l, l + 1 < layers ? rows : 0, out);
        }
        g_sum_.emplace_back(out);
        h_sum_.emplace_back(out);
    }
    outputs_.resize(1);
    outputs_[0].reserve(rows, architecture_.classes());
    row_loss_.resize(static_cast<std::size_t>(rows));
    const auto room = static_cast<std::size_t>(widest + 16);
    for (Index i = 0; i < team_.size(); ++i)
        scratch_.push_back(
            {std::vector<std::uint32_t>(room), std::vector<double>(room), std::vector<T>(room), std::vector<T>(room)});
}

template <class T>
void GaussianPasses<T>::gather(Matrix<const T> X, const std::uint32_t* chosen) {
    side_by_side(count_, static_cast<double>(8 * count_ * X.rows), [&](Range examples, Index) {
        for (Index i = examples.first; i < examples.last; ++i) {
            std::copy_n(X.col(chosen[i]), X.rows, inputs_[0].row(i));
            square(X.rows, inputs_[0].row(i), squares_[0].row(i));
        }
    });
}

// m and v without the biases, for columns of a layer's outputs.
template <class T>
void GaussianPasses<T>::moments(Index layer, const T* mean, const T* variance, Range examples, Range columns) {
    const Index in = architecture_.widths[layer], at = architecture_.weights_at(layer) + columns.first * in;
    const Index copies = layer == 0 ? 1 : copies_;
    const bool all = examples.size() == count_;
    for (Index copy = 0; copy < (all ? 1 : copies); ++copy) {
        const Index from = examples.first + copy * count_, rows = all ? copies * count_ : examples.size();
        const auto product = [&](Rows<T>& A, const T* B, Rows<T>& C) {
            multiply<T>({rows, columns.size(), in, A.row(from), A.stride, 1, B + at, 1, in, false,
                         C.row(from) + columns.first, C.stride});
        };
        product(inputs_[layer], mean, mean_part_[layer]);
        product(squares_[layer], variance, variance_part_[layer]);
    }
}

// Draws the pre-activations of some outputs of a layer, and passes them on.
template <class T>
void GaussianPasses<T>::activate(Index layer, const T* mean, const T* variance, const std::uint32_t* chosen,
                                 const Noise& noise, Range examples, Range columns, Index worker) {
    Scratch& s = scratch_[worker];
    const bool last = layer + 1 == architecture_.layers();
    const Index count = columns.size(), at = architecture_.biases_at(layer) + columns.first;
    Rows<T>& next = last ? outputs_[0] : inputs_[layer + 1];
    for (Index i = examples.first; i < examples.last; ++i) {
        draw_normals(noise, layer, chosen[i], columns.first, count, s.words.data(), s.normals.data());
        for (Index copy = 0; copy < copies_; ++copy) {
            const Index row = i + copy * count_, from = layer == 0 ? i : row;
            T* z = next.row(row) + columns.first;
            pre_activate(count, mean_part_[layer].row(from) + columns.first,
                         variance_part_[layer].row(from) + columns.first, mean + at, variance + at,
                         copy == 0 ? T(1) : T(-1), s.normals.data(), z,
                         keep_ ? ratio_[layer].row(row) + columns.first : s.unused_ratio.data());
            if (last) continue;
            T* slope = keep_ ? slope_[layer].row(row) + columns.first : s.unused_ratio.data();
            pac_bayes::activate(architecture_.activation, count, z, squares_[layer + 1].row(row) + columns.first, slope,
                                s.unused.data());
        }
    }
}

template <class T>
void GaussianPasses<T>::forward(const T* mean, const T* variance, Matrix<const T> X, const std::uint32_t* chosen,
                                Index count, const Noise& noise, bool again) {
    require(count >= 1 && count <= capacity_, "count", std::to_string(count), "between 1 and the capacity");
    count_ = count;
    if (!again) gather(X, chosen);
    for (Index l = 0; l < architecture_.layers(); ++l) {
        const Index in = architecture_.widths[l], out = architecture_.widths[l + 1];
        const auto run = [&](Range examples, Range columns, Index worker) {
            for (Index first = columns.first; first < columns.last; first += piece<T>()) {
                const Range part{first, std::min(first + piece<T>(), columns.last)};
                if (l > 0 || !again) moments(l, mean, variance, examples, part);
            }
            activate(l, mean, variance, chosen, noise, examples, columns, worker);
        };
        const double operations = static_cast<double>(rows() * out) * static_cast<double>(in + 30);
        if (groups(out) >= 2 * team_.size())  // a share packs its own columns of the weights, and none twice
            side_by_side(groups(out), operations, [&](Range share, Index worker) {
                run({0, count_}, {share.first * group, std::min(share.last * group, out)}, worker);
            });
        else
            side_by_side(count_, operations, [&](Range share, Index worker) { run(share, {0, out}, worker); });
    }
}

template <class T>
Loss GaussianPasses<T>::loss(const std::int64_t* y, const std::uint32_t* chosen, double pmin) {
    const Index classes = architecture_.classes(), last = architecture_.layers() - 1;
    const double lowest = std::log(pmin), scale = -1.0 / lowest;
    side_by_side(rows(), 40.0 * static_cast<double>(rows() * classes), [&](Range share, Index worker) {
        std::vector<double>& p = scratch_[worker].normals;
        for (Index i = share.first; i < share.last; ++i) {
            const T* z = outputs_[0].row(i);
            const std::int64_t label = y[chosen[i % count_]];
            const Index best = std::max_element(z, z + classes) - z;
            const double top = static_cast<double>(z[best]);
            double sum = 0.0;
            bool finite = true;
            for (Index k = 0; k < classes; ++k) {
                finite = finite && std::isfinite(z[k]);
                p[k] = std::exp(static_cast<double>(z[k]) - top);
                sum += p[k];
            }
            const double log_p = static_cast<double>(z[label]) - top - std::log(sum);
            const bool floored = log_p <= lowest;
            row_loss_[i] = {finite ? -scale * (floored ? lowest : log_p) : std::numeric_limits<double>::quiet_NaN(),
                            best != label || !finite, !finite};
            if (!keep_) continue;
            const double weight = floored ? 0.0 : scale / static_cast<double>(rows());
            T* g = mean_part_[last].row(i);
            T* h = variance_part_[last].row(i);
            for (Index k = 0; k < classes; ++k) {
                g[k] = static_cast<T>(weight * (p[k] / sum - (k == label ? 1.0 : 0.0)));
                h[k] = g[k] * ratio_[last].row(i)[k];
            }
        }
    });
    Loss total;
    for (Index i = 0; i < rows(); ++i) {
        total.sum += row_loss_[i].sum;
        total.errors += row_loss_[i].errors;
        total.not_finite += row_loss_[i].not_finite;
    }
    return total;
}

// The gradients at some inputs of a layer, which are outputs of the layer below.
template <class T>
void GaussianPasses<T>::pull(Index layer, const T* mean, const T* variance, Range columns) {
    const Index below = layer - 1, in = architecture_.widths[layer], out = architecture_.widths[layer + 1];
    const Index at = architecture_.weights_at(layer) + columns.first;
    const auto product = [&](Rows<T>& D, const T* B, Rows<T>& C) {
        multiply<T>({rows(), columns.size(), out, D.row(0), D.stride, 1, B + at, in, 1, false, C.row(0) + columns.first,
                     C.stride});
    };
    product(mean_part_[layer], mean, mean_part_[below]);
    product(variance_part_[layer], variance, variance_part_[below]);
    std::fill_n(g_sum_[below].data() + columns.first, columns.size(), 0.0);
    std::fill_n(h_sum_[below].data() + columns.first, columns.size(), 0.0);
    for (Index i = 0; i < rows(); ++i)
        join_gradients(columns.size(), inputs_[layer].row(i) + columns.first, slope_[below].row(i) + columns.first,
                       ratio_[below].row(i) + columns.first, mean_part_[below].row(i) + columns.first,
                       variance_part_[below].row(i) + columns.first, g_sum_[below].data() + columns.first,
                       h_sum_[below].data() + columns.first);
}

// Both copies of an example have the inputs of the first layer in common.
template <class T>
void GaussianPasses<T>::fold() {
    if (copies_ == 1) return;
    const Index width = architecture_.widths[1];
    for (Index i = 0; i < count_; ++i)
        for (Index j = 0; j < width; ++j) {
            mean_part_[0].row(i)[j] += mean_part_[0].row(i + count_)[j];
            variance_part_[0].row(i)[j] += variance_part_[0].row(i + count_)[j];
        }
}

// The gradients at the weights of some inputs of a layer.
template <class T>
void GaussianPasses<T>::weights(Index layer, Range columns, T* by_mean, T* by_variance) {
    const Index in = architecture_.widths[layer], out = architecture_.widths[layer + 1];
    const Index at = architecture_.weights_at(layer) + columns.first;
    const auto product = [&](Rows<T>& D, Rows<T>& A, T* C) {
        multiply<T>({out, columns.size(), rows_of(layer), D.row(0), 1, D.stride, A.row(0) + columns.first, A.stride, 1,
                     false, C + at, in});
    };
    product(mean_part_[layer], inputs_[layer], by_mean);
    product(variance_part_[layer], squares_[layer], by_variance);
}

template <class T>
void GaussianPasses<T>::backward_layer(Index layer, const T* mean, const T* variance, T* by_mean, T* by_variance) {
    require(keep_, "backward", "false", "a workspace with a backward pass");
    const Index in = architecture_.widths[layer], out = architecture_.widths[layer + 1];
    if (layer + 1 == architecture_.layers()) {
        std::fill(g_sum_[layer].begin(), g_sum_[layer].end(), 0.0);
        std::fill(h_sum_[layer].begin(), h_sum_[layer].end(), 0.0);
        for (Index i = 0; i < rows(); ++i)
            for (Index k = 0; k < out; ++k) {
                g_sum_[layer][k] += static_cast<double>(mean_part_[layer].row(i)[k]);
                h_sum_[layer][k] += static_cast<double>(variance_part_[layer].row(i)[k]);
            }
    }
    if (layer == 0) fold();
    const double operations = static_cast<double>(in * out) * static_cast<double>((layer > 0 ? 2 : 1) * rows());
    side_by_side(groups(in), operations, [&](Range share, Index) {
        const Index end = std::min(share.last * group, in);
        for (Index first = share.first * group; first < end; first += piece<T>()) {
            const Range columns{first, std::min(first + piece<T>(), end)};
            if (layer > 0) pull(layer, mean, variance, columns);
            weights(layer, columns, by_mean, by_variance);
        }
    });
    const Index biases = architecture_.biases_at(layer);
    for (Index j = 0; j < out; ++j) {
        by_mean[biases + j] = static_cast<T>(g_sum_[layer][j]);
        by_variance[biases + j] = static_cast<T>(h_sum_[layer][j]);
    }
}

template class GaussianPasses<float>;
template class GaussianPasses<double>;

}  // namespace pyphenom::pac_bayes
