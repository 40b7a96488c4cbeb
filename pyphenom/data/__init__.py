"""Sources of data: Gaussian models that a theory names, and real images."""

from pyphenom.data.gaussian import sphere
from pyphenom.data.images import Images, centred_on_sphere, digits
from pyphenom.data.mnist_1d import mnist1d

__all__ = ["Images", "centred_on_sphere", "digits", "mnist1d", "sphere"]
