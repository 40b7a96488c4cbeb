"""The arrows of the design, read from the imports: who may know whom, and what an import may cost."""

import ast
import importlib
import inspect
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, SOURCES = ROOT / "pyphenom", ROOT / "csrc"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"torch", "pandas", "matplotlib", "sklearn", "sympy", "rich", "typer"}

KERNELS = {"random_features", "curvature", "bounds", "implicit_bias", "interpolation"}
HIGH = {"phenomena", "report", "cli"}
# part of the package -> what it may not import: other parts of the package, or packages from outside
FORBIDDEN = {
    "_arrays": {"_core", "theory", "data", "networks", "studies", "torch", "pandas", "matplotlib"} | KERNELS | HIGH,
    "theory": {"_core", "data", "networks", "studies", "torch", "pandas", "matplotlib"} | KERNELS | HIGH,
    "data": {"_core", "networks", "studies", "torch", "pandas", "matplotlib"} | HIGH,
    "networks": {"studies"} | HIGH,
    "studies": {"_core", "theory", "data", "networks", "torch", "matplotlib"} | KERNELS | HIGH,
    "phenomena": {"_core", "report", "cli"},
    "report": {"_core", "cli", "torch"},
    "cli": {"_core", "torch"},
    **{kernel: {"theory", "data", "networks", "studies", "torch", "pandas", "matplotlib"} | HIGH for kernel in KERNELS},
}
# The adapters of these take or make torch models; nothing else in their packages may.
TORCH_ADAPTERS = re.compile(r"pyphenom\.(curvature|bounds|interpolation)\.(_?torch\w*|adapters?)$")


def dotted(path):
    """Return the name of a module of the package, and of the package that its relative imports start from."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return name, ".".join(parts[:-1])


def imports(source, package):
    """Return the absolute names that a source imports anywhere, also inside functions and under TYPE_CHECKING.

    >>> sorted(imports("import numpy as np\\nfrom ..data import digits\\nfrom . import rows", "pyphenom.studies"))
    ['numpy', 'pyphenom.data.digits', 'pyphenom.studies.rows']
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            found |= {".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return found


def parts(names):
    """Return what FORBIDDEN speaks of: the part of the package, or the package from outside.

    >>> sorted(parts({"pyphenom.data.digits", "torch.nn", "pyphenom"}))
    ['data', 'torch']
    """
    inside = {name.split(".")[1] for name in names if name.startswith("pyphenom.")}
    return inside | {name.split(".")[0] for name in names if name.split(".")[0] != "pyphenom"}


def part_of(name):
    return name.split(".")[1] if "." in name else ""


def violations(name, package, source):
    """Return which forbidden parts a module imports.

    >>> violations("pyphenom.studies.cell", "pyphenom.studies", "import torch\\nfrom pyphenom import data, studies")
    ['data', 'torch']
    >>> violations("pyphenom.theory.risk", "pyphenom.theory", "from ..random_features import weights")
    ['random_features']
    """
    found = parts(imports(source, package)) & FORBIDDEN.get(part_of(name), set())
    if TORCH_ADAPTERS.match(name):
        found -= {"torch"}
    return sorted(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: dotted(path)[0])
def test_arrows_point_down(path):
    assert violations(*dotted(path), path.read_text(encoding="utf-8")) == []


def test_every_part_of_the_package_has_its_rule():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} <= set(FORBIDDEN)


def test_phenomena_import_no_other_phenomenon():
    phenomena = [path for path in (PACKAGE / "phenomena").glob("*.py") if path.stem != "__init__"]
    assert phenomena
    for path in phenomena:
        _, package = dotted(path)
        found = imports(path.read_text(encoding="utf-8"), package)
        assert not [name for name in found if name.startswith("pyphenom.phenomena")], path


def test_modules_of_the_package_root_import_nothing_heavy_at_the_top():
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = ast.unparse(ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []))
        assert not parts(imports(top, "pyphenom")) & HEAVY, path


# ---- C++ ----------------------------------------------------------------------------------------------------------

PYTHON = re.compile(r"Python\.h|pybind11|nanobind|numpy|torch|ATen|c10/")
VENDOR = re.compile(r"cblas|lapacke|mkl|openblas|accelerate|cuda|cublas|cusolver|curand|nv\w+\.h", re.IGNORECASE)


def includes(source):
    """Return what a C++ source includes.

    >>> includes('#include <vector>\\n  # include "core/matrix.hpp"\\n// #include <mkl.h>')
    ['vector', 'core/matrix.hpp']
    """
    return re.findall(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", source, re.MULTILINE)


CPP = sorted(path for path in SOURCES.rglob("*") if path.suffix in {".hpp", ".cpp", ".cu", ".cuh", ".h"})
LIBRARY = [path for path in CPP if path.relative_to(SOURCES).parts[0] != "bindings"]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_library_knows_neither_python_nor_vendors_in_headers(path):
    names, folder = includes(path.read_text(encoding="utf-8")), path.relative_to(SOURCES).parts[0]
    assert not [name for name in names if PYTHON.search(name) or name.startswith("bindings/")]
    if path.suffix in {".hpp", ".h"}:
        assert not [name for name in names if VENDOR.search(name)]
    if folder == "core":  # knows no kernel
        ours = {other.relative_to(SOURCES).parts[0] for other in CPP}
        assert not [name for name in names if name.split("/")[0] in ours - {"core"}]


def test_there_is_a_library():
    assert any(path.suffix == ".hpp" for path in LIBRARY)
    assert PYTHON.search("pybind11/numpy.h")
    assert VENDOR.search("cuda_runtime.h")


# ---- what an import costs -------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path):
    """Run code in a new interpreter away from the checkout; return the JSON that it prints."""

    def run(code):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        return json.loads(done.stdout)

    return run


def test_import_is_light(fresh):
    # Processor time, so that a busy machine fails nothing; the limit is about twice what NumPy and SciPy's BLAS take.
    code = (
        "import json, sys, time; start = time.process_time(); import pyphenom; "
        "print(json.dumps([time.process_time() - start, sorted(sys.modules)]))"
    )
    runs = [fresh(code) for _ in range(3)]
    assert not {"torch", "pandas", "matplotlib"} & set(runs[0][1])
    assert statistics.median(seconds for seconds, _ in runs) < 0.5


def test_numerics_import_neither_torch_nor_pandas_nor_matplotlib(fresh):
    code = (
        "import json, sys; import pyphenom as ph; "
        "ph.theory, ph.random_features, ph.bounds, ph.curvature, ph.implicit_bias, ph.interpolation, ph.data; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert not {"torch", "pandas", "matplotlib"} & set(fresh(code))


# ---- documentation of public names ----------------------------------------------------------------------------------

DOCUMENTED = (
    "theory",
    "random_features",
    "bounds",
    "curvature",
    "implicit_bias",
    "interpolation",
    "data",
    "networks",
    "studies",
    "report",
)


def public():
    """Return the public functions and classes of the documented parts, once each."""
    seen, cases = set(), []
    for part in DOCUMENTED:
        root = importlib.import_module(f"pyphenom.{part}")
        values = [(f"{part}.{name}", getattr(root, name)) for name in root.__all__]
        for name, value in list(values):
            if inspect.ismodule(value):
                values += [(f"{name}.{inner}", getattr(value, inner)) for inner in getattr(value, "__all__", ())]
        for name, value in values:
            if (inspect.isfunction(value) or inspect.isclass(value)) and id(value) not in seen:
                seen.add(id(value))
                cases.append(pytest.param(name, value, id=name))
    return cases


def lacking(value):
    """Return the sections of a numpydoc docstring that a function or class should have and has not.

    >>> def area(side):
    ...     '''Return the area of a square.'''
    ...     if side < 0:
    ...         raise ValueError(side)
    ...     return side**2
    >>> lacking(area)
    ['Parameters', 'Returns', 'Raises']
    """
    doc = inspect.getdoc(value) or ""
    if not doc or (inspect.isclass(value) and doc.startswith(f"{value.__name__}(")):  # what dataclass writes itself
        return ["a docstring"]
    sections = set(re.findall(r"^(\w+)\n-+$", doc, re.MULTILINE))
    if inspect.isclass(value):
        described = {"Parameters", "Attributes"} & sections
        fields = getattr(value, "__dataclass_fields__", {})
        return [] if described or len(fields) <= 2 else ["Parameters or Attributes"]
    source = inspect.getsource(inspect.unwrap(value))
    signature = inspect.signature(value)
    needed = {
        "Parameters": bool(signature.parameters),
        "Returns": bool(signature.parameters) and re.search(r"^\s+(return|yield) \S", source, re.MULTILINE),
        "Raises": re.search(r"^\s+raise \w", source, re.MULTILINE),
    }
    found = sections | ({"Returns"} if "Yields" in sections else set())
    return [name for name, need in needed.items() if need and name not in found]


@pytest.mark.parametrize(("name", "value"), public())
def test_public_names_are_documented(name, value):
    assert lacking(value) == [], name


def numerical():
    parts = (
        "theory.",
        "random_features.",
        "bounds.",
        "curvature.",
        "implicit_bias.",
        "interpolation.",
        "data.",
        "networks.",
    )
    return [case for case in public() if case.id.startswith(parts) and inspect.isfunction(case.values[1])]


@pytest.mark.parametrize(("name", "value"), numerical())
def test_public_numerical_functions_show_an_example_and_their_errors(name, value):
    doc = inspect.getdoc(value)
    assert re.search(r"^Examples\n-+\n(?:.*\n)*?>>> ", doc, re.MULTILINE), name
    # They check their arguments, often through a helper, so that no `raise` stands in the function itself.
    assert re.search(r"^Raises\n-+$", doc, re.MULTILINE) or not inspect.signature(value).parameters, name
