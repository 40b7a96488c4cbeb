#include "bindings/blas_from_scipy.hpp"

#include <pybind11/pybind11.h>

#include <string>

#include "core/blas.hpp"

namespace py = pybind11;

namespace pyphenom {
#ifdef PYPHENOM_SYSTEM_BLAS

void load_blas_from_scipy() {}

#else
namespace {

template <class T>
std::string type_name() {
    if constexpr (std::is_same_v<T, char*>) return "char *";
    if constexpr (std::is_same_v<T, int*>) return "int *";
    if constexpr (std::is_same_v<T, float*>) return "s *";
    if constexpr (std::is_same_v<T, double*>) return "d *";
}

// The signature as SciPy's Cython writes it, with its scalar types shortened to s and d.
template <class... Args>
std::string signature(void (*)(Args...)) {
    std::string text;
    ((text += (text.empty() ? "" : ", ") + type_name<Args>()), ...);
    return "void (" + text + ")";
}

// "__pyx_t_5scipy_6linalg_11cython_blas_d *" -> "d *": the mangled prefix differs between SciPy's builds.
std::string without_mangling(const std::string& text) {
    std::string result;
    for (std::size_t i = 0; i < text.size();) {
        if (text.compare(i, 8, "__pyx_t_") == 0) {
            std::size_t end = i;
            while (end < text.size() && text[end] != ' ' && text[end] != ',' && text[end] != ')') ++end;
            const std::size_t scalar = text.rfind('_', end);
            result += text.substr(scalar + 1, end - scalar - 1);
            i = end;
        } else {
            result += text[i++];
        }
    }
    return result;
}

template <class F>
void load(F& target, const char* module, const char* routine) {
    const py::dict exported = py::module_::import((std::string("scipy.linalg.") + module).c_str()).attr("__pyx_capi__");
    if (!exported.contains(routine))
        throw py::import_error(std::string("SciPy's ") + module + " has no " + routine + "; install scipy >= 1.15");
    const py::object capsule = exported[routine];
    const char* name = PyCapsule_GetName(capsule.ptr());
    const std::string found = without_mangling(name ? name : ""), expected = signature(target);
    if (found != expected)
        throw py::import_error(std::string("SciPy's ") + routine + " is '" + found + "'; expected '" + expected +
                               "'. Build with -DPYPHENOM_BLAS=system, or install another SciPy");
    target = reinterpret_cast<F>(PyCapsule_GetPointer(capsule.ptr(), name));
}

}  // namespace

void load_blas_from_scipy() {
    BlasTable& table = blas_table();
#define PYPHENOM_BLAS_LOAD(name, module, ...) load(table.name, #module, #name);
    PYPHENOM_BLAS_ROUTINES(PYPHENOM_BLAS_LOAD)
#undef PYPHENOM_BLAS_LOAD
}

#endif
}  // namespace pyphenom
