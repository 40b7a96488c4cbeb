// The products of a linearised network: directions pushed forward, cotangents pulled back.
#include <algorithm>

#include "core/parallel.hpp"
#include "curvature/multiply.hpp"
#include "curvature/network.hpp"
#include "curvature/passes.hpp"

namespace pyphenom::curvature {
namespace {

constexpr Index worth_a_thread = 1 << 16;  // entries of a pass

}  // namespace

// ---- forward -----------------------------------------------------------------------------------------------------

// The bias direction that the pass behind a dense layer still has to add; null where there is none.
template <class T>
const T* Network<T>::bias_direction(const Coordinates& c, Index layer, const T* V) const {
    const Layer& l = layers_[layer];
    return l.kind == Kind::dense && l.places.bias >= 0 ? V + c.at(l.places.bias) : nullptr;
}

template <class T>
void Network<T>::push_dense(const Coordinates& c, Index index, Index sets, const T* V) {
    const Layer& l = layers_[index];
    const bool has_input = index > first_, has_weights = l.places.weight >= 0;
    const bool reduced = index == 0 && c.input;
    const T* input = reduced ? c.input : input_of(index);
    const Index inputs = reduced ? c.inputs : l.inputs;
    const Index in_g = inputs / l.groups, out_g = l.outputs / l.groups;
    for (Index g = 0; g < l.groups; ++g) {
        T* out = l.tangent + g * out_g;
        if (has_input)
            outputs_of<T>({sets * l.rows, out_g, in_g}, layers_[index - 1].tangent + g * in_g, inputs,
                          values_.data() + l.places.weight_value + g * out_g * in_g, in_g, false, out, l.outputs);
        for (Index k = 0; has_weights && k < sets; ++k)
            outputs_of<T>({l.rows, out_g, in_g}, input + g * in_g, inputs,
                          V + k * c.parameters + c.at(l.places.weight) + g * out_g * in_g, in_g, has_input,
                          out + k * l.entries_out, l.outputs);
    }
    if (!has_input && !has_weights) std::fill_n(l.tangent, sets * l.entries_out, T(0));
    const bool bias_waits =
        index + 1 < static_cast<Index>(layers_.size()) && layers_[index + 1].kind == Kind::activation;
    const T* bias = bias_waits ? nullptr : bias_direction(c, index, V);
    for (Index k = 0; bias && k < sets; ++k)
        add_bias(bias + k * c.parameters, l.tangent + k * l.entries_out, l.rows, l.outputs);
}

template <class T>
void Network<T>::push(const Coordinates& c, Index sets, const T* V) {
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        const Layer& l = layers_[i];
        const T* in = i > first_ ? layers_[i - 1].tangent : nullptr;
        switch (l.kind) {
            case Kind::dense:
                push_dense(c, i, sets, V);
                break;
            case Kind::unfold:
                curvature::unfold(l.windows, sets * samples_, in, l.tangent, threads_);
                break;
            case Kind::average:
                curvature::average(l.windows, l.weights.data(), sets * samples_, in, l.tangent);
                break;
            case Kind::maximum:
                pick(l.windows, samples_, l.chosen.data(), sets, in, l.tangent);
                break;
            case Kind::flatten:
                swap_axes(sets * samples_, l.windows.positions_in, l.windows.channels, in, l.tangent);
                break;
            case Kind::activation: {
                const T* bias = bias_direction(c, i - 1, V);
                const Index cols = l.outputs;
                T* out = l.tangent;
                // A bias that waited would be missing from the tangent before the activation, where that is kept.
                T* kept = !l.second.empty() && !l.function.has_ratio() ? layers_[i - 1].tangent : nullptr;
                parallel_for(sets * l.rows, 1 + worth_a_thread / cols, threads_, [&](Index begin, Index end) {
                    while (begin < end) {
                        const Index k = begin / l.rows, row = begin % l.rows,
                                    rows = std::min(l.rows - row, end - begin);
                        const T* b = bias ? bias + k * c.parameters : nullptr;
                        if (b && kept) {
                            add_bias(b, kept + begin * cols, rows, cols);
                            b = nullptr;
                        }
                        push_rows(l.first.data() + row * cols, b, in + begin * cols, out + begin * cols, rows, cols);
                        begin += rows;
                    }
                });
                break;
            }
        }
    }
}

// ---- backward ----------------------------------------------------------------------------------------------------

// R_b <- the partial sums, in their order.
template <class T>
void Network<T>::store_sums(const Coordinates& c, const Layer& dense, Index sets, Index shares, T* R) {
    const Index cols = dense.outputs;
    for (Index k = 0; k < sets; ++k) {
        double* total = sums_.data() + k * shares * cols;
        for (Index s = 1; s < shares; ++s)
            for (Index j = 0; j < cols; ++j) total[j] += total[s * cols + j];
        T* r = R + k * c.parameters + c.at(dense.places.bias);
        for (Index j = 0; j < cols; ++j) r[j] = static_cast<T>(total[j]);
    }
}

template <class T>
void Network<T>::pull_dense(const Coordinates& c, Index index, Index sets, const T* V, T* R, bool curved) {
    const Layer& l = layers_[index];
    const bool has_input = index > first_, has_weights = l.places.weight >= 0;
    const bool reduced = index == 0 && c.input;
    const T* input = reduced ? c.input : input_of(index);
    const Index inputs = reduced ? c.inputs : l.inputs;
    const Index in_g = inputs / l.groups, out_g = l.outputs / l.groups;
    T* below = u_ == back_[0].data() ? back_[1].data() : back_[0].data();
    for (Index g = 0; g < l.groups; ++g) {
        const Index block = g * out_g * in_g;
        const T* u = u_ + g * out_g;
        const T* delta = l.delta.data() + g * out_g;
        for (Index k = 0; R && has_weights && k < sets; ++k) {
            T* r = R + k * c.parameters + c.at(l.places.weight) + block;
            weights_of<T>({l.rows, out_g, in_g}, u + k * l.entries_out, l.outputs, input + g * in_g, inputs, false, r,
                          in_g);
            if (curved && has_input)
                weights_of<T>({l.rows, out_g, in_g}, delta, l.outputs,
                              layers_[index - 1].tangent + k * l.entries_in + g * in_g, inputs, true, r, in_g);
        }
        if (!has_input) continue;
        inputs_of<T>({sets * l.rows, out_g, in_g}, u, l.outputs, values_.data() + l.places.weight_value + block, in_g,
                     false, below + g * in_g, inputs);
        for (Index k = 0; curved && has_weights && k < sets; ++k)
            inputs_of<T>({l.rows, out_g, in_g}, delta, l.outputs, V + k * c.parameters + c.at(l.places.weight) + block,
                         in_g, true, below + k * l.entries_in + g * in_g, inputs);
    }
    const bool summed = index + 1 < static_cast<Index>(layers_.size()) && layers_[index + 1].kind == Kind::activation;
    if (R && l.places.bias >= 0 && !summed) {
        std::fill_n(sums_.data(), sets * l.outputs, 0.0);
        for (Index k = 0; k < sets; ++k)
            add_column_sums(u_ + k * l.entries_out, sums_.data() + k * l.outputs, l.rows, l.outputs);
        store_sums(c, l, sets, 1, R);
    }
    if (has_input) u_ = below;
}

template <class T>
void Network<T>::pull_activation(const Coordinates& c, Index index, Index sets, T* R, bool curved) {
    const Layer& l = layers_[index];
    const Layer& before = layers_[index - 1];
    const Index cols = l.outputs;
    const bool sum = R && before.kind == Kind::dense && before.places.bias >= 0;
    const bool bends = curved && !l.second.empty();
    const T* tangent = l.function.has_ratio() ? l.tangent : before.tangent;
    // As many shares whatever the number of threads, so that the sums do not depend on it.
    const Index shares = std::clamp<Index>(l.entries_out / worth_a_thread, 1, std::min(max_shares, l.rows));
    if (sum) std::fill_n(sums_.data(), sets * shares * cols, 0.0);
    const Index grain = 1 + worth_a_thread * shares / (l.entries_out + 1);
    parallel_for(sets * shares, grain, threads_, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            const Index k = i / shares, s = i % shares;
            const Index begin = l.rows * s / shares, rows = l.rows * (s + 1) / shares - begin;
            const Index at = begin * cols, here = k * l.entries_out + at;
            pull_rows(l.first.data() + at, bends ? l.second.data() + at : nullptr, tangent + here, u_ + here,
                      sum ? sums_.data() + i * cols : nullptr, rows, cols);
        }
    });
    if (sum) store_sums(c, before, sets, shares, R);
}

// `record`: u is the gradient itself, and the deltas and bends are kept.
template <class T>
void Network<T>::pull(const Coordinates& c, Index sets, const T* V, T* R, bool curved, bool record) {
    for (Index i = static_cast<Index>(layers_.size()) - 1; i >= first_; --i) {
        Layer& l = layers_[i];
        T* below = u_ == back_[0].data() ? back_[1].data() : back_[0].data();
        switch (l.kind) {
            case Kind::dense:
                if (record) std::copy_n(u_, l.entries_out, l.delta.data());
                pull_dense(c, i, sets, V, R, curved);
                continue;
            case Kind::activation:
                if (record && !l.second.empty()) scale(u_, l.second.data(), l.entries_out);
                pull_activation(c, i, sets, R, curved);
                continue;
            case Kind::unfold:
                fold(l.windows, sets * samples_, u_, below, threads_);
                break;
            case Kind::average:
                average_transpose(l.windows, l.weights.data(), sets * samples_, u_, below);
                break;
            case Kind::maximum:
                pick_transpose(l.windows, samples_, l.chosen.data(), sets, u_, below);
                break;
            case Kind::flatten:
                swap_axes(sets * samples_, l.windows.channels, l.windows.positions_in, u_, below);
                break;
        }
        u_ = below;
    }
}

// ---- products ----------------------------------------------------------------------------------------------------

template <class T>
void Network<T>::gradient(bool reduced, T* R) const {
    const Coordinates c = coordinates(reduced);
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        const Layer& l = layers_[i];
        if (l.kind != Kind::dense) continue;
        const bool first_reduced = i == 0 && c.input;
        const T* input = first_reduced ? c.input : input_of(i);
        const Index inputs = first_reduced ? c.inputs : l.inputs;
        const Index in_g = inputs / l.groups, out_g = l.outputs / l.groups;
        for (Index g = 0; l.places.weight >= 0 && g < l.groups; ++g)
            weights_of<T>({l.rows, out_g, in_g}, l.delta.data() + g * out_g, l.outputs, input + g * in_g, inputs, false,
                          R + c.at(l.places.weight) + g * out_g * in_g, in_g);
        if (l.places.bias < 0) continue;
        std::vector<double> sums(static_cast<std::size_t>(l.outputs), 0.0);
        add_column_sums(l.delta.data(), sums.data(), l.rows, l.outputs);
        for (Index j = 0; j < l.outputs; ++j) R[c.at(l.places.bias) + j] = static_cast<T>(sums[j]);
    }
}

template <class T>
void Network<T>::pull_back(bool reduced, Index K, const T* V, const T* U, T* R) {
    require(K <= reserved_, "K", std::to_string(K), "as many directions as `jacobian` had just before");
    u_ = back_[0].data();
    std::copy_n(U, K * samples_ * outputs(), u_);
    pull(coordinates(reduced), K, V, R, true, false);
}

template <class T>
void Network<T>::second_order(bool reduced, Index K, const T* V, T* R, bool curved) {
    require(loss_.kind() != LossKind::custom, "loss", "custom", "one in closed form; use `jacobian` and `pull_back`");
    const Coordinates c = coordinates(reduced);
    const Index chunk = block(K), size = samples_ * outputs();
    reserve(chunk);
    for (Index k = 0; k < K; k += chunk) {
        const Index sets = std::min(chunk, K - k);
        push(c, sets, V + k * c.parameters);
        u_ = back_[0].data();
        std::copy_n(layers_.back().tangent, sets * size, u_);
        loss_.hessian(sets, u_);
        pull(c, sets, V + k * c.parameters, R + k * c.parameters, curved, false);
    }
}

template <class T>
void Network<T>::hessian(bool reduced, Index K, const T* V, T* R) {
    second_order(reduced, K, V, R, true);
}

template <class T>
void Network<T>::gauss_newton(bool reduced, Index K, const T* V, T* R) {
    second_order(reduced, K, V, R, false);
}

template <class T>
void Network<T>::jacobian(bool reduced, Index K, const T* V, T* U) {
    const Coordinates c = coordinates(reduced);
    const Index chunk = block(K), size = samples_ * outputs();
    reserve(chunk);
    for (Index k = 0; k < K; k += chunk) {
        const Index sets = std::min(chunk, K - k);
        push(c, sets, V + k * c.parameters);
        std::copy_n(layers_.back().tangent, sets * size, U + k * size);
    }
}

template <class T>
void Network<T>::jacobian_transpose(bool reduced, Index K, const T* U, T* R) {
    const Coordinates c = coordinates(reduced);
    const Index chunk = block(K), size = samples_ * outputs();
    reserve(chunk);
    for (Index k = 0; k < K; k += chunk) {
        const Index sets = std::min(chunk, K - k);
        u_ = back_[0].data();
        std::copy_n(U + k * size, sets * size, u_);
        pull(c, sets, nullptr, R + k * c.parameters, false, false);
    }
}

template class Network<float>;
template class Network<double>;

}  // namespace pyphenom::curvature
