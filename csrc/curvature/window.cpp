#include "curvature/window.hpp"

#include <algorithm>

namespace pyphenom::curvature {
template <class T>
void unfold(const Windows& w, Index samples, const T* in, T* out) {
    const Index entries = w.positions_out * w.channels * w.taps;
    for (Index s = 0; s < samples; ++s) {
        const T* sample = in + s * w.positions_in * w.channels;
        T* patch = out + s * entries;
        for (Index p = 0; p < w.positions_out; ++p, patch += w.channels * w.taps)
            for (Index t = 0; t < w.taps; ++t) {
                const Index at = w.table[p * w.taps + t];
                if (at < 0)
                    for (Index c = 0; c < w.channels; ++c) patch[c * w.taps + t] = T(0);
                else
                    for (Index c = 0; c < w.channels; ++c) patch[c * w.taps + t] = sample[at * w.channels + c];
            }
    }
}

template <class T>
void fold(const Windows& w, Index samples, const T* out, T* in) {
    const Index entries = w.positions_out * w.channels * w.taps;
    for (Index s = 0; s < samples; ++s) {
        T* sample = in + s * w.positions_in * w.channels;
        std::fill_n(sample, w.positions_in * w.channels, T(0));
        const T* patch = out + s * entries;
        for (Index p = 0; p < w.positions_out; ++p, patch += w.channels * w.taps)
            for (Index t = 0; t < w.taps; ++t) {
                const Index at = w.table[p * w.taps + t];
                if (at >= 0)
                    for (Index c = 0; c < w.channels; ++c) sample[at * w.channels + c] += patch[c * w.taps + t];
            }
    }
}

template <class T>
void average(const Windows& w, const T* weights, Index samples, const T* in, T* out) {
    for (Index s = 0; s < samples; ++s, in += w.positions_in * w.channels)
        for (Index p = 0; p < w.positions_out; ++p, out += w.channels) {
            std::fill_n(out, w.channels, T(0));
            for (Index t = 0; t < w.taps; ++t) {
                const Index at = w.table[p * w.taps + t];
                if (at < 0) continue;
                for (Index c = 0; c < w.channels; ++c) out[c] += in[at * w.channels + c];
            }
            for (Index c = 0; c < w.channels; ++c) out[c] *= weights[p];
        }
}

template <class T>
void average_transpose(const Windows& w, const T* weights, Index samples, const T* out, T* in) {
    std::fill_n(in, samples * w.positions_in * w.channels, T(0));
    for (Index s = 0; s < samples; ++s, in += w.positions_in * w.channels)
        for (Index p = 0; p < w.positions_out; ++p, out += w.channels)
            for (Index t = 0; t < w.taps; ++t) {
                const Index at = w.table[p * w.taps + t];
                if (at < 0) continue;
                for (Index c = 0; c < w.channels; ++c) in[at * w.channels + c] += weights[p] * out[c];
            }
}

template <class T>
void find_largest(const Windows& w, Index samples, const T* in, std::int32_t* chosen) {
    for (Index s = 0; s < samples; ++s, in += w.positions_in * w.channels)
        for (Index p = 0; p < w.positions_out; ++p)
            for (Index c = 0; c < w.channels; ++c, ++chosen) {
                Index best = -1;
                for (Index t = 0; t < w.taps; ++t) {
                    const Index at = w.table[p * w.taps + t];
                    if (at < 0) continue;
                    const T u = in[at * w.channels + c];
                    if (best < 0 || u > in[best] || u != u) best = at * w.channels + c;
                }
                *chosen = static_cast<std::int32_t>(best);
            }
}

template <class T>
void pick(const Windows& w, Index samples, const std::int32_t* chosen, Index sets, const T* in, T* out) {
    const Index entries = w.positions_out * w.channels;
    for (Index s = 0; s < sets * samples; ++s, in += w.positions_in * w.channels, out += entries) {
        const std::int32_t* at = chosen + s % samples * entries;
        for (Index i = 0; i < entries; ++i) out[i] = in[at[i]];
    }
}

template <class T>
void pick_transpose(const Windows& w, Index samples, const std::int32_t* chosen, Index sets, const T* out, T* in) {
    const Index entries = w.positions_out * w.channels;
    std::fill_n(in, sets * samples * w.positions_in * w.channels, T(0));
    for (Index s = 0; s < sets * samples; ++s, in += w.positions_in * w.channels, out += entries) {
        const std::int32_t* at = chosen + s % samples * entries;
        for (Index i = 0; i < entries; ++i) in[at[i]] += out[i];
    }
}

template <class T>
void swap_axes(Index samples, Index positions, Index channels, const T* in, T* out) {
    for (Index s = 0; s < samples; ++s, in += positions * channels, out += positions * channels)
        for (Index p = 0; p < positions; ++p)
            for (Index c = 0; c < channels; ++c) out[c * positions + p] = in[p * channels + c];
}

#define PYPHENOM_INSTANTIATE(T)                                                                       \
    template void unfold<T>(const Windows&, Index, const T*, T*);                                     \
    template void fold<T>(const Windows&, Index, const T*, T*);                                       \
    template void average<T>(const Windows&, const T*, Index, const T*, T*);                          \
    template void average_transpose<T>(const Windows&, const T*, Index, const T*, T*);                \
    template void find_largest<T>(const Windows&, Index, const T*, std::int32_t*);                    \
    template void pick<T>(const Windows&, Index, const std::int32_t*, Index, const T*, T*);           \
    template void pick_transpose<T>(const Windows&, Index, const std::int32_t*, Index, const T*, T*); \
    template void swap_axes<T>(Index, Index, Index, const T*, T*);
PYPHENOM_INSTANTIATE(float)
PYPHENOM_INSTANTIATE(double)
#undef PYPHENOM_INSTANTIATE

}  // namespace pyphenom::curvature
