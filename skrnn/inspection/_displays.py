"""Pictures, in scikit-learn's manner: the constructor stores data, ``plot`` draws them, ``from_estimator`` does both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from ._gradients import gradient_flow, network_and_input

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: at most so many classes or outputs have an entry in a legend
LARGEST_LEGEND = 10


def _axes(display: object, ax: Axes | None) -> Axes:
    """Return ``ax``, or the axes of a new figure."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{type(display).__name__} draws with Matplotlib: python -m pip install matplotlib") from error
    return plt.subplots(layout="constrained")[1] if ax is None else ax


class LossCurveDisplay:
    """The course of training: the loss, validation scores and the share of clipped updates, epoch by epoch.

    Parameters
    ----------
    loss : array-like of shape (n_epochs,)
        Mean losses, as ``loss_curve_``.
    validation_scores : array-like of shape (n_epochs,), default=None
        As ``validation_scores_``, which estimators have with ``early_stopping=True``.
    clip_fraction : array-like of shape (n_epochs,), default=None
        The share of updates that were clipped, as ``clip_fraction_curve_``. ``from_estimator`` draws it if any was.
    score_name : str, default="score"
        Of the validation scores.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the loss.
    share_ax_ : matplotlib Axes or None
        On the same epochs, with scores and shares on a scale to the right; None if there are neither.
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        By what they show: "loss", "validation_scores" and "clip_fraction".

    See Also
    --------
    GradientFlowDisplay : Why the loss may not fall.

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.inspection import LossCurveDisplay
    >>> X, y = make_adding(200, n_timesteps=10, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, early_stopping=True, clip_norm=0.1, max_iter=20, random_state=0).fit(X, y)
    >>> LossCurveDisplay.from_estimator(reg).lines_.keys()
    dict_keys(['loss', 'validation_scores', 'clip_fraction'])
    """

    def __init__(
        self, *, loss: Any, validation_scores: Any = None, clip_fraction: Any = None, score_name: str = "score"
    ) -> None:
        self.loss = loss
        self.validation_scores = validation_scores
        self.clip_fraction = clip_fraction
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | None = None, name: str | None = None, **kwargs: Any
    ) -> LossCurveDisplay:
        """Draw the training of an estimator.

        Parameters
        ----------
        estimator : RNNClassifier or RNNRegressor, or a Pipeline or search that ends in one
            Fitted.
        ax : matplotlib Axes, default=None
            To draw on; by default those of a new figure.
        name : str, default=None
            What the legend calls the network.
        **kwargs
            For the line of the loss, as for Matplotlib's ``plot``.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        TypeError
            If there is no network at the end of ``estimator``.
        ImportError
            Without Matplotlib.
        """
        network, _ = network_and_input(estimator, None)
        network._check_is_fitted()
        return cls(
            loss=network.loss_curve_,
            validation_scores=network.validation_scores_,
            clip_fraction=network.clip_fraction_curve_ if np.nansum(network.clip_fraction_curve_) else None,
            score_name="accuracy" if is_classifier(network) else "R²",
        ).plot(ax, name=name, **kwargs)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> LossCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            To draw on; by default those of a new figure. Networks drawn on the same axes can be compared.
        name : str, default=None
            What the legend calls the network.
        **kwargs
            For the line of the loss, as for Matplotlib's ``plot``.

        Returns
        -------
        self : LossCurveDisplay

        Raises
        ------
        ImportError
            Without Matplotlib.
        """
        self.ax_ = _axes(self, ax)
        self.figure_ = self.ax_.figure
        prefix = "" if name is None else f"{name}: "
        shares = [
            ("validation_scores", self.validation_scores, self.score_name, f"validation {self.score_name}", "--"),
            ("clip_fraction", self.clip_fraction, "share of clipped updates", "clipped updates", ":"),
        ]
        shares = [share for share in shares if share[1] is not None]
        epochs = np.arange(1, len(self.loss) + 1)
        (line,) = self.ax_.plot(epochs, self.loss, **{"label": f"{prefix}loss", **kwargs})
        self.lines_ = {"loss": line}
        self.ax_.set(xlabel="epoch", ylabel="loss")
        top, drawn = self.ax_, self.ax_.get_lines()
        self.share_ax_ = None
        if shares:
            self.share_ax_ = top = self._axes_of_shares()
            for key, values, _, label, style in shares:
                color = line.get_color()
                (self.lines_[key],) = top.plot(epochs[: len(values)], values, style, color=color, label=prefix + label)
            lowest = min(np.min(share.get_ydata(), initial=0) for share in top.get_lines())
            top.set(ylabel=", ".join(share[2] for share in shares), ylim=(max(lowest, -1) - 0.05, 1.05))
            drawn = [*drawn, *top.get_lines()]
        top.legend(handles=drawn, loc="center right")
        return self

    def _axes_of_shares(self) -> Axes:
        """Return the axes on top of ``ax_`` with a scale to the right, which an earlier network may have made."""
        for axes in self.ax_.get_shared_x_axes().get_siblings(self.ax_):
            if axes is not self.ax_ and axes.bbox.bounds == self.ax_.bbox.bounds:
                return cast("Axes", axes)
        return self.ax_.twinx()


class GradientFlowDisplay:
    """How the gradient flows back through time: its norm at every lag, on a logarithmic scale.

    A line for each layer and direction. Where it falls the gradient vanishes and where it rises the gradient explodes; a
    healthy one stays level [1]_.

    Parameters
    ----------
    flow : dict of str to array-like of shape (n_lags,)
        As ``gradient_flow`` returns it.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        By the names of ``flow``. Where a norm is zero there is a gap.

    See Also
    --------
    gradient_flow : The numbers alone, and what they mean.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML (2013).

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.inspection import GradientFlowDisplay
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=(8, 8), max_iter=5, random_state=0).fit(X, y)
    >>> GradientFlowDisplay.from_estimator(reg, X, y).lines_.keys()
    dict_keys(['layer0.forward', 'layer1.forward'])
    """

    def __init__(self, flow: Mapping[str, Any]) -> None:
        self.flow = flow

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Axes | None = None, name: str | None = None, **kwargs: Any
    ) -> GradientFlowDisplay:
        """Draw the gradient of an estimator's loss.

        Parameters
        ----------
        estimator : RNNClassifier or RNNRegressor, or a Pipeline or search that ends in one
            Fitted.
        X, y
            As for ``fit``.
        ax : matplotlib Axes, default=None
            To draw on; by default those of a new figure.
        name : str, default=None
            What the legend calls the network.
        **kwargs
            For all lines, as for Matplotlib's ``plot``.

        Returns
        -------
        display : GradientFlowDisplay

        Raises
        ------
        ValueError
            On invalid input.
        TypeError
            If there is no network at the end of ``estimator``.
        ImportError
            Without Matplotlib.
        """
        return cls(gradient_flow(estimator, X, y)).plot(ax, name=name, **kwargs)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> GradientFlowDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            To draw on; by default those of a new figure. Networks drawn on the same axes can be compared.
        name : str, default=None
            What the legend calls the network.
        **kwargs
            For all lines, as for Matplotlib's ``plot``.

        Returns
        -------
        self : GradientFlowDisplay

        Raises
        ------
        ImportError
            Without Matplotlib.
        """
        self.ax_ = _axes(self, ax)
        self.figure_ = self.ax_.figure
        self.lines_ = {}
        of_layers: dict[str, dict[str, Any]] = {}  # the directions of a layer have one color
        for key, norms in self.flow.items():
            layer, _, direction = key.partition(".")
            norms = np.asarray(norms, np.float64)
            look = {
                "label": key if name is None else name if len(self.flow) == 1 else f"{name}: {key}",
                "linestyle": "--" if direction == "reverse" else "-",
            }
            (line,) = self.ax_.plot(np.where(norms > 0, norms, np.nan), **(look | of_layers.get(layer, {}) | kwargs))
            of_layers[layer] = {"color": line.get_color()}
            self.lines_[key] = line
        self.ax_.set(yscale="log", xlabel="lag (steps before the last)", ylabel="norm of the gradient at the hidden state")
        self.ax_.legend()
        return self


class HiddenStateDisplay:
    """Hidden units over the steps of a sequence, and below them what the network predicts.

    Parameters
    ----------
    states : array-like of shape (n_timesteps, n_units)
        States of the last layer, as ``hidden_states`` gives them.
    prediction : array-like of shape (n_timesteps,) or (n_timesteps, n_outputs)
        Of every step.
    output_names : sequence, default=None
        For the legend: names of the outputs, such as ``classes_``.
    prediction_name : str, default="prediction"
        For the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the states.
    prediction_ax_ : matplotlib Axes
        Below it.
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
        The states.
    lines_ : list of matplotlib Line2D
        The predictions, one line for each output.

    See Also
    --------
    GradientFlowDisplay : How far back it is learned from.

    Notes
    -----
    A network with one target for a sequence has a prediction only at its end. Drawn is what it would predict if the sequence
    ended at each step, computed from all its beginnings: work that grows with the square of the number of steps.

    Examples
    --------
    >>> from skrnn import RNNRegressor
    >>> from skrnn.datasets import make_adding
    >>> from skrnn.inspection import HiddenStateDisplay
    >>> X, y = make_adding(100, n_timesteps=20, random_state=0)
    >>> reg = RNNRegressor(hidden_layer_sizes=8, max_iter=5, random_state=0).fit(X, y)
    >>> HiddenStateDisplay.from_estimator(reg, X, index=3).states.shape
    (20, 8)
    """

    def __init__(
        self, *, states: Any, prediction: Any, output_names: Sequence[Any] | None = None, prediction_name: str = "prediction"
    ) -> None:
        self.states = states
        self.prediction = prediction
        self.output_names = output_names
        self.prediction_name = prediction_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, index: int = 0, ax: Axes | None = None, **kwargs: Any
    ) -> HiddenStateDisplay:
        """Draw one sequence as an estimator sees it.

        Parameters
        ----------
        estimator : RNNClassifier or RNNRegressor, or a Pipeline or search that ends in one
            Fitted. Of a classifier, the probabilities are drawn.
        X : array, list of arrays or frame
            Sequences in any form that ``fit`` takes.
        index : int, default=0
            Which of them.
        ax : matplotlib Axes, default=None
            Whose place the two plots take; by default that of a new figure.
        **kwargs
            For the states, as for Matplotlib's ``imshow``.

        Returns
        -------
        display : HiddenStateDisplay

        Raises
        ------
        ValueError
            On invalid input.
        IndexError
            If there are not so many sequences.
        TypeError
            If there is no network at the end of ``estimator``.
        ImportError
            Without Matplotlib.
        """
        network, X = network_and_input(estimator, X)
        network._check_is_fitted()
        sequences = network._check_X(X, reset=False)
        sequence = sequences.values[sequences.offsets[:-1][index] :][: sequences.lengths[index]]
        network = copy.copy(network)  # that takes single sequences, also if it was fitted to flattened ones with names
        network.__dict__.pop("feature_names_in_", None)
        network.n_features_in_ = sequences.n_features
        beginnings = [sequence[: end + 1] for end in range(len(sequence))]
        classifies = is_classifier(network)
        predict = network.predict_proba if classifies else network.predict
        return cls(
            states=network.hidden_states([sequence])[0],
            prediction=predict([sequence])[0] if network._architecture["return_sequences"] else predict(beginnings),
            output_names=list(network.classes_) if classifies else None,
            prediction_name="probability" if classifies else "prediction",
        ).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> HiddenStateDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Whose place the two plots take; by default that of a new figure.
        **kwargs
            For the states, as for Matplotlib's ``imshow``.

        Returns
        -------
        self : HiddenStateDisplay

        Raises
        ------
        ValueError
            If ``ax`` has no place in a grid of subplots.
        ImportError
            Without Matplotlib.
        """
        place = _axes(self, ax)
        self.figure_ = place.figure
        spec = place.get_subplotspec()
        if spec is None:
            raise ValueError("ax has no place in a grid that two plots could take. Make it with plt.subplots.")
        grid = spec.subgridspec(2, 1, height_ratios=(2, 1))
        place.remove()
        self.ax_ = self.figure_.add_subplot(grid[0])
        self.prediction_ax_ = self.figure_.add_subplot(grid[1], sharex=self.ax_)
        states: NDArray[Any] = np.asarray(self.states)
        largest = np.abs(states).max()
        look = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "aspect": "auto", "interpolation": "nearest"}
        self.image_ = self.ax_.imshow(states.T, origin="lower", **(look | kwargs))
        self.figure_.colorbar(self.image_, ax=self.ax_, label="state")
        self.ax_.set(ylabel="hidden unit")
        self.ax_.tick_params(labelbottom=False)
        self.lines_ = self.prediction_ax_.plot(np.asarray(self.prediction))
        self.prediction_ax_.set(xlabel="step", ylabel=self.prediction_name)
        if self.output_names is not None:
            highest = sorted(self.lines_, key=lambda line: -np.max(line.get_ydata()))[:LARGEST_LEGEND]
            named = [(line, str(name)) for line, name in zip(self.lines_, self.output_names, strict=True) if line in highest]
            self.prediction_ax_.legend(
                *zip(*named, strict=True),
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
                ncols=1 + (len(named) > 4),
                fontsize="small",
            )
        return self
