// The products of a linearised network: directions pushed forward, cotangents pulled back.
#include <algorithm>
#include <utility>

#include "core/dense.hpp"
#include "curvature/network.hpp"
#include "curvature/passes.hpp"
#include "curvature/team.hpp"

namespace pyphenom::curvature {

// ---- forward -----------------------------------------------------------------------------------------------------

template <class T>
void Network<T>::push_dense(const Job& job, Worker& w, Index index, Index sets, const T* V, Samples s) {
    const Layer& l = layers_[index];
    const Coordinates& c = job.coordinates;
    const bool has_input = index > first_, has_weights = l.places.weight >= 0;
    const Index inputs = index == 0 && c.input ? c.inputs : l.inputs;
    const T* input = index == 0 && c.input ? c.input + s.first * c.inputs : input_of(index, s.first);
    const Index in_g = inputs / l.groups, out_g = l.outputs / l.groups, rows = s.count * l.rows;
    for (Index g = 0; g < l.groups; ++g) {
        T* out = w.tangents[index] + g * out_g;
        if (has_input)
            dense::outputs_of<T>({sets * rows, out_g, in_g}, w.tangents[index - 1] + g * in_g, inputs,
                                 values_.data() + l.places.weight_value + g * out_g * in_g, in_g, false, out,
                                 l.outputs);
        for (Index k = 0; has_weights && k < sets; ++k)
            dense::outputs_of<T>({rows, out_g, in_g}, input + g * in_g, inputs,
                                 V + k * c.parameters + c.at(l.places.weight) + g * out_g * in_g, in_g, has_input,
                                 out + k * rows * l.outputs, l.outputs);
    }
    if (!has_input && !has_weights) std::fill_n(w.tangents[index], sets * rows * l.outputs, T(0));
    // An activation behind it adds the bias on its way.
    const bool waits = index + 1 < static_cast<Index>(layers_.size()) && layers_[index + 1].kind == Kind::activation;
    for (Index k = 0; l.places.bias >= 0 && !waits && k < sets; ++k)
        add_bias(V + k * c.parameters + c.at(l.places.bias), w.tangents[index] + k * rows * l.outputs, rows, l.outputs);
}

template <class T>
void Network<T>::push_activation(const Job& job, Worker& w, Index index, Index sets, const T* V, Samples s) {
    const Layer &l = layers_[index], &before = layers_[index - 1];
    const Coordinates& c = job.coordinates;
    const bool biased = before.kind == Kind::dense && before.places.bias >= 0;
    const bool kept = !l.second.empty() && !l.function.has_ratio();  // the way back needs the tangent before it
    const Index rows = s.count * l.rows, entries = rows * l.outputs;
    for (Index k = 0; k < sets; ++k) {
        T *in = w.tangents[index - 1] + k * entries, *out = w.tangents[index] + k * entries;
        const T* bias = biased ? V + k * c.parameters + c.at(before.places.bias) : nullptr;
        if (bias && kept) {
            add_bias(bias, in, rows, l.outputs);
            bias = nullptr;
        }
        push_rows(l.first.data() + s.first * l.entries_out, bias, in, out, rows, l.outputs);
    }
}

template <class T>
void Network<T>::push(const Job& job, Worker& w, Index sets, const T* V, Samples s) {
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        const Layer& l = layers_[i];
        const T* in = i > first_ ? w.tangents[i - 1] : nullptr;
        T* out = w.tangents[i];
        switch (l.kind) {
            case Kind::dense:
                push_dense(job, w, i, sets, V, s);
                break;
            case Kind::activation:
                push_activation(job, w, i, sets, V, s);
                break;
            case Kind::unfold:
                curvature::unfold(l.windows, sets * s.count, in, out);
                break;
            case Kind::average:
                curvature::average(l.windows, l.weights.data(), sets * s.count, in, out);
                break;
            case Kind::maximum:
                pick(l.windows, s.count, l.chosen.data() + s.first * l.entries_out, sets, in, out);
                break;
            case Kind::flatten:
                swap_axes(sets * s.count, l.windows.positions_in, l.windows.channels, in, out);
                break;
        }
    }
}

// ---- backward ----------------------------------------------------------------------------------------------------

template <class T>
void Network<T>::pull_dense(const Job& job, Worker& w, Index index, Index sets, const T* V, Samples s) {
    const Layer& l = layers_[index];
    const Coordinates& c = job.coordinates;
    const bool has_input = index > first_, has_weights = l.places.weight >= 0;
    const Index inputs = index == 0 && c.input ? c.inputs : l.inputs;
    const T* input = index == 0 && c.input ? c.input + s.first * c.inputs : input_of(index, s.first);
    const Index in_g = inputs / l.groups, out_g = l.outputs / l.groups, rows = s.count * l.rows;
    for (Index g = 0; g < l.groups; ++g) {
        const Index block = g * out_g * in_g;
        const T* u = w.u + g * out_g;
        const T* delta = l.delta.data() + s.first * l.entries_out + g * out_g;
        for (Index k = 0; w.R && has_weights && k < sets; ++k) {
            T* r = w.R + k * c.parameters + c.at(l.places.weight) + block;
            dense::weights_of<T>({rows, out_g, in_g}, u + k * rows * l.outputs, l.outputs, input + g * in_g, inputs,
                                 w.add, r, in_g);
            if (job.curved && has_input)
                dense::weights_of<T>({rows, out_g, in_g}, delta, l.outputs,
                                     w.tangents[index - 1] + k * rows * inputs + g * in_g, inputs, true, r, in_g);
        }
        if (!has_input) continue;
        dense::inputs_of<T>({sets * rows, out_g, in_g}, u, l.outputs, values_.data() + l.places.weight_value + block,
                            in_g, false, w.other + g * in_g, inputs);
        for (Index k = 0; job.curved && has_weights && k < sets; ++k)
            dense::inputs_of<T>({rows, out_g, in_g}, delta, l.outputs,
                                V + k * c.parameters + c.at(l.places.weight) + block, in_g, true,
                                w.other + k * rows * inputs + g * in_g, inputs);
    }
    const bool summed = index + 1 < static_cast<Index>(layers_.size()) && layers_[index + 1].kind == Kind::activation;
    for (Index k = 0; w.R && l.places.bias >= 0 && !summed && k < sets; ++k)
        add_column_sums(w.u + k * rows * l.outputs, w.sums.data() + k * sum_count_ + l.sums, rows, l.outputs);
    if (has_input) std::swap(w.u, w.other);
}

template <class T>
void Network<T>::pull_activation(const Job& job, Worker& w, Index index, Index sets, Samples s) {
    const Layer &l = layers_[index], &before = layers_[index - 1];
    const bool sum = w.R && before.kind == Kind::dense && before.places.bias >= 0;
    const Index at = s.first * l.entries_out, entries = s.count * l.entries_out;
    const T* bend = job.curved && !l.second.empty() ? l.second.data() + at : nullptr;
    const T* tangent = w.tangents[l.function.has_ratio() ? index : index - 1];
    for (Index k = 0; k < sets; ++k)
        pull_rows(l.first.data() + at, bend, tangent + k * entries, w.u + k * entries,
                  sum ? w.sums.data() + k * sum_count_ + before.sums : nullptr, s.count * l.rows, l.outputs);
}

// `record`: u is the gradient itself, and the deltas are kept.
template <class T>
void Network<T>::pull(const Job& job, Worker& w, Index sets, const T* V, Samples s, bool record) {
    for (Index i = static_cast<Index>(layers_.size()) - 1; i >= first_; --i) {
        Layer& l = layers_[i];
        const Index at = s.first * l.entries_out;
        switch (l.kind) {
            case Kind::dense:
                if (record) std::copy_n(w.u, s.count * l.entries_out, l.delta.data() + at);
                pull_dense(job, w, i, sets, V, s);
                continue;
            case Kind::activation:
                if (record && !l.second.empty()) scale(w.u, l.second.data() + at, s.count * l.entries_out);
                pull_activation(job, w, i, sets, s);
                continue;
            case Kind::unfold:
                fold(l.windows, sets * s.count, w.u, w.other);
                break;
            case Kind::average:
                average_transpose(l.windows, l.weights.data(), sets * s.count, w.u, w.other);
                break;
            case Kind::maximum:
                pick_transpose(l.windows, s.count, l.chosen.data() + at, sets, w.u, w.other);
                break;
            case Kind::flatten:
                swap_axes(sets * s.count, l.windows.channels, l.windows.positions_in, w.u, w.other);
                break;
        }
        std::swap(w.u, w.other);
    }
}

// ---- jobs --------------------------------------------------------------------------------------------------------

template <class T>
void Network<T>::gradient_block(const Job& job, Worker& w, Samples s) {
    const Coordinates& c = job.coordinates;
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        const Layer& l = layers_[i];
        if (l.kind != Kind::dense) continue;
        const Index inputs = i == 0 && c.input ? c.inputs : l.inputs;
        const T* input = i == 0 && c.input ? c.input + s.first * c.inputs : input_of(i, s.first);
        const T* delta = l.delta.data() + s.first * l.entries_out;
        const Index in_g = inputs / l.groups, out_g = l.outputs / l.groups, rows = s.count * l.rows;
        for (Index g = 0; l.places.weight >= 0 && g < l.groups; ++g)
            dense::weights_of<T>({rows, out_g, in_g}, delta + g * out_g, l.outputs, input + g * in_g, inputs, w.add,
                                 w.R + c.at(l.places.weight) + g * out_g * in_g, in_g);
        if (l.places.bias >= 0) add_column_sums(delta, w.sums.data() + l.sums, rows, l.outputs);
    }
}

// The directions set, set + 1, ... on some of the samples.
template <class T>
void Network<T>::block(const Job& job, Worker& w, Index set, Index sets, Samples s) {
    if (job.gradient) return gradient_block(job, w, s);
    const Index size = outputs(), each = s.count * size;
    const T* V = job.V ? job.V + set * job.coordinates.parameters : nullptr;
    if (V) push(job, w, sets, V, s);
    for (Index k = 0; k < sets; ++k) {
        const Index at = ((set + k) * samples_ + s.first) * size;
        if (job.image)
            std::copy_n(w.tangents.back() + k * each, each, job.image + at);
        else
            std::copy_n(job.U ? job.U + at : w.tangents.back() + k * each, each, w.u + k * each);
    }
    if (job.image) return;
    if (!job.U) loss_.hessian(sets, s.first, s.count, w.u);
    pull(job, w, sets, V, s, false);
}

// R <- the sum over the team; the bias entries from their sums in float64.
template <class T>
void Network<T>::collect(const Job& job, Index sets, Index workers, T* R) {
    const Coordinates& c = job.coordinates;
    double* total = workers_[0].sums.data();
    for (Index i = 1; i < workers; ++i) {
        accumulate(workers_[i].partial.data(), R, sets * c.parameters);
        for (Index j = 0; j < sets * sum_count_; ++j) total[j] += workers_[i].sums[j];
    }
    for (const Layer& l : layers_)
        for (Index k = 0; l.kind == Kind::dense && l.places.bias >= 0 && k < sets; ++k)
            for (Index j = 0; j < l.outputs; ++j)
                R[k * c.parameters + c.at(l.places.bias) + j] = static_cast<T>(total[k * sum_count_ + l.sums + j]);
}

template <class T>
void Network<T>::work(const Job& job, Index K) {
    const Index P = job.coordinates.parameters;
    const Plan plan = planned(K);
    for (Index set = 0; set < K; set += plan.sets) {
        const Index sets = std::min(plan.sets, K - set);
        T* R = job.R ? job.R + set * P : nullptr;
        if (static_cast<Index>(workers_.size()) < plan.workers) workers_.resize(static_cast<std::size_t>(plan.workers));
        for (Index i = 0; R && i < plan.workers; ++i) {
            Block<T>& partial = workers_[i].partial;
            if (i > 0 && static_cast<Index>(partial.size()) < sets * P)
                partial.resize(static_cast<std::size_t>(sets * P));
            workers_[i].R = i > 0 ? partial.data() : R;
        }
        team(plan, sets, [&](Worker& w, Samples s) { block(job, w, set, sets, s); });
        for (Worker& w : workers_) w.R = nullptr;
        if (R) collect(job, sets, plan.workers, R);
    }
}

template <class T>
void Network<T>::gradient(bool reduced, T* R) {
    Job job{coordinates(reduced)};
    job.R = R;
    job.gradient = true;
    work(job, 1);
}

template <class T>
void Network<T>::hessian(bool reduced, Index K, const T* V, T* R) {
    require(loss_.kind() != LossKind::custom, "loss", "custom", "one in closed form; use custom_hessian");
    Job job{coordinates(reduced)};
    job.V = V;
    job.R = R;
    job.curved = true;
    work(job, K);
}

template <class T>
void Network<T>::gauss_newton(bool reduced, Index K, const T* V, T* R) {
    require(loss_.kind() != LossKind::custom, "loss", "custom", "one in closed form; use jacobian and its transpose");
    Job job{coordinates(reduced)};
    job.V = V;
    job.R = R;
    work(job, K);
}

template <class T>
void Network<T>::jacobian(bool reduced, Index K, const T* V, T* U) {
    Job job{coordinates(reduced)};
    job.V = V;
    job.image = U;
    work(job, K);
}

template <class T>
void Network<T>::jacobian_transpose(bool reduced, Index K, const T* U, T* R) {
    Job job{coordinates(reduced)};
    job.U = U;
    job.R = R;
    work(job, K);
}

template <class T>
void Network<T>::custom_hessian(bool reduced, Index K, const T* V, const T* U, T* R) {
    Job job{coordinates(reduced)};
    job.V = V;
    job.U = U;
    job.R = R;
    job.curved = true;
    work(job, K);
}

template class Network<float>;
template class Network<double>;

}  // namespace pyphenom::curvature
