// Column-major matrix views. A view owns nothing; `stride` is the distance between columns.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace pyphenom {

using Index = std::ptrdiff_t;

template <class T>
struct Matrix {
    T* data = nullptr;
    Index rows = 0;
    Index cols = 0;
    Index stride = 0;

    Matrix() = default;
    Matrix(T* data_, Index rows_, Index cols_, Index stride_)
        : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
    Matrix(T* data_, Index rows_, Index cols_) : Matrix(data_, rows_, cols_, rows_) {}

    T& operator()(Index i, Index j) const { return data[i + j * stride]; }
    T* col(Index j) const { return data + j * stride; }

    Matrix block(Index i, Index j, Index r, Index c) const { return {data + i + j * stride, r, c, stride}; }
    Matrix columns(Index j, Index c) const { return block(0, j, rows, c); }
    Matrix top(Index r) const { return block(0, 0, r, cols); }

    operator Matrix<const T>() const { return {data, rows, cols, stride}; }
};

// Throws std::invalid_argument: "`name` is <got>; expected <expected>".
inline void require(bool condition, const char* name, const std::string& got, const char* expected) {
    if (!condition) throw std::invalid_argument(std::string("`") + name + "` is " + got + "; expected " + expected);
}

}  // namespace pyphenom
