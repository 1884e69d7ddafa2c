"""
Is someone speaking? Text classification where the order of words matters
=========================================================================

Take 40 words of a tale, without quotation marks: is the last one spoken by somebody in the tale, or by the narrator? A person
follows who began to speak, who was interrupted by "said he", and who has finished. ``SequenceVectorizer`` and a GRU with an
embedding have to beat TF-IDF and logistic regression, which see words and pairs of words, but not in what order they come. All
learn from 38 of Grimm's tales and are asked about the ten others.
"""

import re
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline

from skrnn import RNNClassifier
from skrnn.datasets import load_grimm_tales
from skrnn.preprocessing import SequenceVectorizer

# %%
# Passages
# --------
# A word is inside quotation marks if one has been opened and not closed since. The closing mark is the apostrophe as well, so
# it does not close within a word or after an s. Then all quotation marks are removed, and passages are cut out that end at
# every eighth word or other mark. "The Dog and the Sparrow" is left out, since it opens its quotations with closing marks.

LENGTH, STRIDE = 40, 8
OPEN, CLOSE = "‘’"  # noqa: RUF001  # of the tales


def words_and_speech(tale):
    """Return words and punctuation marks of a tale, but no quotation marks, and whether each is spoken."""
    words, spoken, inside = [], [], False
    for match in re.finditer(rf"[A-Za-z]+(?:{CLOSE}[A-Za-z]+)*|[^\w\s]", tale):
        token = match.group()
        if token == OPEN:
            inside = True
        elif token == CLOSE:
            inside = inside and tale[match.start() - 1] == "s"
        elif token not in "“”":
            words.append(token)
            spoken.append(inside)
    return words, spoken


def passages_of(tales):
    """Return passages, whether the last word of each is spoken, and the number of its tale."""
    passages, labels, groups = [], [], []
    for number, tale in enumerate(tales):
        words, spoken = words_and_speech(tale)
        for stop in range(LENGTH, len(words), STRIDE):
            passages.append(" ".join(words[stop - LENGTH : stop]))
            labels.append(spoken[stop - 1])
            groups.append(number)
    return np.array(passages, dtype=object), np.array(labels), np.array(groups)


bunch = load_grimm_tales()
tales = bunch.data[bunch.title != "The Dog and the Sparrow"]
order = np.random.default_rng(0).permutation(len(tales))
X_train, y_train, groups = passages_of(tales[order[10:]])
X_test, y_test, _ = passages_of(tales[order[:10]])
print(f"{len(X_train)} passages to learn from, {len(X_test)} to test on, of which {y_test.mean():.0%} end in speech")
print(X_test[1])

# %%
# Words without order
# -------------------
# Since the last words tell most, the baseline may choose how many of them it sees, besides how many words make up a feature and
# the strength of its penalty: by cross-validation that keeps tales together.

TOKENS = rf"[a-z{CLOSE}]+|[^\w\s]"


def last_words(number):
    """Return a function that returns the last words of a text, in lower case."""
    return lambda text: " ".join(text.lower().split()[-number:])


def tf_idf(number):
    """Return TF-IDF of the last words and logistic regression."""
    vectorizer = TfidfVectorizer(preprocessor=last_words(number), token_pattern=TOKENS, sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(max_iter=1000))


grid = {"tfidfvectorizer__ngram_range": [(1, 1), (1, 2)], "logisticregression__C": [1, 10]}
numbers = [5, 10, 20, 40]
searches = {n: GridSearchCV(tf_idf(n), grid, cv=GroupKFold(3)).fit(X_train, y_train, groups=groups) for n in numbers}
best = max(numbers, key=lambda n: searches[n].best_score_)
baselines = {n: search.score(X_test, y_test) for n, search in searches.items()}
for n, accuracy in baselines.items():
    print(f"TF-IDF of the last {n} words: accuracy {accuracy:.3f} {'(the best in cross-validation)' * (n == best)}")

# %%
# Words in order
# --------------
# The network is given all 40 words. Words that occur in one passage only are taken as unknown, so that it learns what to do
# about those.

network = make_pipeline(
    SequenceVectorizer(token_pattern=TOKENS, min_df=2),
    RNNClassifier(
        embedding_dim=32,
        dropout=0.5,
        learning_rate_init=5e-3,
        max_iter=8,
        dtype="float32",
        random_state=0,
    ),
)
start = time.perf_counter()
accuracy = network.fit(X_train, y_train).score(X_test, y_test)
print(f"network: accuracy {accuracy:.3f} after {time.perf_counter() - start:.0f} s")
assert accuracy > max(baselines.values())

# %%
# Word by word
# ------------
# The same for every word of a page of a tale that the network has not read: what is underlined is spoken.

words, spoken = words_and_speech(tales[order[0]])
shown = range(600, 760)
probability = network.predict_proba([" ".join(words[word + 1 - LENGTH : word + 1]) for word in shown])[:, 1]

figure, (page, bars) = plt.subplots(1, 2, figsize=(12, 4), width_ratios=[2.6, 1], layout="constrained")
colors = plt.get_cmap("coolwarm")
column, line, width = 0, 0, 72
for word, p in zip(shown, probability, strict=True):
    if column + len(words[word]) > width:
        column, line = 0, line + 1
    stop = column + len(words[word])
    page.fill_between([column - 0.5, stop + 0.5], line - 0.42, line + 0.36, color=colors(p), alpha=0.6, linewidth=0)
    for place, character in enumerate(words[word], start=column):
        page.text(place + 0.5, line, character, ha="center", va="center", family="monospace", fontsize=10)
    if spoken[word]:
        page.plot([column, stop], [line + 0.36] * 2, color="black", linewidth=1.5)
    column = stop + 1
page.set(xlim=(-1, width + 1), ylim=(line + 0.6, -0.6), xticks=[], yticks=[], title="Underlined: spoken. Red: taken for spoken")
page.spines[:].set_visible(False)

names = ["always the narrator", *(f"TF-IDF, last {n} words" for n in numbers), "network, 40 words"]
values = [1 - y_test.mean(), *baselines.values(), accuracy]
bars.barh(names, values, color=["0.85"] + ["0.7"] * len(numbers) + ["tab:blue"])
for place, value in enumerate(values):
    bars.text(value - 0.01, place, f"{value:.3f}", ha="right", va="center")
bars.set(xlim=(0.5, 1), xlabel="accuracy on ten other tales")
bars.spines[["top", "right"]].set_visible(False)
figure.savefig("direct_speech.png", dpi=150)
