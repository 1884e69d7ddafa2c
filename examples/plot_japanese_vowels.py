"""
Who is speaking? Grid search over clip value and init scheme
============================================================

Nine speakers utter two Japanese vowels; each utterance is a sequence of 7 to 29 steps with 12 coefficients. A Pipeline scales
every step and a bidirectional GRU tells the speaker; GridSearchCV picks the clip value and the init scheme by cross-validation
on the training utterances. The official test part is touched once, at the end. What the network has to beat is a logistic
regression on the mean and the standard deviation of the steps, which do not know in what order the steps came.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skrnn import RNNClassifier
from skrnn.datasets import load_japanese_vowels
from skrnn.preprocessing import PerStep

# %%
# The search
# ----------
# Utterances stay as long as they are: X is an array of 270 arrays of different lengths.

X_train, y_train = load_japanese_vowels("train", return_X_y=True)
X_test, y_test = load_japanese_vowels("test", return_X_y=True)


def mean_and_deviation(X):
    """Return 24 numbers for each utterance: the mean and the standard deviation of each coefficient."""
    return np.array([np.concatenate([x.mean(axis=0), x.std(axis=0)]) for x in X])


baseline = make_pipeline(FunctionTransformer(mean_and_deviation), StandardScaler(), LogisticRegression(max_iter=1000))
accuracy_of_baseline = baseline.fit(X_train, y_train).score(X_test, y_test)
print(f"without the order of the steps: test accuracy {accuracy_of_baseline:.3f}")

pipeline = make_pipeline(
    PerStep(StandardScaler()),
    RNNClassifier(
        bidirectional=True,
        pooling=("last", "max"),
        learning_rate_init=3e-3,
        max_iter=40,
        random_state=0,
    ),
)
grid = {
    "rnnclassifier__clip_value": [None, 0.1, 0.01],
    "rnnclassifier__init_scheme": ["glorot_uniform", "he_uniform", "lecun_uniform"],
}
start = time.perf_counter()
search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X_train, y_train)
best = {name.removeprefix("rnnclassifier__"): value for name, value in search.best_params_.items()}
print(f"best of {len(search.cv_results_['params'])} settings after {time.perf_counter() - start:.0f} s: {best}")
accuracy = search.score(X_test, y_test)
print(f"test accuracy {accuracy:.3f} on {len(y_test)} utterances")
assert accuracy > max(accuracy_of_baseline, 0.975)

# %%
# What the network hears
# ----------------------
# As sequences may have any length, the classifier can be asked after every step of an utterance who it thinks is speaking.

utterance, speaker = X_test[40], y_test[40]
prefixes = [utterance[: n + 1] for n in range(len(utterance))]
belief = search.predict_proba(prefixes)

scores = np.reshape(search.cv_results_["mean_test_score"], [len(values) for values in grid.values()])
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
steps = np.arange(1, len(utterance) + 1)
left.plot(steps, utterance, linewidth=1.2)
left.set(title=f"An utterance of speaker {speaker}", xlabel="step", ylabel="coefficient")

for label, share in zip(search.classes_, belief.T, strict=True):
    shown = share.max() > 0.2
    middle.plot(
        steps,
        share,
        color=None if shown else "0.85",
        linewidth=2.2 if label == speaker else 1.2,
        label=f"speaker {label}" if shown else None,
    )
middle.set(title="Probability after each step", xlabel="steps heard", ylabel="probability", ylim=(0, 1.03))
middle.legend(frameon=False)
for axes in (left, middle):
    axes.xaxis.get_major_locator().set_params(integer=True)

image = right.imshow(scores, cmap="viridis", aspect="auto", vmin=0.9, vmax=1)
names = [str(value) for value in grid["rnnclassifier__clip_value"]]
right.set_yticks(range(len(names)), names)
right.set_xticks(range(scores.shape[1]), [name.replace("_", "\n") for name in grid["rnnclassifier__init_scheme"]])
right.set(title="Cross-validated accuracy", xlabel="init scheme", ylabel="clip value")
for row, column in np.ndindex(scores.shape):
    right.text(column, row, f"{scores[row, column]:.3f}", ha="center", va="center", color="white")
figure.savefig("japanese_vowels.png", dpi=150)
