"""Look into a fitted network: gradients by name, how they flow back through time, and pictures of both and of hidden states."""

from ._displays import GradientFlowDisplay, HiddenStateDisplay, LossCurveDisplay
from ._gradients import gradient_flow, loss_gradient

__all__ = ["GradientFlowDisplay", "HiddenStateDisplay", "LossCurveDisplay", "gradient_flow", "loss_gradient"]
