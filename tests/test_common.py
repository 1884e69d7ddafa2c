"""scikit-learn's own checks, all of them, on every cell and both estimators."""

import itertools
from unittest import SkipTest

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    check_param_validation,
    estimator_checks_generator,
    parametrize_with_checks,
)

from skrnn import RNNClassifier, RNNRegressor
from skrnn._core.cells import CELLS

# without pandas, and without SCIPY_ARRAY_API=1 (see conftest.py), scikit-learn skips several checks
pytest.importorskip("pandas")

ESTIMATORS = [Estimator(cell=cell) for Estimator, cell in itertools.product([RNNClassifier, RNNRegressor], CELLS)]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)


@parametrize_with_checks(ESTIMATORS)
def test_passes_the_check_of_scikit_learn(estimator, check):
    try:
        check(estimator)
    except SkipTest as skip:
        if str(skip) != "RNNClassifier does not have a decision_function method.":
            pytest.fail(f"nothing else may be skipped, but this was: {skip}")
        raise


@each_estimator
def test_tags_switch_no_checks_off(estimator):
    names = [check.func.__name__ for _, check in estimator_checks_generator(estimator)]
    assert len(names) > 50
    assert {"check_estimators_nan_inf", "check_sample_weight_equivalence_on_dense_data", "check_n_features_in"} <= set(names)


@each_estimator
@pytest.mark.parametrize(
    "check", [check_dataframe_column_names_consistency, check_param_validation, check_inplace_ensure_writeable]
)
def test_passes_the_check_that_scikit_learn_keeps_for_its_own_estimators(estimator, check):
    check(type(estimator).__name__, estimator)
