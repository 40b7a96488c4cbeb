// The forward pass, the deltas, and how work is shared out.
#include <algorithm>

#include "core/dense.hpp"
#include "curvature/network.hpp"
#include "curvature/passes.hpp"
#include "curvature/team.hpp"

namespace pyphenom::curvature {

template <class T>
const T* Network<T>::input_of(Index layer, Index sample) const {
    return layer == 0 ? X_ + sample * layers_[0].entries_in
                      : layers_[layer - 1].out.data() + sample * layers_[layer].entries_in;
}

template <class T>
void Network<T>::forward(Samples s, Index index) {
    Layer& l = layers_[index];
    const T* in = input_of(index, s.first);
    const Index at = s.first * l.entries_out, rows = s.count * l.rows;
    T* out = l.out.data() + at;
    switch (l.kind) {
        case Kind::dense: {
            const Index in_g = l.inputs / l.groups, out_g = l.outputs / l.groups;
            for (Index g = 0; g < l.groups; ++g)
                dense::outputs_of<T>({rows, out_g, in_g}, in + g * in_g, l.inputs,
                                     values_.data() + l.places.weight_value + g * out_g * in_g, in_g, false,
                                     out + g * out_g, l.outputs);
            if (l.places.bias_value >= 0) add_bias(values_.data() + l.places.bias_value, out, rows, l.outputs);
            return;
        }
        case Kind::unfold:
            return curvature::unfold(l.windows, s.count, in, out);
        case Kind::average:
            return curvature::average(l.windows, l.weights.data(), s.count, in, out);
        case Kind::maximum:
            find_largest(l.windows, s.count, in, l.chosen.data() + at);
            return pick(l.windows, s.count, l.chosen.data() + at, 1, in, out);
        case Kind::flatten:
            return swap_axes(s.count, l.windows.positions_in, l.windows.channels, in, out);
        case Kind::activation:
            return evaluate(l.function, in, out, l.first.data() + at, l.second.empty() ? nullptr : l.second.data() + at,
                            s.count * l.entries_out);
    }
}

// The deltas from the gradients of the losses: those given, or those of the loss in closed form.
template <class T>
void Network<T>::deltas(Worker& w, Samples s, const T* gradients) {
    const Index size = outputs();
    if (gradients)
        std::copy_n(gradients + s.first * size, s.count * size, w.u);
    else
        w.loss += loss_.linearize(s.first, s.count, output() + s.first * size, w.u);
    pull(Job{coordinates(false)}, w, 1, nullptr, s, true);
}

template <class T>
void Network<T>::linearize(const T* values) {
    std::copy_n(values, values_.size(), values_.data());
    const bool closed = loss_.kind() != LossKind::custom;
    const Plan plan = planned(1);
    team(plan, 1, [&](Worker& w, Samples s) {
        for (Index i = 0; i < static_cast<Index>(layers_.size()); ++i) forward(s, i);
        if (closed) deltas(w, s, nullptr);
    });
    loss_value_ = 0.0;
    for (Index i = 0; i < plan.workers; ++i) loss_value_ += workers_[i].loss;
}

template <class T>
void Network<T>::differentiate(const T* gradients) {
    team(planned(1), 1, [&](Worker& w, Samples s) { deltas(w, s, gradients); });
}

// ---- sharing out -------------------------------------------------------------------------------------------------

template <class T>
typename Network<T>::Plan Network<T>::planned(Index K) const {
    constexpr double worth_a_worker = 4e6;     // operations: below, starting a thread costs more than it does
    constexpr Index rows = 128, whole = 256;  // a product wants at least so many rows; workspaces where BLAS threads
    const Index bytes = (tangent_size_ + 2 * widest_) * static_cast<Index>(sizeof(T));
    const bool shared = dense::one_threaded<T>();
    const double operations = operations_ * static_cast<double>(samples_ * K);
    Plan p;
    if (shared)
        p.workers = std::clamp<Index>(static_cast<Index>(std::min(operations / worth_a_worker, 1e6)), 1,
                                      std::min<Index>(threads_, samples_));
    // A block also pays for passes over the weights: as large as these is cheap.
    const Index memory = std::max(workspace_, 2 * parameters_ * static_cast<Index>(sizeof(T)));
    const Index share = (samples_ + p.workers - 1) / p.workers;
    const Index fitting = shared ? std::clamp<Index>(memory / bytes, std::min(share, rows), share) : share;
    const Index blocks = (share + fitting - 1) / fitting;
    p.samples = (share + blocks - 1) / blocks;
    p.sets = std::clamp<Index>((shared ? memory : whole * memory) / (bytes * p.samples), 1, std::max<Index>(K, 1));
    return p;
}

template class Network<float>;
template class Network<double>;

}  // namespace pyphenom::curvature
