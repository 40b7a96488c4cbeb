"""Sources of data, Gaussian models that a theory names and real data, and what is done to them on purpose."""

from pyphenom.data.cifar import cifar_images
from pyphenom.data.corruptions import corrupt_labels, gaussian_pixels, shuffle_pixels, standardise
from pyphenom.data.idx import idx_images
from pyphenom.data.images import Images, centred_on_sphere, digits
from pyphenom.data.mnist_1d import mnist1d
from pyphenom.data.synthetic import gaussian, gaussian_clusters, gaussian_mixture, sphere
from pyphenom.data.tabular import Regression, diabetes

__all__ = [
    "Images",
    "Regression",
    "centred_on_sphere",
    "cifar_images",
    "corrupt_labels",
    "diabetes",
    "digits",
    "gaussian",
    "gaussian_clusters",
    "gaussian_mixture",
    "gaussian_pixels",
    "idx_images",
    "mnist1d",
    "shuffle_pixels",
    "sphere",
    "standardise",
]
