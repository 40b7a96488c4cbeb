"""Curvature of a loss: products, eigenvalues, densities."""
