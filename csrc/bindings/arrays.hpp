// The only bridge between numpy arrays and the library's views.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "core/matrix.hpp"

namespace pyphenom {

namespace py = pybind11;

// Arrays whose rows are contiguous, passed without conversion: the Python layer has already decided on copies.
template <class T>
using Array = py::array_t<T, 0>;

// A C-ordered array (r, c) seen column-major: c rows, r columns, the array's row stride between columns.
template <class T, class U>
Matrix<T> transposed_view(U& array, const char* name) {
    require(array.ndim() == 2, name, std::to_string(array.ndim()) + "-dimensional", "a 2-dimensional array");
    const Index rows = array.shape(0), cols = array.shape(1), item = sizeof(T);
    require(cols <= 1 || array.strides(1) == item, name, "strided along its rows", "rows contiguous in memory");
    Index stride = cols;
    if (rows > 1) {
        require(array.strides(0) % item == 0 && array.strides(0) >= cols * item, name, "strided irregularly",
                "rows contiguous in memory; numpy.ascontiguousarray makes them so");
        stride = array.strides(0) / item;
    }
    if constexpr (std::is_const_v<T>) {
        return {array.data(), cols, rows, stride};
    } else {
        return {array.mutable_data(), cols, rows, stride};
    }
}

}  // namespace pyphenom
