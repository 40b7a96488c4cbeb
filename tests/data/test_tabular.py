import numpy as np
import pytest

from pyphenom.data import diabetes


def test_diabetes_is_the_published_set():
    # Size, scale and the first patients' targets as in the paper's table 1; sex takes two values.
    patients = diabetes()
    assert patients.inputs.shape == (442, 10)
    assert patients.inputs.dtype == patients.targets.dtype == np.float64
    assert patients.targets[:5].tolist() == [151, 75, 141, 206, 135]
    assert (patients.targets.min(), patients.targets.max()) == (25, 346)
    np.testing.assert_allclose(patients.inputs.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose((patients.inputs**2).sum(axis=0), 1, rtol=1e-9)
    assert len(np.unique(patients.inputs[:, 1])) == 2


def test_regression_data_are_frozen():
    with pytest.raises(AttributeError):
        diabetes().targets = np.zeros(442)
