// The body of `product_avx2` and `product_avx512`; each includes it under its own compiler flags.
//
// A panel of B, `width` vectors wide, is copied together, so that one row of it is one or two vector loads. A tile of
// `height` rows of C stays in registers while the panel passes.
#pragma once

#include <algorithm>

#include "core/tiles.hpp"

namespace pyphenom::dense {
namespace {

constexpr Index depth_block = 384;  // of a panel: it stays in the second cache
constexpr Index strip = 16;  // of a panel that is transposed: its lines stay in the first cache

template <class T, int bytes>
struct Vector {
    typedef T type __attribute__((vector_size(bytes), aligned(alignof(T))));
    static constexpr Index lanes = bytes / static_cast<int>(sizeof(T));
};

// The tile at c; the panel has `width` vectors a row. Only `cols` columns are stored.
template <class T, int bytes, int height, int width>
inline void tile(Index depth, const T* a, Index row_a, Index col_a, const T* panel, Index cols, int add, T* c,
                 Index ldc) {
    using V = typename Vector<T, bytes>::type;
    constexpr Index lanes = Vector<T, bytes>::lanes;
    V sum[height][width];
    for (int i = 0; i < height; ++i)  // one by one: `= {}` is a string instruction, a twentieth of the time
        for (int j = 0; j < width; ++j) sum[i][j] = V{};
    for (Index p = 0; p < depth; ++p, a += col_a, panel += width * lanes) {
        V b[width];
        for (int j = 0; j < width; ++j) b[j] = *reinterpret_cast<const V*>(panel + j * lanes);
        for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j) sum[i][j] += a[i * row_a] * b[j];
    }
    if (cols == width * lanes) {
        for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j) {
                V* out = reinterpret_cast<V*>(c + i * ldc + j * lanes);
                *out = add == 0 ? sum[i][j] : add > 0 ? *out + sum[i][j] : *out - sum[i][j];
            }
        return;
    }
    for (int i = 0; i < height; ++i) {
        T row[width * lanes];
        for (int j = 0; j < width; ++j) *reinterpret_cast<V*>(row + j * lanes) = sum[i][j];
        for (Index j = 0; j < cols; ++j)
            c[i * ldc + j] = add == 0 ? row[j] : add > 0 ? c[i * ldc + j] + row[j] : c[i * ldc + j] - row[j];
    }
}

template <class T, int bytes, int height, int width>
inline void panel_rows(const Product<T>& x, Index first, Index depth, const T* a, const T* panel, Index cols, int add,
                       T* c) {
    Index i = first;
    for (; i + height <= x.rows; i += height)
        tile<T, bytes, height, width>(depth, a + i * x.row_a, x.row_a, x.col_a, panel, cols, add, c + i * x.ldc, x.ldc);
    if constexpr (height > 1) panel_rows<T, bytes, height / 2, width>(x, i, depth, a, panel, cols, add, c);
}

template <class T, int bytes, int height, int width>
inline void one_panel(const Product<T>& x, Index col, Index cols) {
    constexpr Index lanes = Vector<T, bytes>::lanes * width;
    alignas(64) T panel[depth_block * lanes];
    Index start = 0;
    do {  // at least once: the product over no depth is zero
        const Index depth = std::min(depth_block, x.depth - start);
        const T* b = x.b + start * x.row_b + col * x.col_b;
        const T* rows = panel;
        if (x.col_b == 1 && x.row_b == lanes && cols == lanes) {
            rows = b;  // a panel already
        } else if (x.col_b == 1) {
            for (Index p = 0; p < depth; ++p) {
                if (cols == lanes) {
                    std::copy_n(b + p * x.row_b, lanes, panel + p * lanes);  // of a fixed size: no call
                    continue;
                }
                std::copy_n(b + p * x.row_b, cols, panel + p * lanes);
                std::fill_n(panel + p * lanes + cols, lanes - cols, T(0));
            }
        } else {
            if (cols < lanes) std::fill_n(panel, depth * lanes, T(0));
            for (Index from = 0; from < depth; from += strip)
                for (Index j = 0; j < cols; ++j)
                    for (Index p = from; p < std::min(from + strip, depth); ++p)
                        panel[p * lanes + j] = b[p * x.row_b + j * x.col_b];
        }
        panel_rows<T, bytes, height, width>(x, 0, depth, x.a + start * x.col_a, rows, cols,
                                            x.add == 0 && start > 0 ? 1 : x.add, x.c + col);
        start += depth_block;
    } while (start < x.depth);
}

template <class T, int bytes, int height>
inline void multiply(const Product<T>& x) {
    constexpr Index lanes = Vector<T, bytes>::lanes;
    Index j = 0;
    for (; j + lanes < x.cols; j += 2 * lanes) one_panel<T, bytes, height, 2>(x, j, std::min(2 * lanes, x.cols - j));
    if (j < x.cols) one_panel<T, bytes, height, 1>(x, j, x.cols - j);
}

}  // namespace
}  // namespace pyphenom::dense
