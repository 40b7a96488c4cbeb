"""Random features, and regression on the first 1, 2, ..., N of them in one pass."""

from typing import TYPE_CHECKING, Any

from pyphenom.random_features.features import features, weights
from pyphenom.random_features.path import WidthPath, nested_path, width_path
from pyphenom.random_features.streaming import StreamedPath, streamed_path

if TYPE_CHECKING:
    from pyphenom.random_features.estimator import RandomFeatureRegressor

__all__ = [
    "RandomFeatureRegressor",
    "StreamedPath",
    "WidthPath",
    "features",
    "nested_path",
    "streamed_path",
    "weights",
    "width_path",
]


def __getattr__(name: str) -> Any:
    # scikit-learn takes most of a second to import: only who wants the estimator pays for it.
    if name == "RandomFeatureRegressor":
        from pyphenom.random_features.estimator import RandomFeatureRegressor

        return RandomFeatureRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
