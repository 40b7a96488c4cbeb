#include "training/dense_descent.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/clones.hpp"
#include "core/dense.hpp"
#include "core/exponential.hpp"

namespace pyphenom::training {
namespace {

constexpr Index most_samples = 128;  // that go through the layers together
constexpr Index whole = 16;  // samples and inputs are filled up to a multiple, with zeros: no loop has a rest
Index filled_up(Index count) { return (count + whole - 1) / whole * whole; }

constexpr double lowest = -700.0;  // e^x below is nothing beside 1

template <class T>
PYPHENOM_INLINE void rectify_rows(Index rows, Index cols, const T* bias, T* Z) {
    for (Index i = 0; i < rows; ++i, Z += cols) {
        const T c = bias[i];
#pragma omp simd
        for (Index j = 0; j < cols; ++j) {
            const T z = Z[j] + c;
            Z[j] = z < T(0) ? T(0) : z;  // NaN stays
        }
    }
}

template <class T>
PYPHENOM_INLINE void tanh_rows(Index rows, Index cols, const T* bias, T* Z) {
    for (Index i = 0; i < rows; ++i, Z += cols) {
        const T c = bias[i];
#pragma omp simd
        for (Index j = 0; j < cols; ++j) Z[j] = static_cast<T>(hyperbolic_tangent(Z[j] + c));
    }
}

template <class T>
PYPHENOM_INLINE void shift_rows(Index rows, Index cols, const T* bias, T* Z) {
    for (Index i = 0; i < rows; ++i, Z += cols) {
        const T c = bias[i];
#pragma omp simd
        for (Index j = 0; j < cols; ++j) Z[j] += c;
    }
}

// D <- D * f', by the values H = f; each row's sum is the gradient by its bias.
template <class T>
PYPHENOM_INLINE void slope_rows(Function f, Index rows, Index cols, const T* H, T* D, T* sums, bool add) {
    for (Index i = 0; i < rows; ++i, H += cols, D += cols) {
        T sum = T(0);
        if (f == Function::relu) {
#pragma omp simd reduction(+ : sum)
            for (Index j = 0; j < cols; ++j) {
                D[j] = H[j] <= T(0) ? T(0) : D[j];
                sum += D[j];
            }
        } else if (f == Function::tanh) {
#pragma omp simd reduction(+ : sum)
            for (Index j = 0; j < cols; ++j) {
                D[j] *= T(1) - H[j] * H[j];
                sum += D[j];
            }
        } else {
#pragma omp simd reduction(+ : sum)
            for (Index j = 0; j < cols; ++j) sum += D[j];
        }
        sums[i] = add ? sums[i] + sum : sum;
    }
}

// Every column of F <- its softmax times `scale`; `largest` and `total` have room for a row.
template <class T>
PYPHENOM_INLINE void softmax_columns(Index rows, Index cols, T* F, double scale, T* largest, T* total) {
    std::copy_n(F, cols, largest);
    for (Index i = 1; i < rows; ++i)
#pragma omp simd
        for (Index j = 0; j < cols; ++j) {
            const T f = F[i * cols + j];
            largest[j] = f > largest[j] ? f : largest[j];
        }
    std::fill_n(total, cols, T(0));
    for (Index i = 0; i < rows; ++i)
#pragma omp simd
        for (Index j = 0; j < cols; ++j) {
            const double below = static_cast<double>(F[i * cols + j] - largest[j]);
            const T e = static_cast<T>(exponential<sizeof(T) == 4 ? 9 : 13>(below < lowest ? lowest : below));
            F[i * cols + j] = e;
            total[j] += e;
        }
#pragma omp simd
    for (Index j = 0; j < cols; ++j) total[j] = static_cast<T>(scale) / total[j];
    for (Index i = 0; i < rows; ++i)
#pragma omp simd
        for (Index j = 0; j < cols; ++j) F[i * cols + j] *= total[j];
}

template <class T>
PYPHENOM_INLINE void sgd_rows(const Parameters<T>& w, const T* g, Index apart, Rule rule, double rate) {
    const T momentum = static_cast<T>(rule.momentum), decay = static_cast<T>(rule.decay), r = static_cast<T>(rate);
    for (Index i = 0; i < w.rows; ++i, g += apart) {
        T *value = w.value + i * w.stride, *velocity = w.first + i * w.stride;
#pragma omp simd
        for (Index j = 0; j < w.cols; ++j) {
            const T v = momentum * velocity[j] + (g[j] + decay * value[j]);
            velocity[j] = v;
            value[j] -= r * v;
        }
    }
}

template <class T>
PYPHENOM_INLINE void adam_rows(const Parameters<T>& w, const T* g, Index apart, Rule rule, double rate,
                               std::int64_t steps) {
    const double t = static_cast<double>(steps);
    const T decay = static_cast<T>(rule.decay), size = static_cast<T>(rate / (1.0 - std::pow(0.9, t)));
    const T root = static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(0.999, t)));
    for (Index i = 0; i < w.rows; ++i, g += apart) {
        T *value = w.value + i * w.stride, *mean = w.first + i * w.stride, *square = w.second + i * w.stride;
#pragma omp simd
        for (Index j = 0; j < w.cols; ++j) {
            const T slope = g[j] + decay * value[j];
            mean[j] = T(0.9) * mean[j] + T(0.1) * slope;
            square[j] = T(0.999) * square[j] + T(0.001) * slope * slope;
            value[j] -= size * mean[j] / (std::sqrt(square[j]) * root + T(1e-8));
        }
    }
}

#define PYPHENOM_LOOPS(T)                                                                                            \
    PYPHENOM_CLONES void rectify_all(Index rows, Index cols, const T* bias, T* Z) {                                  \
        rectify_rows(rows, cols, bias, Z);                                                                           \
    }                                                                                                                \
    PYPHENOM_CLONES void tanh_all(Index rows, Index cols, const T* bias, T* Z) { tanh_rows(rows, cols, bias, Z); }   \
    PYPHENOM_CLONES void shift_all(Index rows, Index cols, const T* bias, T* Z) { shift_rows(rows, cols, bias, Z); } \
    PYPHENOM_CLONES void slope_all(Function f, Index rows, Index cols, const T* H, T* D, T* sums, bool add) {        \
        slope_rows(f, rows, cols, H, D, sums, add);                                                                  \
    }                                                                                                                \
    PYPHENOM_CLONES void softmax(Index rows, Index cols, T* F, double scale, T* largest, T* total) {                 \
        softmax_columns(rows, cols, F, scale, largest, total);                                                       \
    }                                                                                                                \
    PYPHENOM_CLONES void sgd(const Parameters<T>& w, const T* g, Index apart, Rule rule, double rate) {              \
        sgd_rows(w, g, apart, rule, rate);                                                                           \
    }                                                                                                                \
    PYPHENOM_CLONES void adam(const Parameters<T>& w, const T* g, Index apart, Rule rule, double rate,               \
                              std::int64_t steps) {                                                                  \
        adam_rows(w, g, apart, rule, rate, steps);                                                                   \
    }
PYPHENOM_LOOPS(float)
PYPHENOM_LOOPS(double)
#undef PYPHENOM_LOOPS

// Whether D H^T is cheaper as the transpose of H D^T: the second factor is the one that is copied transposed.
template <class T>
bool turned(const Parameters<T>& weights) {
    return weights.rows < weights.cols;
}

template <class T>
void transpose(Index rows, Index cols, const T* from, T* to) {
    for (Index j = 0; j < cols; ++j)
        for (Index i = 0; i < rows; ++i) to[j * rows + i] = from[i * cols + j];
}

bool lie_below(Index end, const std::int64_t* values, Index count) {
    return std::all_of(values, values + count, [end](std::int64_t value) { return value >= 0 && value < end; });
}

template <class Kind>
Kind parse(const char* argument, std::string_view name, std::initializer_list<std::pair<const char*, Kind>> known) {
    std::string names;
    for (const auto& [each, kind] : known) {
        if (name == each) return kind;
        names += (names.empty() ? "" : ", ") + std::string(each);
    }
    throw std::invalid_argument(std::string("`") + argument + "` is '" + std::string(name) + "'; expected one of " +
                                names);
}

}  // namespace

Function parse_function(std::string_view name) {
    return parse<Function>("function", name,
                           {{"identity", Function::identity}, {"relu", Function::relu}, {"tanh", Function::tanh}});
}

LossKind parse_loss(std::string_view name) {
    return parse<LossKind>("loss", name, {{"squared", LossKind::squared}, {"cross-entropy", LossKind::cross_entropy}});
}

Optimiser parse_optimiser(std::string_view name) {
    return parse<Optimiser>("optimiser", name, {{"sgd", Optimiser::sgd}, {"adam", Optimiser::adam}});
}

template <class T>
Batch<T>::Batch(Index inputs) : size_(filled_up(inputs)) {}

template <class T>
void Batch<T>::pick(const Samples<T>& samples, const std::int64_t* indices, Index count) {
    count_ = indices ? count : samples.count;
    indices_ = indices;
    require(count_ > 0 && (!indices || lie_below(samples.count, indices, count)), "batches", "empty or out of range",
            "indices of samples");
    const auto room = static_cast<std::size_t>(filled_up(count_) * size_);
    if (rows_.size() < room) {
        rows_.assign(room, T(0));
        columns_.resize(room);
    }
    blocks_.clear();
    for (Index from = 0; from < count_; from += most_samples) {
        const Index part = std::min(most_samples, count_ - from), filled = filled_up(part);
        T *rows = rows_.data() + from * size_, *columns = columns_.data() + from * size_;
        for (Index j = 0; j < part; ++j)
            std::copy_n(samples.inputs + sample(from + j) * samples.size, samples.size, rows + j * size_);
        std::fill_n(rows + part * size_, (filled - part) * size_, T(0));
        transpose(filled, size_, rows, columns);
        blocks_.push_back({from, part, filled, rows, columns});
    }
}

template <class T>
DenseDescent<T>::DenseDescent(std::vector<Layer<T>> layers, Samples<T> samples, Rule rule)
    : layers_(std::move(layers)), samples_(samples), rule_(rule), row_(filled_up(samples.size)) {
    require(!layers_.empty(), "layers", "empty", "at least one layer");
    require(samples_.count > 0, "inputs", "empty", "at least one sample");
    Index before = samples_.size, widest = 0;
    std::size_t most_weights = 0;
    for (const Layer<T>& layer : layers_) {
        const Index outputs = layer.weights.rows;
        require(outputs > 0 && layer.weights.cols == before, "layers",
                std::to_string(layer.weights.rows) + " x " + std::to_string(layer.weights.cols),
                "as many inputs as the layer before has outputs");
        require(layer.biases.rows == 1 && layer.biases.cols == outputs, "layers", "with biases of another length",
                "one an output");
        values_.emplace_back(outputs * most_samples);
        weight_gradients_.emplace_back(outputs * before);
        bias_gradients_.emplace_back(outputs);
        most_weights = std::max(most_weights, weight_gradients_.back().size());
        widest = std::max(widest, outputs);
        before = outputs;
    }
    weight_gradients_.front().resize(layers_.front().weights.rows * row_);
    require(rule_.loss == LossKind::squared || lie_below(before, samples_.labels, samples_.count), "labels",
            "out of range", "classes from 0, below the number of outputs");
    slopes_.resize(widest * most_samples);
    slopes_before_.resize(widest * most_samples);
    scratch_.resize(std::max<std::size_t>(most_weights, 2 * most_samples));
}

template <class T>
void DenseDescent<T>::step(const Batch<T>& batch, double rate) {
    ++steps_;
    for (const Block& block : batch.blocks()) {
        forward(block);
        slope_of_loss(batch, block);
        backward(block, block.from > 0);
    }
    move(rate);
}

template <class T>
void DenseDescent<T>::forward(const Block& block) {
    const Index count = block.filled;
    const T* H = block.columns;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const auto& [weights, biases, after] = layers_[l];
        T* Z = values_[l].data();
        dense::multiply<T>(
            {weights.rows, count, weights.cols, weights.value, weights.stride, 1, H, count, 1, false, Z, count});
        switch (after) {
            case Function::relu:
                rectify_all(weights.rows, count, biases.value, Z);
                break;
            case Function::tanh:
                tanh_all(weights.rows, count, biases.value, Z);
                break;
            case Function::identity:
                shift_all(weights.rows, count, biases.value, Z);
        }
        H = Z;
    }
}

// slopes_ <- dL/dF of the outputs F (K x b), which for the softmax are its probabilities less one at the label.
template <class T>
void DenseDescent<T>::slope_of_loss(const Batch<T>& batch, const Block& block) {
    const auto [from, count, filled, rows, columns] = block;
    const Index outputs = layers_.back().weights.rows;
    const T* F = values_.back().data();
    T* D = slopes_.data();
    const double share = 1.0 / static_cast<double>(batch.count());
    if (rule_.loss == LossKind::squared) {
        const T scale = static_cast<T>(2.0 * share);
        for (Index j = 0; j < count; ++j) {
            const T* y = samples_.targets + batch.sample(from + j) * outputs;
            for (Index i = 0; i < outputs; ++i) D[i * filled + j] = scale * (F[i * filled + j] - y[i]);
        }
    } else {
        std::copy_n(F, outputs * filled, D);
        softmax(outputs, filled, D, share, scratch_.data(), scratch_.data() + most_samples);
        for (Index j = 0; j < count; ++j)
            D[samples_.labels[batch.sample(from + j)] * filled + j] -= static_cast<T>(share);
    }
    for (Index i = 0; i < outputs; ++i) std::fill_n(D + i * filled + count, filled - count, T(0));
}

template <class T>
void DenseDescent<T>::backward(const Block& block, bool add) {
    const Index count = block.filled;
    for (std::size_t l = layers_.size(); l-- > 0;) {
        const auto& [weights, biases, after] = layers_[l];
        const Index outputs = weights.rows, inputs = weights.cols;
        const T* D = slopes_.data();
        slope_all(after, outputs, count, values_[l].data(), slopes_.data(), bias_gradients_[l].data(), add);
        T* G = weight_gradients_[l].data();
        if (l == 0) {
            dense::multiply<T>({outputs, row_, count, D, count, 1, block.rows, row_, 1, add, G, row_});
            return;
        }
        const T* H = values_[l - 1].data();
        if (turned(weights))
            dense::multiply<T>({inputs, outputs, count, H, count, 1, D, 1, count, add, G, outputs});
        else
            dense::multiply<T>({outputs, inputs, count, D, count, 1, H, 1, count, add, G, inputs});
        dense::multiply<T>({inputs, count, outputs, weights.value, 1, weights.stride, D, count, 1, false,
                            slopes_before_.data(), count});
        std::swap(slopes_, slopes_before_);
    }
}

template <class T>
void DenseDescent<T>::move(double rate) {
    const auto take = [&](const Parameters<T>& w, T* g, Index apart) {
        if (w.mask)
            for (Index i = 0; i < w.rows; ++i)
                for (Index j = 0; j < w.cols; ++j) g[i * apart + j] *= w.mask[i * w.stride + j];
        rule_.optimiser == Optimiser::sgd ? sgd(w, g, apart, rule_, rate) : adam(w, g, apart, rule_, rate, steps_);
    };
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const Parameters<T>& weights = layers_[l].weights;
        T* G = weight_gradients_[l].data();
        if (l > 0 && turned(weights)) {
            transpose(weights.cols, weights.rows, G, scratch_.data());
            G = scratch_.data();
        }
        take(weights, G, l == 0 ? row_ : weights.cols);
        take(layers_[l].biases, bias_gradients_[l].data(), weights.rows);
    }
}

template class Batch<float>;
template class Batch<double>;
template class DenseDescent<float>;
template class DenseDescent<double>;

}  // namespace pyphenom::training
