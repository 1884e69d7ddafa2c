"""Losses against scikit-learn and scipy, their gradients, extreme predictions and base rates."""

import numpy as np
import pytest
from _gradcheck import assert_gradient
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, huber, softmax
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)

from skrnn._core.losses import LEAST_PRIOR, REGRESSION_LOSSES, BinaryLogLoss, MulticlassLogLoss, weighted_quantile

QUANTILE, N = 0.3, 7
LOSSES = {
    "multiclass": lambda: MulticlassLogLoss(3),
    "binary": BinaryLogLoss,
    "multilabel": BinaryLogLoss,
    **{name: lambda new=new: new(QUANTILE) for name, new in REGRESSION_LOSSES.items()},
}
N_RAW = {"multiclass": 3, "binary": 1, "multilabel": 3}
INVERSE_LINKS = {"softmax": lambda raw: softmax(raw, axis=0), "logistic": expit, "exp": np.exp, "identity": np.asarray}
every_loss = pytest.mark.parametrize("name", LOSSES)


def problem(name, seed=0):
    """Random raw predictions, targets that fit the loss, and weights that do not add up to one."""
    rng = np.random.default_rng(seed)
    n_raw = N_RAW.get(name, 2)
    if name == "multiclass":
        y = np.array([0, 1, 2, 2, 1, 0, 0])
    elif name in N_RAW:
        y = rng.integers(0, 2, (n_raw, N))
    else:
        y = rng.uniform(0.1, 5, (n_raw, N))
    return 2 * rng.standard_normal((n_raw, N)), y, rng.uniform(0.1, 2, N)


def value(name, raw, y, weight):
    return LOSSES[name]().value_and_gradient(raw, y, weight, np.empty_like(raw))


REFERENCES = {
    "multiclass": lambda y, p, w: log_loss(y, p.T, sample_weight=w),
    "binary": lambda y, p, w: log_loss(y[0], p[0], sample_weight=w),
    "multilabel": lambda y, p, w: sum(log_loss(*row, sample_weight=w) for row in zip(y, p, strict=True)),
    "squared_error": lambda y, p, w: mean_squared_error(y.T, p.T, sample_weight=w) / 2,
    "absolute_error": lambda y, p, w: mean_absolute_error(y.T, p.T, sample_weight=w),
    "quantile": lambda y, p, w: mean_pinball_loss(y.T, p.T, sample_weight=w, alpha=QUANTILE),
    "huber": lambda y, p, w: np.average(huber(1.0, y - p).mean(axis=0), weights=w),
    "poisson": lambda y, p, w: np.mean([mean_poisson_deviance(*row, sample_weight=w) for row in zip(y, p, strict=True)]) / 2,
}


@every_loss
def test_losses_are_those_of_scikit_learn_and_scipy(name):
    raw, y, weight = problem(name)
    expected = REFERENCES[name](y, INVERSE_LINKS[LOSSES[name]().inverse_link](raw), weight)
    assert_allclose(value(name, raw, y, weight), weight.sum() * expected, rtol=1e-12)


@every_loss
def test_the_gradient_agrees_with_central_differences(name):
    raw, y, weight = problem(name)
    gradient = np.full_like(raw, np.nan)
    LOSSES[name]().value_and_gradient(raw, y, weight, gradient)

    def flat(point):
        return value(name, point.reshape(raw.shape), y, weight)

    assert_gradient(flat, raw.ravel(), gradient.ravel(), np.random.default_rng(1), every_coordinate=True)


@every_loss
def test_weights_are_repetitions(name):
    raw, y, _ = problem(name)
    counts = np.array([0, 2, 1, 3, 0, 1, 2])
    repeated = np.repeat(np.arange(N), counts)
    once = value(name, raw[:, repeated].copy(), y[..., repeated], np.ones(counts.sum()))
    assert_allclose(value(name, raw, y, counts.astype(float)), once, rtol=1e-12)


@every_loss
def test_float32_stays_float32(name):
    raw, y, weight = problem(name)
    out, expected = np.empty(raw.shape, np.float32), np.empty_like(raw)
    y32 = y if y.dtype.kind == "i" else y.astype(np.float32)
    single = LOSSES[name]().value_and_gradient(raw.astype(np.float32), y32, weight.astype(np.float32), out)
    assert_allclose(single, LOSSES[name]().value_and_gradient(raw, y, weight, expected), rtol=1e-5)
    assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "poisson"])
def test_extreme_predictions_have_finite_losses_and_gradients(name, dtype):
    raw, y, weight = problem(name)
    raw = np.where(raw > 0, 1e4, -1e4).astype(dtype)
    out = np.empty_like(raw)
    assert np.isfinite(LOSSES[name]().value_and_gradient(raw, y, weight.astype(dtype), out))
    assert np.isfinite(out).all()


@pytest.mark.parametrize("raw", [-1e4, -40.0, 40.0, 1e4])
def test_log_losses_are_exact_far_from_zero(raw):
    ones = np.ones(2)
    assert_allclose(value("binary", np.full((1, 2), raw), np.array([[0, 1]]), ones), abs(raw), rtol=1e-15)
    assert_allclose(value("multiclass", np.array([[raw, raw], [0, 0]]), np.array([0, 1]), ones), abs(raw), rtol=1e-15)


def test_the_poisson_loss_takes_a_count_of_zero_and_very_small_rates():
    raw, y = np.array([[-1e4, -1e4, 0.0]]), np.array([[0.0, 2.0, 0.0]])
    loss = value("poisson", raw, y, np.ones(3))
    assert_allclose(loss, 2e4 + 2 * np.log(2) - 2 + 1)


@pytest.mark.parametrize(("name", "slopes"), [("quantile", [-0.3, 0, 0.7]), ("absolute_error", [-1, 0, 1])])
def test_where_a_prediction_is_exact_the_gradient_of_a_quantile_loss_is_zero(name, slopes):
    out = np.empty((1, 3))
    LOSSES[name]().value_and_gradient(np.array([[1.9, 2.0, 2.1]]), np.full((1, 3), 2.0), np.ones(3), out)
    assert_allclose(out, [slopes])


# ---------------------------------------------------------------- base rates


@every_loss
def test_the_base_rate_minimises_the_loss_among_constants(name):
    _, y, weight = problem(name)
    n_raw = N_RAW.get(name, 2)
    base = LOSSES[name]().base_rate(y, weight)
    assert base.shape == (n_raw,)

    def loss_of(constant):
        return value(name, np.repeat(constant[:, None], N, axis=1), y, weight)

    best = minimize(loss_of, base, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14, "maxfev": 20000}).fun
    # Huber's is one step of the M-estimate only
    assert loss_of(base) <= best * (1.02 if name == "huber" else 1 + 1e-9)


@every_loss
def test_base_rates_with_weights_are_those_of_repetitions(name):
    _, y, _ = problem(name)
    counts = np.array([0, 2, 1, 3, 1, 1, 2])
    repeated = y[..., np.repeat(np.arange(N), counts)]
    expected = LOSSES[name]().base_rate(repeated, np.ones(counts.sum()))
    assert_allclose(LOSSES[name]().base_rate(y, counts.astype(float)), expected, rtol=1e-12, atol=1e-15)


def test_classes_and_labels_that_never_occur_have_a_small_prior():
    ones = np.ones(4)
    multiclass = LOSSES["multiclass"]().base_rate(np.array([0, 0, 2, 2]), ones)
    assert_allclose(multiclass, np.log([0.5, LEAST_PRIOR / 3, 0.5]))
    last = LOSSES["multiclass"]().base_rate(np.array([0, 0, 1, 1]), ones)
    assert_allclose(last, np.log([0.5, 0.5, LEAST_PRIOR / 3]))
    labels = LOSSES["multilabel"]().base_rate(np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]]), ones)
    rate = LEAST_PRIOR / 2
    assert_allclose(labels, [np.log(rate / (1 - rate)), np.log((1 - rate) / rate), 0], atol=1e-15)


def test_the_base_rate_of_counts_that_are_all_zero_is_finite():
    assert np.isfinite(LOSSES["poisson"]().base_rate(np.zeros((1, 3)), np.ones(3))).all()


def test_the_base_rate_of_huber_is_one_step_from_the_median():
    y = np.array([[-9.0, 0.0, 1.0, 1.5, 5.0]])
    assert_allclose(LOSSES["huber"]().base_rate(y, np.ones(5)), [1 + (-1 - 1 + 0 + 0.5 + 1) / 5])
    assert_allclose(LOSSES["huber"]().base_rate(y, np.array([1, 1, 3, 1, 1])), [1 + (-1 - 1 + 0 + 0.5 + 1) / 7])


@pytest.mark.parametrize("quantile", [0.1, 0.25, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("seed", range(20))
def test_a_weighted_quantile_is_that_of_repetitions(quantile, seed):
    rng = np.random.default_rng(seed)
    y, counts = rng.standard_normal((3, 8)), rng.integers(0, 4, 8)
    expected = np.quantile(np.repeat(y, counts, axis=1), quantile, axis=1, method="averaged_inverted_cdf")
    assert_allclose(weighted_quantile(y, counts.astype(float), quantile), expected, rtol=1e-14)
    assert_allclose(weighted_quantile(y, counts / counts.sum(), quantile), expected, rtol=1e-14)


def test_the_median_lies_halfway_between_two_values_of_equal_weight():
    assert_array_equal(weighted_quantile(np.array([[3.0, 1.0, 2.0, 8.0]]), np.ones(4), 0.5), [2.5])
    assert_array_equal(weighted_quantile(np.array([[3.0, 1.0, 2.0]]), np.ones(3), 0.5), [2.0])


@pytest.mark.parametrize("scale", [1e-15, 1e-8, 1e8, 1e15])
def test_a_weighted_quantile_depends_on_the_ratios_of_weights_alone(scale):
    y, weight = np.array([[3.0, 1.0, 2.0, 8.0]]), np.array([1.0, 3.0, 2.0, 2.0])
    assert_array_equal(weighted_quantile(y, scale * weight, 0.5), [2.0])
    assert_array_equal(weighted_quantile(y, scale * weight, 0.375), [1.5])


def test_rounding_of_weights_in_float32_moves_no_quantile():
    y, weight = np.arange(1000, dtype=np.float32)[None], np.full(1000, 0.1, np.float32)
    assert_array_equal(weighted_quantile(y, weight, 0.5), [499.5])


def test_the_quantiles_0_and_1_are_the_least_and_the_greatest_value():
    y = np.array([[3.0, 1.0, 2.0], [5.0, 9.0, 7.0]])
    assert_array_equal(weighted_quantile(y, np.ones(3), 0.0), [1.0, 5.0])
    assert_array_equal(weighted_quantile(y, np.ones(3), 1.0), [3.0, 9.0])
