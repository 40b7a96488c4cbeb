"""Random features, and regression on the first 1, 2, ..., N of them in one pass."""

from pyphenom.random_features.features import features, weights
from pyphenom.random_features.path import WidthPath, nested_path, width_path

__all__ = ["WidthPath", "features", "nested_path", "weights", "width_path"]
