// What moves entries between positions: patches of a convolution, pooling, flattening. All are linear in the tangents.
//
// A sample is a matrix (positions, channels), row-major. A window table holds for each position of the output the
// `taps` positions of the input that it sees, -1 for padding: stride, dilation and padding live in the table alone.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix.hpp"

namespace pyphenom::curvature {

struct Windows {
    std::vector<std::int32_t> table;  // (positions_out, taps)
    Index positions_in = 0, positions_out = 0, taps = 0, channels = 0;
};

// out (positions_out, channels, taps) <- the patches of in (positions_in, channels), sample by sample.
template <class T>
void unfold(const Windows& w, Index samples, const T* in, T* out);
// in <- sum of the patches: the transpose of `unfold`.
template <class T>
void fold(const Windows& w, Index samples, const T* out, T* in);

// out (positions_out, channels) <- weights[position] * sum over the window.
template <class T>
void average(const Windows& w, const T* weights, Index samples, const T* in, T* out);
template <class T>
void average_transpose(const Windows& w, const T* weights, Index samples, const T* out, T* in);

// chosen (positions_out, channels) <- where in the sample the largest entry of the window stands; the first one of
// equals, and a NaN before all.
template <class T>
void find_largest(const Windows& w, Index samples, const T* in, std::int32_t* chosen);
// `block` holds several sets of `samples` samples, all with the same choice.
template <class T>
void pick(const Windows& w, Index samples, const std::int32_t* chosen, Index sets, const T* in, T* out);
template <class T>
void pick_transpose(const Windows& w, Index samples, const std::int32_t* chosen, Index sets, const T* out, T* in);

// out (channels, positions) <- transpose of in (positions, channels), sample by sample.
template <class T>
void swap_axes(Index samples, Index positions, Index channels, const T* in, T* out);

}  // namespace pyphenom::curvature
