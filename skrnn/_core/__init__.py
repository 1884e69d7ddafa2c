"""Backpropagation through time in NumPy: the notation and the rules of this folder.

Rules
-----
* Only ``numpy`` and ``scipy`` are imported here; nothing knows of scikit-learn.
* Loops over time live in ``bptt`` and nowhere else. A cell is one step and its adjoint.
* Cells own no arrays. Every array of a time loop belongs to a ``Tape`` (``workspace``), is allocated once
  for a shape, and is reached through views that are built once.
* Nothing is allocated inside a time loop: every call writes into ``out``.

Notation
--------
``T``
    steps of a window.
``N``
    sequences in the batch. They are columns: a state is a matrix ``(H, N)``, so that gates are contiguous row blocks.
``F``, ``H``
    input features and hidden units of a layer; ``R = H + 1 + F``.
``x``, ``h``, ``c``
    input, hidden state, cell state. States have ``T + 1`` rows, and row 0 is the initial state.
``hx``
    the stacked blocks ``[h; 1; x]``, shape ``(T + 1, R, N)``: ``hx[t]`` holds the state before step ``t`` and the input
    of step ``t``, so one matrix product with ``[recurrent | bias | input]`` weights gives all pre-activations.
``a``
    pre-activation; ``i f g o`` the gates of an LSTM and ``r z n`` those of a GRU.
``dv``
    the gradient of the loss with respect to the quantity ``v``.
``theta``, ``grad``
    one flat vector of all weights, and one of the gradient; names are views into them (``parameters``).

Padding without masks
---------------------
Sequences of a batch are sorted from the longest to the shortest and end together, so padding comes first. In a padded
step ``1`` and ``x`` are zero; every cell maps a zero state and a zero block to a zero state and adds exactly zero to each
weight gradient, so the loops need no mask. ``entries`` lists where columns enter: ``(step, columns)``.
"""
