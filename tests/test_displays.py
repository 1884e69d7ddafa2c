"""Displays draw what estimators hold, and only when asked to."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrnn import RNNClassifier, RNNRegressor
from skrnn.inspection import GradientFlowDisplay, HiddenStateDisplay, LossCurveDisplay, gradient_flow, loss_gradient
from skrnn.preprocessing import PerStep

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 7, 2))
LABELS = np.array(["low", "mid", "high"])[np.digitize(X[:, -1, 0], [-0.5, 0.5])]

each_display = pytest.mark.parametrize("Display", [LossCurveDisplay, GradientFlowDisplay, HiddenStateDisplay])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def new(Estimator=RNNRegressor, **parameters):
    return Estimator(**{"hidden_layer_sizes": 4, "max_iter": 5, "batch_size": 6, "random_state": 0, **parameters})


def drawn(Display, estimator, X=X, y=None, **options):
    """The display of an estimator; what data it needs depends on the kind."""
    data = {LossCurveDisplay: (), GradientFlowDisplay: (X, y), HiddenStateDisplay: (X,)}[Display]
    return Display.from_estimator(estimator, *data, **options)


def fitted(**parameters):
    return new(**parameters).fit(X, X[:, -1, 0])


# -------------------------------------------------------------------- the loss


def test_the_curves_are_those_of_training():
    reg = fitted(early_stopping=True, clip_norm=0.05)
    display = drawn(LossCurveDisplay, reg)
    epochs = np.arange(1, reg.n_iter_ + 1)
    expected = {
        "loss": reg.loss_curve_,
        "validation_scores": reg.validation_scores_,
        "clip_fraction": reg.clip_fraction_curve_,
    }
    assert display.lines_.keys() == expected.keys()
    for name, line in display.lines_.items():
        assert_array_equal(line.get_xdata(), epochs)
        assert_array_equal(line.get_ydata(), expected[name])
    assert display.lines_["loss"].axes is display.ax_
    assert display.lines_["clip_fraction"].axes is display.share_ax_
    texts = [text.get_text() for text in display.share_ax_.get_legend().get_texts()]
    assert texts == ["loss", "validation R²", "clipped updates"]


def test_what_there_is_not_is_not_drawn():
    display = drawn(LossCurveDisplay, fitted(clip_norm=None))
    assert display.lines_.keys() == {"loss"}
    assert display.share_ax_ is None
    assert len(display.figure_.axes) == 1


def test_networks_share_both_axes():
    one = drawn(LossCurveDisplay, fitted(early_stopping=True), name="one")
    other = drawn(LossCurveDisplay, fitted(early_stopping=True, cell="lstm"), name="other", ax=one.ax_)
    assert other.ax_ is one.ax_
    assert other.share_ax_ is one.share_ax_
    assert len(one.figure_.axes) == 2
    texts = [text.get_text() for text in one.share_ax_.get_legend().get_texts()]
    assert {text.split(":")[0] for text in texts} == {"one", "other"}
    assert one.lines_["loss"].get_color() != other.lines_["loss"].get_color()


def test_plots_beside_have_axes_of_their_own():
    _, (left, right) = plt.subplots(1, 2, sharex=True)
    reg = fitted(early_stopping=True)
    assert drawn(LossCurveDisplay, reg, ax=left).share_ax_ is not drawn(LossCurveDisplay, reg, ax=right).share_ax_


def test_bad_scores_are_within_the_scale():
    display = LossCurveDisplay(loss=[1.0, 0.5], validation_scores=[-0.7, -0.2]).plot()
    lowest, highest = display.share_ax_.get_ylim()
    assert lowest < -0.7 < 1 < highest


def test_the_share_of_clipped_updates_is_of_each_epoch():
    clf = new(RNNClassifier, clip_norm=0.6, max_iter=8).fit(X, LABELS)
    assert len(clf.clip_fraction_curve_) == clf.n_iter_
    assert 0 <= np.min(clf.clip_fraction_curve_) < np.max(clf.clip_fraction_curve_) <= 1
    assert_allclose(np.mean(clf.clip_fraction_curve_), clf.clip_fraction_)  # epochs have equally many updates


def test_the_share_of_clipped_updates_goes_on_with_training():
    reg = fitted(clip_norm=0.05)
    before = list(reg.clip_fraction_curve_)
    reg.partial_fit(X, X[:, -1, 0])
    assert reg.clip_fraction_curve_[:-1] == before
    assert len(reg.clip_fraction_curve_) == len(reg.loss_curve_)
    assert fitted(solver="lbfgs", clip_norm=1e-9).clip_fraction_curve_ == [0.0] * 5


# -------------------------------------------------------------------- the gradient


def test_there_is_a_line_for_each_layer_and_direction():
    reg = fitted(hidden_layer_sizes=(4, 3), bidirectional=True)
    display = drawn(GradientFlowDisplay, reg, y=X[:, -1, 0])
    flow = gradient_flow(reg, X, X[:, -1, 0])
    assert display.lines_.keys() == flow.keys()
    for name, line in display.lines_.items():
        assert_array_equal(line.get_ydata(), flow[name])
    assert display.ax_.get_yscale() == "log"
    styles = {name: (line.get_color(), line.get_linestyle()) for name, line in display.lines_.items()}
    assert styles["layer0.forward"][0] == styles["layer0.reverse"][0] != styles["layer1.forward"][0]
    assert styles["layer0.forward"][1] == styles["layer1.forward"][1] != styles["layer0.reverse"][1]


def test_a_gradient_of_zero_is_a_gap():
    display = GradientFlowDisplay({"layer0.forward": [1.0, 0.0, 1e-3]}).plot(color="red")
    assert_array_equal(display.lines_["layer0.forward"].get_ydata(), [1.0, np.nan, 1e-3])
    assert display.lines_["layer0.forward"].get_color() == "red"


# -------------------------------------------------------------------- hidden states


@pytest.mark.parametrize("Estimator", [RNNClassifier, RNNRegressor])
def test_states_and_predictions_of_every_step_are_those_of_one_sequence(Estimator):
    y = np.digitize(X[..., 0], [-0.5, 0.5]) if Estimator is RNNClassifier else X[..., 0]
    estimator = new(Estimator, return_sequences=True).fit(X, y)
    display = drawn(HiddenStateDisplay, estimator, index=3)
    prediction = estimator.predict_proba(X)[3] if Estimator is RNNClassifier else estimator.predict(X)[3]
    assert_allclose(display.image_.get_array().T, estimator.hidden_states(X)[3], atol=1e-12)
    assert_allclose(np.stack([line.get_ydata() for line in display.lines_]).T.squeeze(), prediction, atol=1e-12)


@pytest.mark.parametrize("parameters", [{}, {"bidirectional": True}, {"pooling": ("mean", "max")}], ids=str)
def test_a_prediction_for_the_whole_is_that_of_every_beginning(parameters):
    clf = new(RNNClassifier, **parameters).fit(X, LABELS)
    display = drawn(HiddenStateDisplay, clf, index=-1)
    found = np.stack([line.get_ydata() for line in display.lines_]).T
    assert_allclose(found, np.vstack([clf.predict_proba(X[-1:, :end]) for end in range(1, 8)]), atol=1e-12)
    texts = [text.get_text() for text in display.prediction_ax_.get_legend().get_texts()]
    assert texts == list(clf.classes_)


def test_what_was_fitted_counts_whatever_the_parameters_say_now():
    reg = fitted()
    expected = drawn(HiddenStateDisplay, reg).prediction
    assert_array_equal(drawn(HiddenStateDisplay, reg.set_params(return_sequences=True)).prediction, expected)


def test_flattened_rows_with_names_and_token_ids_are_taken():
    frame = pytest.importorskip("pandas").DataFrame(X[..., 0], columns=list("abcdefg"))
    reg = new().fit(frame, X[:, -1, 0])
    assert_allclose(drawn(HiddenStateDisplay, reg, frame).lines_[0].get_ydata()[-1], reg.predict(frame)[0])
    ids = RNG.integers(0, 5, (24, 7))
    reg = new(embedding_dim=2, n_tokens=5).fit(ids, X[:, -1, 0])
    assert_allclose(drawn(HiddenStateDisplay, reg, ids).lines_[0].get_ydata()[-1], reg.predict(ids)[0])
    assert list(reg.__dict__) == list(new(embedding_dim=2, n_tokens=5).fit(ids, X[:, -1, 0]).__dict__)


def test_the_legend_names_the_most_probable_of_many_classes():
    probabilities = np.linspace(0, 1, 15) * np.ones((4, 1))
    names = [f"class {k}" for k in range(15)]
    display = HiddenStateDisplay(states=np.ones((4, 2)), prediction=probabilities, output_names=names).plot()
    assert [text.get_text() for text in display.prediction_ax_.get_legend().get_texts()] == names[5:]


def test_states_of_zero_are_drawn():
    display = HiddenStateDisplay(states=np.zeros((4, 2)), prediction=np.zeros(4)).plot()
    display.figure_.canvas.draw()


def test_two_plots_need_a_place_in_a_grid():
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="has no place in a grid"):
        drawn(HiddenStateDisplay, fitted(), ax=ax)


def test_a_sequence_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        drawn(HiddenStateDisplay, fitted(), index=24)


# -------------------------------------------------------------------- all


@each_display
@pytest.mark.parametrize("kind", ["pipeline", "search"])
def test_the_network_is_found_at_the_end_of(Display, kind):
    pipeline = make_pipeline(PerStep(StandardScaler()), new())
    wrapped = GridSearchCV(pipeline, {"rnnregressor__cell": ["gru"]}, cv=2) if kind == "search" else pipeline
    wrapped.fit(X, X[:, -1, 0])
    inner = wrapped.best_estimator_ if kind == "search" else wrapped
    expected = drawn(Display, inner[-1], inner[:-1].transform(X), X[:, -1, 0])
    found = drawn(Display, wrapped, X, X[:, -1, 0])
    for one, other in zip(np.ravel(found.figure_.axes), np.ravel(expected.figure_.axes), strict=True):
        for line, expected_line in zip(one.get_lines(), other.get_lines(), strict=True):
            assert_array_equal(line.get_xydata(), expected_line.get_xydata())


def test_gradients_of_a_pipeline_are_those_of_its_network():
    pipeline = make_pipeline(PerStep(StandardScaler()), new()).fit(X, X[:, -1, 0])
    loss, gradient = loss_gradient(pipeline, X, X[:, -1, 0])
    expected = loss_gradient(pipeline[-1], pipeline[:-1].transform(X), X[:, -1, 0])
    assert loss == expected[0]
    for name, part in gradient.items():
        assert_array_equal(part, expected[1][name])


@each_display
@pytest.mark.parametrize("estimator", [StandardScaler(), GridSearchCV(new(), {})], ids=lambda e: type(e).__name__)
def test_what_holds_no_network_is_refused(Display, estimator):
    with pytest.raises(TypeError, match=f"fitted Pipeline or search that ends in one, got {type(estimator).__name__}"):
        drawn(Display, estimator)


@each_display
def test_it_draws_on_given_axes_and_in_a_figure_of_its_own(Display):
    reg = fitted()
    figure, ax = plt.subplots()
    assert drawn(Display, reg, y=X[:, -1, 0], ax=ax).figure_ is figure
    display = drawn(Display, reg, y=X[:, -1, 0])
    assert display.figure_ is not figure
    display.figure_.canvas.draw()


@each_display
def test_a_display_that_was_not_drawn_holds_only_data(Display):
    data = {
        LossCurveDisplay: {"loss": [1.0]},
        GradientFlowDisplay: {"flow": {"layer0.forward": [1.0]}},
        HiddenStateDisplay: {"states": [[1.0]], "prediction": [1.0]},
    }[Display]
    assert vars(Display(**data)).items() >= data.items()


def test_matplotlib_is_imported_only_to_draw():
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.pyplot'] = None\n"
        "from skrnn.inspection import LossCurveDisplay\n"
        "try: LossCurveDisplay(loss=[1.0]).plot()\n"
        "except ImportError as error: assert 'LossCurveDisplay draws with Matplotlib' in str(error)\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
