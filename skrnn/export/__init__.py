"""Networks that leave the house, or come in: ONNX, and weights in the order of PyTorch and of Keras."""

from ._keras import from_keras_weights, to_keras_weights
from ._onnx import to_onnx
from ._skl2onnx import register_skl2onnx
from ._torch import from_torch_state, to_torch_state

__all__ = [
    "from_keras_weights",
    "from_torch_state",
    "register_skl2onnx",
    "to_keras_weights",
    "to_onnx",
    "to_torch_state",
]
