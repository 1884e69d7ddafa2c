"""
A language model of Grimm's tales, as a stream
==============================================

A recurrent network reads tales character by character and predicts the next one. The text is far too long to unroll, so
it is fed as a stream: with ``stateful=True`` each call of ``partial_fit`` goes on where the last one ended, and truncated
backpropagation through time keeps cost and memory of an update the same, however long the text.

The last tenth of the text is for the test. A trigram model with Kneser-Ney smoothing, fitted to the same nine tenths, is
what the network has to beat. (Counts of longer contexts would beat trigrams, too: the text is small.)
"""

# %%
# The text
# --------
#
# Each character becomes an integer, and for the network a one-hot vector.

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from skrnn import RNNClassifier
from skrnn.datasets import load_grimm_tales

text = "\n".join(load_grimm_tales().data)
characters, codes = np.unique(list(text), return_inverse=True)
n_characters, split = len(characters), int(0.9 * len(codes))
one_hot = np.eye(n_characters, dtype=np.float32)
print(f"{len(codes):,} characters, {n_characters} different ones")

# %%
# What counting can do
# --------------------
#
# The probability of a character after two others, smoothed by Kneser and Ney's method (1995): what is taken from the counts
# is given to the bigram's estimate, and so on.


def kneser_ney(codes, order):
    """Probabilities of the last axis's character after the others, by an interpolated Kneser-Ney model."""
    counts = np.zeros((n_characters,) * order)
    np.add.at(counts, tuple(codes[k : len(codes) - order + 1 + k] for k in range(order)), 1)
    levels = [counts]
    while levels[0].ndim > 1:  # a shorter n-gram counts once for each character that it was seen after
        levels.insert(0, (levels[0] > 0).sum(axis=0))
    p = np.full(n_characters, 1 / n_characters)
    for counts in levels:
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = once / max(once + 2 * twice, 1)
        kept = np.maximum(counts - discount, 0)
        total = np.maximum(counts.sum(axis=-1, keepdims=True), 1)
        p = kept / total + (1 - kept.sum(axis=-1, keepdims=True) / total) * p
    return p


n_grams = {}
for order, name in enumerate(("unigrams", "bigrams", "trigrams"), start=1):
    p = kneser_ney(codes[:split], order)
    context_and_next = tuple(codes[split - order + 1 + k : len(codes) - order + 1 + k] for k in range(order))
    n_grams[name] = -np.log(p[context_and_next]).mean()
    print(f"{name:9s} {n_grams[name]:.3f} nats per character on the last tenth")

# %%
# The stream
# ----------
#
# The training text is cut into 32 pieces, which are read side by side: row ``i`` of one call continues row ``i`` of the call
# before. Every 64 characters the network is updated, and no gradient reaches further back; but the state does, as it is
# carried on.

n_rows, n_epochs, n_steps = 32, 10, 640
n_columns = (split - 1) // n_rows
inputs = codes[: n_rows * n_columns].reshape(n_rows, n_columns)
targets = codes[1 : n_rows * n_columns + 1].reshape(n_rows, n_columns)
starts = range(0, n_columns, n_steps)

network = RNNClassifier(
    hidden_layer_sizes=128,
    return_sequences=True,
    stateful=True,
    truncation_length=64,
    learning_rate_init=5e-3,
    alpha=0,
    random_state=0,
)


def test_loss(network):
    """Nats per character on the last tenth, whose first characters are predicted from what comes before them."""
    before = 500
    read = codes[split - before :]
    log_p = network.predict_log_proba(one_hot[read[None, :-1]])[0]
    return -log_p[np.arange(len(read) - 1), read[1:]][before - 1 :].mean()


test_losses = []
for epoch in range(1, n_epochs + 1):
    network.reset_state()
    for start in starts:
        steps = slice(start, start + n_steps)
        network.partial_fit(one_hot[inputs[:, steps]], targets[:, steps], classes=np.arange(n_characters))
    test_losses.append(test_loss(network))
    if epoch in (1, 5, 10):
        print(f"network   {test_losses[-1]:.3f} nats per character after epoch {epoch}")

# %%
# After one pass over the text the network is about as good as trigrams; then it leaves them behind.

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
axes.plot(np.arange(1, len(network.loss_curve_) + 1) / len(starts), network.loss_curve_, lw=0.8, label="network, training")
axes.plot(np.arange(1, n_epochs + 1), test_losses, "o-", label="network, last tenth")
for name, loss in n_grams.items():
    axes.axhline(loss, color="0.6", lw=1)
    axes.annotate(f"{name}, last tenth", (n_epochs, loss), ha="right", va="bottom", fontsize=8, color="0.4")
axes.set(xlabel="passes over the training text", ylabel="nats per character", ylim=(0.95, 3.2), title="Grimm's tales")
axes.legend(frameon=False, loc="center right")
figure.savefig("character_model.png", dpi=150)

# %%
# A paragraph
# -----------
#
# Characters are drawn one at a time from the predicted probabilities, a little sharpened, and each is the input of the next
# step. ``return_state`` and ``initial_state`` carry the state from call to call.

rng = np.random.default_rng(0)
paragraph = "Once upon a time there was "
code = np.searchsorted(characters, list(paragraph))
p, state = network.predict_proba(one_hot[code[None]], return_state=True)
while len(paragraph) < 600:
    sharpened = p[0, -1].astype(np.float64) ** 2
    drawn = rng.choice(n_characters, p=sharpened / sharpened.sum())
    paragraph += characters[drawn]
    p, state = network.predict_proba(one_hot[[[drawn]]], initial_state=state, return_state=True)
print(textwrap.fill(paragraph, 100))
