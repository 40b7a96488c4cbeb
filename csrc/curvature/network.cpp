#include "curvature/network.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "curvature/multiply.hpp"
#include "curvature/passes.hpp"

namespace pyphenom::curvature {

template <class T>
Network<T>::Network(const T* X, Index samples, Index positions, Index channels, Index values, Index parameters,
                    int threads, Index workspace)
    : X_(X),
      samples_(samples),
      positions_(positions),
      channels_(channels),
      parameters_(parameters),
      threads_(threads),
      workspace_(workspace),
      values_(static_cast<std::size_t>(values)) {
    require(parameters > 0, "parameters", std::to_string(parameters), "at least one trainable parameter");
}

// ---- layers ------------------------------------------------------------------------------------------------------

template <class T>
typename Network<T>::Layer& Network<T>::add(Kind kind, Index rows, Index inputs, Index outputs) {
    Layer layer{kind, rows, inputs, outputs, samples_ * positions_ * channels_, rows * outputs};
    layer.out.resize(static_cast<std::size_t>(layer.entries_out));
    layers_.push_back(std::move(layer));
    return layers_.back();
}

template <class T>
void Network<T>::dense(Index outputs, Index groups, const DensePlaces& places) {
    require(groups > 0 && outputs % groups == 0 && channels_ % groups == 0, "groups", std::to_string(groups),
            "a divisor of inputs and outputs");
    const Index size = outputs * (channels_ / groups);
    require(places.weight_value >= 0 && places.weight_value + size <= values(), "weight_value",
            std::to_string(places.weight_value), "a place inside the values");
    require(places.bias_value < 0 || places.bias_value + outputs <= values(), "bias_value",
            std::to_string(places.bias_value), "a place inside the values");
    require(places.weight < 0 || places.weight + size <= parameters_, "weight", std::to_string(places.weight),
            "a place inside the parameter vector");
    require(places.bias < 0 || places.bias + outputs <= parameters_, "bias", std::to_string(places.bias),
            "a place inside the parameter vector");
    Layer& layer = add(Kind::dense, samples_ * positions_, channels_, outputs);
    layer.groups = groups;
    layer.places = places;
    channels_ = outputs;
    const bool trainable = places.weight >= 0 || places.bias >= 0;
    if (first_ < 0 && trainable) first_ = static_cast<Index>(layers_.size()) - 1;
    if (first_ >= 0) layer.delta.resize(layer.out.size());
}

template <class T>
void Network<T>::windowed(Kind kind, Windows w) {
    require(w.positions_in == positions_ && w.channels == channels_ &&
                static_cast<Index>(w.table.size()) == w.positions_out * w.taps,
            "table", "of another shape", "(positions out, taps) for the layer before");
    for (const std::int32_t at : w.table)
        require(at < w.positions_in, "table", std::to_string(at), "positions of the layer before");
    const Index taps = kind == Kind::unfold ? w.taps : 1;
    Layer& layer = add(kind, samples_ * w.positions_out, channels_, channels_ * taps);
    positions_ = w.positions_out;
    channels_ *= taps;
    if (kind == Kind::maximum) layer.chosen.resize(layer.out.size());
    layer.windows = std::move(w);
}

template <class T>
void Network<T>::unfold(Windows w) {
    windowed(Kind::unfold, std::move(w));
}

template <class T>
void Network<T>::average(Windows w, std::vector<T> weights) {
    require(static_cast<Index>(weights.size()) == w.positions_out, "weights", "of another length", "one a position");
    windowed(Kind::average, std::move(w));
    layers_.back().weights.assign(weights.begin(), weights.end());
}

template <class T>
void Network<T>::maximum(Windows w) {
    for (Index p = 0; p < w.positions_out; ++p)
        require(std::any_of(w.table.begin() + p * w.taps, w.table.begin() + (p + 1) * w.taps,
                            [](std::int32_t at) { return at >= 0; }),
                "table", "all padding at one position", "a window with at least one entry");
    windowed(Kind::maximum, std::move(w));
}

template <class T>
void Network<T>::flatten() {
    if (positions_ == 1) return;
    Windows w;
    w.positions_in = positions_;
    w.channels = channels_;
    Layer& layer = add(Kind::flatten, samples_, channels_, channels_ * positions_);
    layer.windows = std::move(w);
    channels_ *= positions_;
    positions_ = 1;
}

template <class T>
void Network<T>::activation(const Activation& activation) {
    Layer& layer = add(Kind::activation, samples_ * positions_, channels_, channels_);
    layer.function = activation;
    layer.first.resize(layer.out.size());
    if (!activation.piecewise_linear()) layer.second.resize(layer.out.size());
}

template <class T>
void Network<T>::loss(LossKind kind, double weight, const T* targets) {
    loss_ = Loss<T>(kind, weight, targets, samples_, outputs());
}

template <class T>
void Network<T>::reduce(const T* X_r, Index rank) {
    require(!layers_.empty() && layers_[0].kind == Kind::dense && layers_[0].groups == 1 &&
                layers_[0].places.weight == 0 && layers_[0].rows == samples_,
            "X_r", "given", "a network that starts with a trainable dense layer");
    require(rank > 0 && rank <= layers_[0].inputs, "rank", std::to_string(rank), "at most the number of inputs");
    reduced_ = X_r;
    rank_ = rank;
}

template <class T>
typename Network<T>::Coordinates Network<T>::coordinates(bool reduced) const {
    if (!reduced) return {nullptr, 0, 0, parameters_};
    require(reduced_, "reduced", "asked for", "a network whose inputs were reduced first");
    const Index shift = (layers_[0].inputs - rank_) * layers_[0].outputs;
    return {reduced_, rank_, shift, parameters_ - shift};
}

// ---- linearising -------------------------------------------------------------------------------------------------

template <class T>
void Network<T>::forward_layer(Index index) {
    Layer& l = layers_[index];
    const T* in = input_of(index);
    T* out = l.out.data();
    switch (l.kind) {
        case Kind::dense: {
            const Index in_g = l.inputs / l.groups, out_g = l.outputs / l.groups;
            for (Index g = 0; g < l.groups; ++g)
                outputs_of<T>({l.rows, out_g, in_g}, in + g * in_g, l.inputs,
                              values_.data() + l.places.weight_value + g * out_g * in_g, in_g, false, out + g * out_g,
                              l.outputs);
            if (l.places.bias_value >= 0) add_bias(values_.data() + l.places.bias_value, out, l.rows, l.outputs);
            return;
        }
        case Kind::unfold:
            return curvature::unfold(l.windows, samples_, in, out, threads_);
        case Kind::average:
            return curvature::average(l.windows, l.weights.data(), samples_, in, out);
        case Kind::maximum:
            find_largest(l.windows, samples_, in, l.chosen.data());
            return pick(l.windows, samples_, l.chosen.data(), 1, in, out);
        case Kind::flatten:
            return swap_axes(samples_, l.windows.positions_in, l.windows.channels, in, out);
        case Kind::activation:
            return evaluate(l.function, in, out, l.first.data(), l.second.data(), l.entries_out, threads_);
    }
}

template <class T>
void Network<T>::linearize(const T* values) {
    require(first_ >= 0, "network", "without trainable layers", "at least one trainable dense layer");
    std::copy_n(values, values_.size(), values_.data());
    for (Index i = 0; i < static_cast<Index>(layers_.size()); ++i) forward_layer(i);
    if (loss_.kind() == LossKind::custom) return;
    reserve(1);
    u_ = back_[0].data();
    loss_value_ = loss_.linearize(output(), u_);
    pull(coordinates(false), 1, nullptr, nullptr, false, true);
}

template <class T>
void Network<T>::differentiate(const T* gradients) {
    reserve(1);
    u_ = back_[0].data();
    std::copy_n(gradients, samples_ * outputs(), u_);
    pull(coordinates(false), 1, nullptr, nullptr, false, true);
}

// ---- memory ------------------------------------------------------------------------------------------------------

template <class T>
Index Network<T>::block(Index directions) const {
    Index entries = 0, largest = 0;
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        entries += layers_[i].entries_out;
        largest = std::max(largest, layers_[i].entries_out);
    }
    const Index bytes = (entries + 2 * largest) * static_cast<Index>(sizeof(T));
    return std::clamp<Index>(workspace_ / std::max<Index>(1, bytes), 1, std::max<Index>(1, directions));
}

template <class T>
void Network<T>::reserve(Index sets) {
    if (sets <= reserved_) return;
    Index entries = 0, largest = samples_ * outputs(), widest = 1;
    const auto in_place = [&](const Layer& l, Index i) {
        // What stands before it must not be needed on the way back: an activation needs its own tangents there.
        return l.kind == Kind::activation && layers_[i - 1].kind != Kind::activation &&
               (l.second.empty() || l.function.has_ratio());
    };
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        if (!in_place(layers_[i], i)) entries += layers_[i].entries_out;
        largest = std::max(largest, layers_[i].entries_out);
        if (i > first_) largest = std::max(largest, layers_[i].entries_in);
        widest = std::max(widest, layers_[i].outputs);
    }
    const auto size = [=](Index count) { return static_cast<std::size_t>(sets * count); };
    tangents_.resize(size(entries));
    for (Block<T>& half : back_) half.resize(size(largest));
    sums_.resize(size(widest * max_shares));
    T* next = tangents_.data();
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        Layer& l = layers_[i];
        if (in_place(l, i)) {
            l.tangent = layers_[i - 1].tangent;
        } else {
            l.tangent = next;
            next += sets * l.entries_out;
        }
    }
    reserved_ = sets;
}

template class Network<float>;
template class Network<double>;

}  // namespace pyphenom::curvature
