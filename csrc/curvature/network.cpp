#include "curvature/network.hpp"

#include <algorithm>
#include <string>
#include <utility>

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
    require(samples > 0, "X", "empty", "at least one sample");
    require(parameters > 0, "parameters", std::to_string(parameters), "at least one trainable parameter");
}

template <class T>
typename Network<T>::Layer& Network<T>::add(Kind kind, Index rows, Index inputs, Index outputs) {
    Layer layer{kind, rows, inputs, outputs, positions_ * channels_, rows * outputs};
    layer.out.resize(static_cast<std::size_t>(samples_ * layer.entries_out));
    layers_.push_back(std::move(layer));
    return layers_.back();
}

template <class T>
void Network<T>::dense(Index outputs, Index groups, const DensePlaces& places) {
    require(groups > 0 && outputs % groups == 0 && channels_ % groups == 0, "groups", std::to_string(groups),
            "a divisor of inputs and outputs");
    const auto inside = [](const char* name, Index place, Index size, Index end) {
        require(place + size <= end, name, std::to_string(place), "a place inside its vector");
    };
    const Index size = outputs * (channels_ / groups);
    require(places.weight_value >= 0, "weight_value", std::to_string(places.weight_value), "a place");
    inside("weight_value", places.weight_value, size, values());
    if (places.bias_value >= 0) inside("bias_value", places.bias_value, outputs, values());
    if (places.weight >= 0) inside("weight", places.weight, size, parameters_);
    if (places.bias >= 0) inside("bias", places.bias, outputs, parameters_);
    Layer& layer = add(Kind::dense, positions_, channels_, outputs);
    layer.groups = groups;
    layer.places = places;
    channels_ = outputs;
    if (first_ < 0 && (places.weight >= 0 || places.bias >= 0)) first_ = static_cast<Index>(layers_.size()) - 1;
    if (first_ >= 0) layer.delta.resize(layer.out.size());
    layer.sums = sum_count_;
    if (places.bias >= 0) sum_count_ += outputs;
}

template <class T>
void Network<T>::windowed(Kind kind, Windows w) {
    require(w.positions_in == positions_ && w.channels == channels_ &&
                static_cast<Index>(w.table.size()) == w.positions_out * w.taps,
            "table", "of another shape", "(positions out, taps) for the layer before");
    for (const std::int32_t at : w.table)
        require(at < w.positions_in, "table", std::to_string(at), "positions of the layer before");
    const Index taps = kind == Kind::unfold ? w.taps : 1;
    Layer& layer = add(kind, w.positions_out, channels_, channels_ * taps);
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
    Layer& layer = add(Kind::flatten, 1, channels_, channels_ * positions_);
    layer.windows.positions_in = positions_;
    layer.windows.channels = channels_;
    channels_ *= positions_;
    positions_ = 1;
}

template <class T>
void Network<T>::activation(const Activation& activation) {
    Layer& layer = add(Kind::activation, positions_, channels_, channels_);
    layer.function = activation;
    layer.first.resize(layer.out.size());
    if (!activation.piecewise_linear()) layer.second.resize(layer.out.size());
}

template <class T>
void Network<T>::loss(LossKind kind, double weight, const T* targets) {
    loss_ = Loss<T>(kind, weight, targets, samples_, outputs());
    measure();
}

template <class T>
void Network<T>::reduce(const T* X_r, Index rank) {
    require(!layers_.empty() && layers_[0].kind == Kind::dense && layers_[0].groups == 1 &&
                layers_[0].places.weight == 0 && layers_[0].rows == 1,
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

// Whether an activation may overwrite the tangent before it. What stands there must not be needed on the way back:
// another activation needs its own tangents.
template <class T>
bool Network<T>::in_place(Index index) const {
    const Layer& l = layers_[index];
    return l.kind == Kind::activation && index > 0 && layers_[index - 1].kind != Kind::activation &&
           (l.second.empty() || l.function.has_ratio());
}

// What the memory and the team are sized by.
template <class T>
void Network<T>::measure() {
    require(first_ >= 0, "network", "without trainable layers", "at least one trainable dense layer");
    tangent_size_ = 0;
    widest_ = outputs();
    operations_ = 0.0;
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        const Layer& l = layers_[i];
        if (!in_place(i)) tangent_size_ += l.entries_out;
        widest_ = std::max({widest_, l.entries_out, i > first_ ? l.entries_in : 0});
        operations_ += l.kind == Kind::dense ? 12.0 * static_cast<double>(l.rows * l.outputs * l.inputs / l.groups)
                                             : 10.0 * static_cast<double>(l.entries_out);
    }
}

template <class T>
void Network<T>::reserve(Worker& w, Index sets, Index samples) const {
    if (sets <= w.sets && samples <= w.samples) return;
    w.sets = std::max(w.sets, sets);
    w.samples = std::max(w.samples, samples);
    const Index each = w.sets * w.samples;
    w.memory.resize(static_cast<std::size_t>(each * (tangent_size_ + 2 * widest_)));
    w.sums.resize(static_cast<std::size_t>(w.sets * sum_count_));
    w.tangents.assign(layers_.size(), nullptr);
    T* next = w.memory.data();
    for (Index i = first_; i < static_cast<Index>(layers_.size()); ++i) {
        if (in_place(i)) {
            w.tangents[i] = w.tangents[i - 1];
        } else {
            w.tangents[i] = next;
            next += each * layers_[i].entries_out;
        }
    }
    w.u = next;
    w.other = next + each * widest_;
}

template class Network<float>;
template class Network<double>;

}  // namespace pyphenom::curvature
