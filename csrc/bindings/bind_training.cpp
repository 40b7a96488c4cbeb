#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bind.hpp"
#include "bindings/interrupts.hpp"
#include "training/dense_descent.hpp"

namespace pyphenom {
namespace {

using namespace training;

// Several networks, whose parameters lie in arrays of their common largest size, a network an entry of the first axis.
template <class T>
struct BoundDescent {
    std::vector<Array<T>> kept;  // what the views look into
    Array<T> inputs, targets;
    Array<std::int64_t> labels;
    std::vector<Samples<T>> samples;  // of each network
    std::vector<DenseDescent<T>> members;

    // `parameters`, `first`, `second` and `masks` hold weights (M, outputs, inputs) and biases (M, outputs) by turns;
    // `second` and `masks` may be empty. `sizes` (M, layers + 1) are the own sizes of each network.
    BoundDescent(const std::vector<Array<T>>& parameters, const std::vector<Array<T>>& first,
                 const std::vector<Array<T>>& second, const std::vector<Array<T>>& masks,
                 const std::vector<std::string>& functions, const std::vector<std::vector<Index>>& sizes,
                 Array<T> inputs_, Array<T> targets_, Array<std::int64_t> labels_, const std::string& loss,
                 const std::string& optimiser, double momentum, double decay)
        : inputs(std::move(inputs_)), targets(std::move(targets_)), labels(std::move(labels_)) {
        const Rule rule{parse_loss(loss), parse_optimiser(optimiser), momentum, decay};
        const std::size_t layers = functions.size();
        const Index count = static_cast<Index>(sizes.size());
        require(parameters.size() == 2 * layers && first.size() == 2 * layers, "parameters", "of another number",
                "weights and biases of every layer");
        require(second.size() == (rule.optimiser == Optimiser::adam ? 2 * layers : 0), "second", "of another number",
                "one a parameter for adam");
        require(masks.empty() || masks.size() == 2 * layers, "masks", "of another number", "none, or one a parameter");
        const auto part = [&](const std::vector<Array<T>>& arrays, std::size_t index, Index member) -> T* {
            if (arrays.empty()) return nullptr;
            const Array<T>& array = arrays[index];
            require((array.flags() & py::array::c_style) && array.ndim() == parameters[index].ndim() &&
                        array.size() == parameters[index].size() && array.shape(0) == count,
                    "parameters", "of unlike shapes", "contiguous arrays, an entry of the first axis a network");
            return const_cast<T*>(array.data()) + member * (array.size() / count);
        };
        const auto parameter = [&](std::size_t index, Index member, Index rows, Index cols, Index stride) {
            return Parameters<T>{rows,
                                 cols,
                                 stride,
                                 part(parameters, index, member),
                                 part(first, index, member),
                                 part(second, index, member),
                                 part(masks, index, member)};
        };
        require(inputs.ndim() == 2 && (inputs.flags() & py::array::c_style), "inputs", "of another shape",
                "contiguous rows");
        const bool squared = rule.loss == LossKind::squared;
        const py::array& truth = squared ? static_cast<const py::array&>(targets) : labels;
        require(truth.ndim() == (squared ? 3 : 2) && (truth.flags() & py::array::c_style) &&
                    (truth.shape(0) == 1 || truth.shape(0) == count) && truth.shape(1) == inputs.shape(0),
                squared ? "targets" : "labels", "of another shape", "rows for one network or for all");
        for (Index m = 0; m < count; ++m) {
            const std::vector<Index>& own = sizes[static_cast<std::size_t>(m)];
            require(own.size() == layers + 1, "sizes", "of another length", "inputs, and the outputs of every layer");
            std::vector<Layer<T>> stack;
            for (std::size_t l = 0; l < layers; ++l) {
                const Array<T>& weights = parameters[2 * l];
                require(weights.ndim() == 3 && parameters[2 * l + 1].ndim() == 2 && own[l + 1] <= weights.shape(1) &&
                            own[l] <= weights.shape(2) && weights.shape(1) == parameters[2 * l + 1].shape(1),
                        "parameters", "smaller than a network", "weights (M, outputs, inputs), biases (M, outputs)");
                stack.push_back({parameter(2 * l, m, own[l + 1], own[l], weights.shape(2)),
                                 parameter(2 * l + 1, m, 1, own[l + 1], own[l + 1]), parse_function(functions[l])});
            }
            const Index row = truth.shape(0) == 1 ? 0 : m;
            require(own[0] == inputs.shape(1), "inputs", "of another width", "as many numbers as networks take");
            require(!squared || targets.shape(2) == own[layers], "targets", "of another width", "one an output");
            samples.push_back({inputs.shape(0), inputs.shape(1), inputs.data(),
                               squared ? nullptr : labels.data() + row * labels.shape(1),
                               squared ? targets.data() + row * targets.shape(1) * targets.shape(2) : nullptr});
            members.emplace_back(std::move(stack), samples.back(), rule);
        }
        for (const auto* arrays : {&parameters, &first, &second, &masks})
            kept.insert(kept.end(), arrays->begin(), arrays->end());
    }

    // `batches` (steps, b) for all networks or (steps, M, b) for each; none: all samples.
    void advance(const std::optional<Array<std::int64_t>>& batches, const std::vector<double>& rates) {
        const Index steps = static_cast<Index>(rates.size()), count = static_cast<Index>(members.size());
        Batch<T> batch(inputs.shape(1));
        Interrupts interrupts;
        if (!batches) {
            const py::gil_scoped_release release;
            batch.pick(samples.front(), nullptr, 0);
            for (std::size_t m = 0; m < members.size(); ++m)
                for (const double rate : rates) {
                    members[m].step(batch, rate);
                    interrupts();
                }
            return;
        }
        const bool shared = batches->ndim() == 2;
        require((batches->flags() & py::array::c_style) && (shared || batches->ndim() == 3) &&
                    batches->shape(0) == steps && (shared || batches->shape(1) == count),
                "batches", "of another shape", "contiguous indices (steps, b) or (steps, M, b)");
        const std::int64_t* indices = batches->data();
        const Index size = batches->shape(batches->ndim() - 1);
        const py::gil_scoped_release release;
        for (const double rate : rates)
            for (Index m = 0; m < count; ++m) {
                if (!shared || m == 0) {
                    batch.pick(samples[static_cast<std::size_t>(m)], indices, size);
                    indices += size;
                }
                members[static_cast<std::size_t>(m)].step(batch, rate);
                interrupts();
            }
    }
};

template <class T>
void bind_descent(py::module_& module, const char* name) {
    using Self = BoundDescent<T>;
    using Arrays = const std::vector<Array<T>>&;
    const auto array = [](const char* argument) { return py::arg(argument).noconvert(); };
    py::class_<Self>(module, name, "Descent of stacked fully connected networks on batches, in place.")
        .def(py::init<Arrays, Arrays, Arrays, Arrays, const std::vector<std::string>&,
                      const std::vector<std::vector<Index>>&, Array<T>, Array<T>, Array<std::int64_t>,
                      const std::string&, const std::string&, double, double>(),
             array("parameters"), array("first"), array("second"), array("masks"), py::arg("functions"),
             py::arg("sizes"), array("inputs"), array("targets"), array("labels"), py::arg("loss"),
             py::arg("optimiser"), py::arg("momentum"), py::arg("decay"))
        .def("advance", &Self::advance, py::arg("batches").none(true).noconvert(), py::arg("rates"),
             "A step a rate, on batches (steps, b) or (steps, M, b), or on all samples.");
}

}  // namespace

void bind_training(py::module_& module) {
    bind_descent<float>(module, "DenseDescent32");
    bind_descent<double>(module, "DenseDescent64");
}

}  // namespace pyphenom
