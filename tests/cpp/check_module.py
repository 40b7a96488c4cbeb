"""Import the module that CMake built, by path, and run one small fit: python check_module.py path/to/_core.so."""

import importlib.util
import sys

import numpy as np


def main(library):
    spec = importlib.util.spec_from_file_location("_core", library)
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)

    y, features = np.array([[1.0, 3.0]]), np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    path = core.WidthPath(y, np.array([[0.0]]), 3, 0.0, 1e-13, 7.0, 1)
    rows = path.append(features, np.ones((3, 1)), predictions=True)
    np.testing.assert_allclose(rows["predictions"][:, 0, 0], [1, 1, 19 / 9])
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(sys.argv[1])
