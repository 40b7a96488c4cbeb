#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <utility>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "core/buffer.hpp"
#include "core/loops.hpp"
#include "random_features/features.hpp"
#include "random_features/ridge_fit.hpp"
#include "random_features/width_path.hpp"

namespace pyphenom {
namespace {

template <class T>
void bind_draw_weights(py::module_& module) {
    module.def(
        "draw_weights",
        [](Array<T> W, Array<T> bias, const std::string& activation, const std::string& distribution, double bias_scale,
           std::uint64_t seed, std::uint64_t first, double scale, int threads) {
            const FeatureLaw law{parse_activation(activation), parse_distribution(distribution), bias_scale, seed};
            const auto w = transposed_view<T>(W, "W");
            require(bias.ndim() == 1 && bias.shape(0) == w.cols, "bias", "of another length", "one entry a row of `W`");
            T* b = bias.mutable_data();
            py::gil_scoped_release release;
            draw_weights(law, first, scale, w, b, threads);
        },
        py::arg("W").noconvert(), py::arg("bias").noconvert(), py::arg("activation"), py::arg("distribution"),
        py::arg("bias_scale"), py::arg("seed"), py::arg("first"), py::arg("scale"), py::arg("threads"),
        "Fill W (width, d) and bias (width,) with features first, first + 1, ...");
}

template <class T>
void bind_features(py::module_& module) {
    module.def(
        "features",
        [](Array<T> X, Array<T> W, Array<T> bias, Array<T> out, const std::string& activation, bool biased,
           bool feature_major, bool tiled, int threads) {
            const Activation f = parse_activation(activation);
            const auto x = transposed_view<const T>(X, "X");
            const auto w = transposed_view<const T>(W, "W");
            const auto z = transposed_view<T>(out, "out");
            require(w.rows == x.rows, "W", std::to_string(w.rows) + " inputs wide", "as many inputs as `X`");
            if (feature_major)
                require(z.rows == x.cols && z.cols == w.cols, "out", "of another shape", "(width, samples)");
            else
                require(z.rows == w.cols && z.cols == x.cols, "out", "of another shape", "(samples, width)");
            require(bias.ndim() == 1 && bias.shape(0) == w.cols, "bias", "of another length", "one entry a feature");
            const T* b = biased ? bias.data() : nullptr;
            py::gil_scoped_release release;
            features(f, x, w, b, z, feature_major ? Layout::feature_a_column : Layout::feature_a_row, tiled, threads);
        },
        py::arg("X").noconvert(), py::arg("W").noconvert(), py::arg("bias").noconvert(), py::arg("out").noconvert(),
        py::arg("activation"), py::arg("biased"), py::arg("feature_major"), py::arg("tiled"), py::arg("threads"),
        "out <- activation(X W^T + bias), or its transpose with `feature_major`.");
}

// The statistics of a block, as numpy arrays that PathRows points into.
struct Block {
    Array<double> train_error, test_error, coefficient_norm, leave_one_out_error;
    Array<double> degrees_of_freedom, condition, rank;
    py::object predictions = py::none();
    PathRows rows;

    Block(Index b, Index targets, Index tests, bool with_predictions)
        : train_error({b, targets}),
          test_error({b, targets}),
          coefficient_norm({b, targets}),
          leave_one_out_error({b, targets}),
          degrees_of_freedom(b),
          condition(b),
          rank(b) {
        rows.train_error = {train_error.mutable_data(), targets, b};
        rows.test_error = {test_error.mutable_data(), targets, b};
        rows.coefficient_norm = {coefficient_norm.mutable_data(), targets, b};
        rows.leave_one_out_error = {leave_one_out_error.mutable_data(), targets, b};
        rows.degrees_of_freedom = degrees_of_freedom.mutable_data();
        rows.condition = condition.mutable_data();
        rows.rank = rank.mutable_data();
        rows.predictions = nullptr;
        if (with_predictions) {
            Array<double> array({b, targets, tests});
            rows.predictions = array.mutable_data();
            predictions = std::move(array);
        }
    }

    py::dict as_dict() const {
        py::dict d;
        d["train_error"] = train_error;
        d["test_error"] = test_error;
        d["coefficient_norm"] = coefficient_norm;
        d["leave_one_out_error"] = leave_one_out_error;
        d["degrees_of_freedom"] = degrees_of_freedom;
        d["condition"] = condition;
        d["rank"] = rank;
        d["predictions"] = predictions;
        return d;
    }
};

// A path with the sizes that its blocks are checked against, and room for blocks that arrive one sample a row.
struct BoundPath {
    Index targets, tests;
    WidthPath path;
    Buffer train, test;
};

// The features of a block, one a column: the array's own memory if its rows are contiguous; copied into `room` if the
// array is the transpose of such a one, as the columns of a user's matrix are.
Matrix<const double> feature_columns(const Array<double>& array, const char* name, Buffer& room) {
    const Index item = sizeof(double);
    if (array.ndim() != 2 || array.strides(1) == item || array.strides(0) != item || array.shape(1) < 2 ||
        array.strides(1) % item != 0 || array.strides(1) < array.shape(0) * item)
        return transposed_view<const double>(array, name);
    const Index features = array.shape(0), samples = array.shape(1);
    room.resize(std::max<std::size_t>(room.size(), static_cast<std::size_t>(features * samples)));
    const Matrix<double> copied(room.data(), samples, features);
    transpose(Matrix<const double>(array.data(), features, samples, array.strides(1) / item), copied);
    return copied;
}

}  // namespace

void bind_random_features(py::module_& module) {
    bind_draw_weights<float>(module);
    bind_draw_weights<double>(module);
    bind_features<float>(module);
    bind_features<double>(module);

    module.def(
        "feature_sizes",
        [](Array<double> Z) {
            const auto z = transposed_view<const double>(Z, "Z");
            Array<double> sizes(z.rows);
            double* largest = sizes.mutable_data();
            py::gil_scoped_release release;
            std::fill_n(largest, z.rows, 0.0);
            for (Index i = 0; i < z.cols; ++i) raise_to_sizes(z.col(i), largest, z.rows);
            return sizes;
        },
        py::arg("Z").noconvert(), "The largest absolute entry of each column of Z (n, N); NaN stays.");

    py::class_<BoundPath>(module, "WidthPath", "Regression on nested features, one row of statistics a width.")
        .def(py::init([](Array<double> y, Array<double> y_test, Index max_width, double penalty, double tolerance,
                         double norm2, int threads) {
                 const auto yv = transposed_view<const double>(y, "y");
                 const auto tv = transposed_view<const double>(y_test, "y_test");
                 return BoundPath{
                     yv.cols, tv.rows, WidthPath(yv, tv, max_width, penalty, tolerance, norm2, threads), {}, {}};
             }),
             py::arg("y").noconvert(), py::arg("y_test").noconvert(), py::arg("max_width"), py::arg("penalty"),
             py::arg("tolerance"), py::arg("norm2"), py::arg("threads"), "y (targets, n), y_test (targets, m).")
        .def(
            "append",
            [](BoundPath& self, Array<double> Z, Array<double> Z_test, bool predictions) {
                const auto z = feature_columns(Z, "Z", self.train);
                const auto z_test = feature_columns(Z_test, "Z_test", self.test);
                Block block(z.cols, self.targets, self.tests, predictions);
                {
                    py::gil_scoped_release release;
                    self.path.append(z, z_test, block.rows);
                }
                return block.as_dict();
            },
            py::arg("Z").noconvert(), py::arg("Z_test").noconvert(), py::arg("predictions") = false,
            "Append features Z (b, n), Z_test (b, m), one a row; returns statistics of the b widths they complete.");

    module.def(
        "ridge_fit",
        [](Array<double> Z, Array<double> y, Array<double> Z_test, Array<double> y_test, double penalty,
           bool predictions) {
            const auto z = transposed_view<const double>(Z, "Z");
            const auto yv = transposed_view<const double>(y, "y");
            const auto z_test = transposed_view<const double>(Z_test, "Z_test");
            const auto tv = transposed_view<const double>(y_test, "y_test");
            Block block(1, yv.cols, tv.rows, predictions);
            {
                py::gil_scoped_release release;
                ridge_fit(z, yv, z_test, tv, penalty, block.rows);
            }
            return block.as_dict();
        },
        py::arg("Z").noconvert(), py::arg("y").noconvert(), py::arg("Z_test").noconvert(),
        py::arg("y_test").noconvert(), py::arg("penalty"), py::arg("predictions") = false,
        "Ridge regression at one width: Z (n, N), y (targets, n); penalty > 0.");
}

}  // namespace pyphenom
