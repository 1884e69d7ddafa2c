r"""Elman, GRU and LSTM: one step and its adjoint, nothing else.

A cell says how many ``(H, N)`` blocks it keeps for a step, and which views of a ``Tape`` its step and its adjoint work on.
The views of every step are built once, with the tape, so the loops of ``bptt`` are ``step(*views)`` and
``adjoint(*views)``.

The logistic gates are computed as :math:`\sigma(a) = (1 + \tanh(a / 2)) / 2`, with the half folded into the working copy of
the weights: NumPy's ``tanh`` is vectorised and about ten times faster than ``scipy.special.expit``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .parameters import FloatArray, Shape

if TYPE_CHECKING:
    from .workspace import Tape

add, mul, square, sub, tanh = np.add, np.multiply, np.square, np.subtract, np.tanh

#: What ``step`` or ``adjoint`` takes for one step, in its order: views of a tape, and functions that are the network's choice.
Views = tuple[Any, ...]


class Gate(NamedTuple):
    """Views of one gate's weights: ``a = recurrent @ h + input @ x + sum(biases)`` (GRU's ``n`` apart, see there)."""

    recurrent: FloatArray  # (H, H)
    input: FloatArray  # (H, F)
    bias: FloatArray  # (H,)
    recurrent_bias: FloatArray | None = None  # (H,), only GRU's n


class WeightGradient(NamedTuple):
    """One matrix product of a weight gradient: rows of ``[h; 1; x]`` times rows of the gradients of pre-activations."""

    name: str
    inputs: slice
    rows: slice


class Cell(ABC):
    """One recurrent layer in one direction; abstract, its subclasses are final.

    Parameters
    ----------
    n_features : int
        F, the size of the input of a step.
    n_hidden : int
        H, the size of the hidden state.
    """

    #: number of state arrays: (h,) or (h, c)
    n_states: int
    #: (H, N) blocks kept from a forward step for its adjoint
    n_kept: int
    #: (H, N) blocks of the adjoint of one step
    n_adjoint: int
    #: (H, N) blocks of scratch
    n_scratch: int
    #: blocks of H pre-activations; the first ``n_logistic`` belong to logistic gates, and the first ``n_recurrent`` depend on h
    n_rows: int
    n_logistic: int
    n_recurrent: int
    #: the first of ``n_rows`` adjoint blocks that are gradients of pre-activations
    first_gradient: int

    def __init__(self, n_features: int, n_hidden: int) -> None:
        self.n_features = n_features
        self.n_hidden = n_hidden
        self.n_block = n_hidden + 1 + n_features

    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """Shapes of the cell's parameters, by name."""

    @abstractmethod
    def gates(self, weights: Mapping[str, FloatArray]) -> dict[str, Gate]:
        """Return views of the weights gate by gate."""

    @abstractmethod
    def assemble(self, weights: Mapping[str, FloatArray], out: FloatArray) -> None:
        """Write all weights as one matrix, (R, n_rows * H), whose transpose times ``[h; 1; x]`` is the pre-activations."""

    @abstractmethod
    def weight_gradients(self) -> list[WeightGradient]:
        """Return the products that make up the gradient of the weights."""

    @abstractmethod
    def state(self, tape: Tape, t: int) -> Views:
        """Return views of the state before step ``t`` (after the last step for ``t = T``), each (H, N)."""

    @abstractmethod
    def step_views(self, tape: Tape, t: int, row: int) -> Views:
        """Return the views that ``step`` takes at step ``t``, whose kept blocks are row ``row``."""

    @abstractmethod
    def adjoint_views(self, tape: Tape, t: int, row: int) -> Views:
        """Return the views that ``adjoint`` takes at step ``t``, whose adjoint blocks are row ``row``."""

    #: ``step(*step_views)``: one step forward
    step: Callable[..., None]

    #: ``adjoint(*adjoint_views)``: from the gradient of the state after a step to that before it
    adjoint: Callable[..., None]

    @abstractmethod
    def derivatives(self, tape: Tape, start: int, stop: int) -> None:
        """Write what ``adjoint`` needs of steps ``start`` to ``stop``, where one call for all is cheaper than one a step."""


def _gate(weights: FloatArray) -> Gate:
    """Return views of ``[recurrent | bias | input]``, (H, H + 1 + F)."""
    H = len(weights)
    return Gate(weights[:, :H], weights[:, H + 1 :], weights[:, H])


def _relu(a: FloatArray, out: FloatArray) -> None:
    np.maximum(a, 0, out=out)


def _relu_derivative(h: FloatArray, out: FloatArray) -> None:
    np.greater(h, 0, out=out)


def _tanh_derivative(h: FloatArray, out: FloatArray) -> None:
    square(h, out=out)  # a product takes twice as long: it reads twice as much
    sub(1, out, out=out)


def _identity_derivative(_h: FloatArray, out: FloatArray) -> None:
    out.fill(1)


#: name -> (the activation, its derivative as a function of its value)
ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[[FloatArray, FloatArray], None]]] = {
    "tanh": (tanh, _tanh_derivative),
    "relu": (_relu, _relu_derivative),
    "identity": (np.positive, _identity_derivative),
}


class Elman(Cell):
    r"""Elman's simple recurrent network [1]_.

    Forward, with :math:`\phi` tanh, relu or the identity:

    .. math:: a_t = W_h h_{t-1} + b + W_x x_t, \qquad h_t = \phi(a_t)

    Backward, given :math:`dh_t`:

    .. math:: da_t = \phi'(a_t) \odot dh_t, \qquad dh_{t-1} = W_h^T da_t

    ``weights`` is :math:`[W_h \,|\, b \,|\, W_x]^T`, shape (H + 1 + F, H).

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).
    """

    n_states, n_kept, n_adjoint, n_scratch = 1, 0, 1, 0
    n_rows, n_logistic, n_recurrent, first_gradient = 1, 0, 1, 0

    def __init__(self, n_features: int, n_hidden: int, activation: str = "tanh") -> None:
        super().__init__(n_features, n_hidden)
        self.activate, self.derivative = ACTIVATIONS[activation]

    def shapes(self) -> dict[str, Shape]:
        return {"weights": (self.n_block, self.n_hidden)}

    def gates(self, weights: Mapping[str, FloatArray]) -> dict[str, Gate]:
        return {"h": _gate(weights["weights"].T)}

    def assemble(self, weights: Mapping[str, FloatArray], out: FloatArray) -> None:
        out[...] = weights["weights"]

    def state(self, tape: Tape, t: int) -> Views:
        return (tape.h[t],)

    def weight_gradients(self) -> list[WeightGradient]:
        return [WeightGradient("weights", slice(0, self.n_block), slice(0, self.n_hidden))]

    def step_views(self, tape: Tape, t: int, _row: int) -> Views:
        W, h = tape.W, tape.h[t + 1]
        return W.multiply, W.a, self.activate, tape.operand(t), W.out_of(h), h

    @staticmethod
    def step(
        multiply: Callable[..., Any], W: FloatArray, activate: Callable[..., Any], hx: FloatArray, a: FloatArray, h: FloatArray
    ) -> None:
        multiply(W, hx, a)
        activate(h, h)

    def derivatives(self, tape: Tape, start: int, stop: int) -> None:
        self.derivative(tape.states(start, stop), tape.adjoints_of(start, stop)[:, 0])

    def adjoint_views(self, tape: Tape, _t: int, row: int) -> Views:
        U, dh = tape.U, tape.dstate[0]
        return U.multiply, U.a, U.out_of(dh), dh, tape.adjoints[row, 0]

    @staticmethod
    def adjoint(multiply: Callable[..., Any], U: FloatArray, dh_before: FloatArray, dh: FloatArray, da: FloatArray) -> None:
        mul(da, dh, da)
        multiply(U, da, dh_before)


class GRU(Cell):
    r"""Gated recurrent unit [1]_ in the 'reset after' form of cuDNN, PyTorch and Keras.

    Forward:

    .. math::
        z_t &= \sigma(W_z h_{t-1} + b_z + V_z x_t) \\
        r_t &= \sigma(W_r h_{t-1} + b_r + V_r x_t) \\
        m_t &= W_n h_{t-1} + b_m \\
        n_t &= \tanh(V_n x_t + b_n + r_t \odot m_t) \\
        h_t &= n_t + z_t \odot (h_{t-1} - n_t)

    Backward, given :math:`dh_t`:

    .. math::
        dz_t &= dh_t \odot (h_t - n_t) (1 - z_t) \\
        dn_t &= dh_t \odot (1 - z_t) \odot (1 - n_t^2) \\
        dm_t &= dn_t \odot r_t, \qquad dr_t = (dn_t - dm_t) \odot r_t \odot m_t \\
        dh_{t-1} &= dh_t \odot z_t + W_z^T dz_t + W_r^T dr_t + W_n^T dm_t

    with :math:`dz, dr, dn` taken at the pre-activations. ``gates`` is :math:`[W \,|\, b \,|\, V]^T` of z beside r, shape
    (H + 1 + F, 2H); ``candidate_recurrent`` is :math:`[W_n \,|\, b_m]^T`, shape (H + 1, H); ``candidate_input`` is
    :math:`[b_n \,|\, V_n]^T`, shape (1 + F, H).

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
       translation", EMNLP (2014).
    """

    # kept: z r (r * m) n; adjoint: dz dr dm dn
    n_states, n_kept, n_adjoint, n_scratch = 1, 4, 4, 1
    n_rows, n_logistic, n_recurrent, first_gradient = 4, 2, 3, 0

    def shapes(self) -> dict[str, Shape]:
        H, F = self.n_hidden, self.n_features
        return {"gates": (self.n_block, 2 * H), "candidate_recurrent": (H + 1, H), "candidate_input": (1 + F, H)}

    def gates(self, weights: Mapping[str, FloatArray]) -> dict[str, Gate]:
        H = self.n_hidden
        zr, recurrent, inputs = (weights[name].T for name in ("gates", "candidate_recurrent", "candidate_input"))
        return {
            "z": _gate(zr[:H]),
            "r": _gate(zr[H:]),
            "n": Gate(recurrent[:, :H], inputs[:, 1:], inputs[:, 0], recurrent[:, H]),
        }

    def assemble(self, weights: Mapping[str, FloatArray], out: FloatArray) -> None:
        H = self.n_hidden  # columns of z, r, m and n; m has no input and n no recurrent rows, which stay zero
        out[:, : 2 * H] = weights["gates"]
        out[: H + 1, 2 * H : 3 * H] = weights["candidate_recurrent"]
        out[H:, 3 * H :] = weights["candidate_input"]

    def weight_gradients(self) -> list[WeightGradient]:
        H, R = self.n_hidden, self.n_block
        return [
            WeightGradient("gates", slice(0, R), slice(0, 2 * H)),
            WeightGradient("candidate_recurrent", slice(0, H + 1), slice(2 * H, 3 * H)),
            WeightGradient("candidate_input", slice(H, R), slice(3 * H, 4 * H)),
        ]

    def state(self, tape: Tape, t: int) -> Views:
        return (tape.h[t],)

    def step_views(self, tape: Tape, t: int, row: int) -> Views:
        W, kept = tape.W, tape.kept[row]
        z, r, rm, n = kept
        return (
            W.multiply, W.a, tape.half, tape.scratch[0], tape.operand(t), tape.h[t], tape.h[t + 1],
            W.out_of(kept[:3].reshape(-1, tape.n_sequences)), tape.inputs[t], kept[:2], z, r, rm, n,
        )  # fmt: skip

    @staticmethod
    def step(
        multiply: Callable[..., Any], W: FloatArray, half: FloatArray, scratch: FloatArray, hx: FloatArray, h: FloatArray,
        h_next: FloatArray, zrm: FloatArray, input_n: FloatArray, zr: FloatArray, z: FloatArray, r: FloatArray, rm: FloatArray,
        n: FloatArray,
    ) -> None:  # fmt: skip
        multiply(W, hx, zrm)
        tanh(zr, zr)
        mul(zr, half, zr)
        add(zr, half, zr)
        mul(r, rm, rm)  # in place of m
        add(input_n, rm, n)
        tanh(n, n)
        sub(h, n, scratch)
        mul(z, scratch, scratch)
        add(n, scratch, h_next)

    def derivatives(self, tape: Tape, start: int, stop: int) -> None:
        pass  # the adjoint takes them step by step, out of the L1 cache

    def adjoint_views(self, tape: Tape, t: int, row: int) -> Views:
        H, N, adjoints = self.n_hidden, tape.n_sequences, tape.adjoints[row]
        U, dh = tape.U, tape.dstate[0]
        return (
            U.multiply, U.a, U.out_of(dh), tape.one, tape.scratch[0], dh, tape.h[t + 1], *tape.kept[t],
            adjoints[:3].reshape(3 * H, N), *adjoints,
        )  # fmt: skip

    @staticmethod
    def adjoint(
        multiply: Callable[..., Any], U: FloatArray, dh_before: FloatArray, one: FloatArray, through: FloatArray,
        dh: FloatArray, h: FloatArray, z: FloatArray, r: FloatArray, rm: FloatArray, n: FloatArray, dzrm: FloatArray,
        dz: FloatArray, dr: FloatArray, dm: FloatArray, dn: FloatArray,
    ) -> None:  # fmt: skip
        mul(dh, z, through)
        sub(dh, through, dn)
        sub(h, n, dz)
        mul(dz, dn, dz)
        square(n, dm)
        sub(one, dm, dm)
        mul(dn, dm, dn)
        mul(dn, r, dm)
        sub(dn, dm, dr)
        mul(dr, rm, dr)
        multiply(U, dzrm, dh_before)
        add(dh, through, dh)


class LSTM(Cell):
    r"""Long short-term memory [1]_ with the forget gate of [2]_, without peepholes.

    Forward, each gate with its own rows of weights:

    .. math::
        o_t, i_t, f_t &= \sigma(W h_{t-1} + b + V x_t), \qquad g_t = \tanh(W_g h_{t-1} + b_g + V_g x_t) \\
        c_t &= i_t \odot g_t + f_t \odot c_{t-1}, \qquad h_t = o_t \odot \tanh(c_t)

    Backward, given :math:`dh_t` and :math:`dc_t`, with the gates' gradients taken at the pre-activations:

    .. math::
        do_t &= dh_t \odot h_t (1 - o_t), \qquad dc_t \mathrel{+}= dh_t \odot o_t (1 - \tanh^2 c_t) \\
        di_t &= dc_t \odot i_t g_t (1 - i_t), \quad df_t = dc_t \odot f_t c_{t-1} (1 - f_t), \quad
        dg_t = dc_t \odot i_t (1 - g_t^2) \\
        dc_{t-1} &= dc_t \odot f_t, \qquad dh_{t-1} = W^T [do_t; di_t; df_t; dg_t]

    ``weights`` is :math:`[W \,|\, b \,|\, V]^T`, shape (H + 1 + F, 4H), with the columns of o, i, f, g.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997).
    .. [2] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with LSTM", Neural
       Computation 12 (2000).
    """

    # kept: o i f g, the cell state before the step, and tanh of the one after it. As g stands next to c, i * g and f * c are
    # one product. adjoint: the derivative of h by c, then do di df dg
    n_states, n_kept, n_adjoint, n_scratch = 2, 6, 5, 2
    n_rows, n_logistic, n_recurrent, first_gradient = 4, 3, 4, 1

    def shapes(self) -> dict[str, Shape]:
        return {"weights": (self.n_block, 4 * self.n_hidden)}

    def gates(self, weights: Mapping[str, FloatArray]) -> dict[str, Gate]:
        H, W = self.n_hidden, weights["weights"].T
        return {gate: _gate(W[k * H : (k + 1) * H]) for k, gate in enumerate("oifg")}

    def assemble(self, weights: Mapping[str, FloatArray], out: FloatArray) -> None:
        out[...] = weights["weights"]

    def weight_gradients(self) -> list[WeightGradient]:
        return [WeightGradient("weights", slice(0, self.n_block), slice(0, 4 * self.n_hidden))]

    def state(self, tape: Tape, t: int) -> Views:
        return tape.h[t], tape.kept[tape.kept_row(t), 4]

    def step_views(self, tape: Tape, t: int, row: int) -> Views:
        H, N, kept, scratch = self.n_hidden, tape.n_sequences, tape.kept[row], tape.scratch
        W, (_, c), oifg = tape.W, self.state(tape, t + 1), kept[:4].reshape(4 * H, N)
        return (
            W.multiply, W.a, tape.half, scratch, scratch[0], scratch[1], tape.operand(t), tape.h[t + 1], W.out_of(oifg),
            oifg, kept[:3], kept[1:3], kept[3:5], kept[0], c, kept[5],
        )  # fmt: skip

    @staticmethod
    def step(
        multiply: Callable[..., Any], W: FloatArray, half: FloatArray, products: FloatArray, ig: FloatArray, fc: FloatArray,
        hx: FloatArray, h: FloatArray, a: FloatArray, oifg: FloatArray, oif: FloatArray, i_f: FloatArray, gc: FloatArray,
        o: FloatArray, c: FloatArray, tanh_c: FloatArray,
    ) -> None:  # fmt: skip
        multiply(W, hx, a)
        tanh(oifg, oifg)
        mul(oif, half, oif)
        add(oif, half, oif)
        mul(i_f, gc, products)
        add(ig, fc, c)
        tanh(c, tanh_c)
        mul(o, tanh_c, h)

    def derivatives(self, tape: Tape, start: int, stop: int) -> None:
        pass  # the adjoint takes them step by step, out of the L1 cache

    def adjoint_views(self, tape: Tape, t: int, row: int) -> Views:
        H, N, kept, adjoints = self.n_hidden, tape.n_sequences, tape.kept[t], tape.adjoints[row]
        U, (dh, dc), products = tape.U, tape.dstate, tape.scratch
        dh_dc, do, _, _, dg = adjoints
        return (
            U.multiply, U.a, U.out_of(dh), tape.one, products, products[0], dh, dc, tape.h[t + 1], kept[:3], kept[1:3],
            kept[3:5], *kept[:4], kept[5], adjoints[1:].reshape(4 * H, N), adjoints[:2], adjoints[1:4], adjoints[2:4],
            adjoints[2:], dh_dc, do, dg,
        )  # fmt: skip

    @staticmethod
    def adjoint(
        multiply: Callable[..., Any], U: FloatArray, dh_before: FloatArray, one: FloatArray, products: FloatArray,
        ig: FloatArray, dh: FloatArray, dc: FloatArray, h: FloatArray, oif: FloatArray, i_f: FloatArray, gc: FloatArray,
        o: FloatArray, i: FloatArray, f: FloatArray, g: FloatArray, tanh_c: FloatArray, da: FloatArray, by_dh: FloatArray,
        doif: FloatArray, dif: FloatArray, by_dc: FloatArray, dh_dc: FloatArray, do: FloatArray, dg: FloatArray,
    ) -> None:  # fmt: skip
        mul(h, tanh_c, dh_dc)
        sub(o, dh_dc, dh_dc)
        sub(one, oif, doif)
        mul(do, h, do)
        mul(i_f, gc, products)
        mul(dif, products, dif)
        mul(ig, g, dg)
        sub(i, dg, dg)
        mul(by_dh, dh, by_dh)
        add(dc, dh_dc, dc)
        mul(by_dc, dc, by_dc)
        mul(dc, f, dc)
        multiply(U, da, dh_before)


CELLS: dict[str, type[Cell]] = {"rnn": Elman, "gru": GRU, "lstm": LSTM}
