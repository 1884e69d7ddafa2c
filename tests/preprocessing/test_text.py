"""SequenceVectorizer against CountVectorizer: the tokens and the vocabulary are its own, and here they keep their order."""

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator,
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_param_validation,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

from skrnn import RNNClassifier
from skrnn.preprocessing import PerStep, SequenceVectorizer

TEXTS = [
    "The cat sat on the mat.",
    "A dog ate the cat's dinner -- all of it!",
    "Où est le chat?  Le chat est là.",
    "the the the dog",
    "Überall Katzen, Katzen und noch mehr Katzen",
    "x",
]
UNSEEN = ["a cat and a horse", "", "?!", "The DOG sat", "q", "chat"]
PARAMETERS = [
    {},
    {"analyzer": "char"},
    {"lowercase": False},
    {"analyzer": "char", "lowercase": False},
    {"strip_accents": "unicode"},
    {"strip_accents": "ascii", "analyzer": "char"},
    {"strip_accents": str.upper, "lowercase": False},
    {"stop_words": "english"},
    {"stop_words": ["the", "chat"]},
    {"token_pattern": r"\w+|[^\w\s]"},
    {"token_pattern": r"(\w)\w*"},
    {"tokenizer": str.split, "token_pattern": None},
    {"analyzer": str.split},
    {"min_df": 2},
    {"min_df": 0.3, "max_df": 0.9, "analyzer": "char"},
    {"max_df": 1},
    {"max_features": 3},
    {"max_features": 5, "min_df": 2, "analyzer": "char"},
    {"vocabulary": ["dog", "cat", "horse"]},
    {"vocabulary": {"dog", "cat", "horse"}},
    {"vocabulary": "cdogat", "analyzer": "char"},
]
each_setting = pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
SYMBOLS = ["abab", "bbab", "aabb", "ba", "cdcd", "ddc", "cc", "dcdcd"]
Y = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def count(ids):
    """How often each id occurs."""
    return dict(Counter(ids.tolist()))


# ---------------------------------------------------------------- the same tokens and vocabulary


@each_setting
def test_the_vocabulary_is_that_of_count_vectorizer_one_id_later(parameters):
    vectorizer = SequenceVectorizer(**parameters).fit(TEXTS)
    counter = CountVectorizer(**parameters).fit(TEXTS)
    assert vectorizer.vocabulary_ == {token: index + 1 for token, index in counter.vocabulary_.items()}
    assert list(vectorizer.vocabulary_.values()) == list(range(1, vectorizer.n_tokens_))
    assert {type(index) for index in vectorizer.vocabulary_.values()} == {int}
    assert vectorizer.n_tokens_ == len(counter.vocabulary_) + 1
    assert_array_equal(vectorizer.get_feature_names_out(), ["<unk>", *counter.get_feature_names_out()])


@each_setting
@pytest.mark.parametrize("texts", [TEXTS, UNSEEN], ids=["seen", "unseen"])
def test_counts_of_ids_are_those_of_count_vectorizer(parameters, texts):
    sequences = SequenceVectorizer(**parameters).fit(TEXTS).transform(texts)
    counts = CountVectorizer(**parameters).fit(TEXTS).transform(texts).toarray()
    assert (sequences.shape, sequences.dtype) == ((len(texts),), object)
    for ids, expected in zip(sequences, counts, strict=True):
        assert (ids.dtype, ids.ndim) == (np.int64, 1)
        known = {i: n for i, n in count(ids).items() if i > 0}
        assert known == {i + 1: n for i, n in enumerate(expected) if n > 0}


@each_setting
def test_ids_stand_in_the_order_of_the_tokens(parameters):
    vectorizer = SequenceVectorizer(**parameters).fit(TEXTS)
    analyze = CountVectorizer(**parameters).build_analyzer()
    for text, tokens in zip(UNSEEN, vectorizer.inverse_transform(vectorizer.transform(UNSEEN)), strict=True):
        expected = [token if token in vectorizer.vocabulary_ else "<unk>" for token in analyze(text)]
        assert tokens == (expected or ["<unk>"])


def test_known_tokens_are_numbered_in_sorted_order():
    vectorizer = SequenceVectorizer().fit(["to be or not to be"])
    assert vectorizer.vocabulary_ == {"be": 1, "not": 2, "or": 3, "to": 4}
    assert_array_equal(vectorizer.transform(["to be or not to be"])[0], [4, 1, 3, 2, 4, 1])


def test_tokens_outside_of_the_vocabulary_are_unknown():
    texts = ["aa bb", "aa cc", "aa cc"]
    assert_array_equal(SequenceVectorizer(min_df=2).fit_transform(texts)[0], [1, 0])
    assert_array_equal(SequenceVectorizer(max_features=1).fit_transform(texts)[1], [1, 0])
    assert_array_equal(SequenceVectorizer(max_df=2).fit_transform(texts)[2], [0, 2])
    assert_array_equal(SequenceVectorizer().fit(texts).transform(["zz cc zz"])[0], [0, 3, 0])


def test_stop_words_are_left_out_not_unknown():
    vectorizer = SequenceVectorizer(stop_words=["the"]).fit(["the cat", "the dog"])
    assert_array_equal(vectorizer.transform(["the cat the dog"])[0], [1, 2])


@pytest.mark.parametrize("text", ["", "?!", "  ", "a"])
def test_a_text_without_tokens_is_one_unknown_token(text):
    vectorizer = SequenceVectorizer().fit(["some words", text])
    assert_array_equal(vectorizer.transform([text])[0], [0])
    assert vectorizer.inverse_transform(vectorizer.transform([text])) == [["<unk>"]]


@pytest.mark.parametrize("analyzer", ["word", "char", str.split])
@pytest.mark.parametrize("max_length", [1, 3, 1000])
def test_the_first_tokens_are_kept(max_length, analyzer):
    whole = SequenceVectorizer(analyzer=analyzer).fit(TEXTS)
    cut = SequenceVectorizer(analyzer=analyzer, max_length=max_length).fit(TEXTS)
    assert cut.vocabulary_ == whole.vocabulary_
    for found, expected in zip(cut.transform(TEXTS), whole.transform(TEXTS), strict=True):
        assert_array_equal(found, expected[:max_length])


def test_a_given_vocabulary_keeps_its_order():
    vectorizer = SequenceVectorizer(vocabulary=["zebra", "ant"]).fit(["nothing of it"])
    assert vectorizer.vocabulary_ == {"zebra": 1, "ant": 2}
    assert_array_equal(vectorizer.transform(["an ant, a zebra"])[0], [0, 2, 1])


@each_setting
def test_the_vocabulary_of_another_gives_the_same_ids(parameters):
    first = SequenceVectorizer(**parameters).fit(TEXTS)
    second = clone(first).set_params(vocabulary=first.vocabulary_).fit(UNSEEN)
    assert second.vocabulary_ == first.vocabulary_
    for found, expected in zip(second.transform(TEXTS), first.transform(TEXTS), strict=True):
        assert_array_equal(found, expected)


def test_the_order_of_a_mapping_does_not_matter():
    assert_array_equal(
        SequenceVectorizer(vocabulary={"dog": 2, "cat": 1}).fit(["x"]).get_feature_names_out(), ["<unk>", "cat", "dog"]
    )


def test_tokens_may_be_other_things_than_text():
    """With a callable, documents and tokens are its own affair: here, pairs that are cut already."""
    documents = [[("cat", "N"), ("sat", "V")], [("dog", "N")]]
    vectorizer = SequenceVectorizer(analyzer=list).fit(documents)
    assert vectorizer.vocabulary_ == {("cat", "N"): 1, ("dog", "N"): 2, ("sat", "V"): 3}
    sequences = vectorizer.transform([[("dog", "N"), ("ran", "V"), ("cat", "N")]])
    assert_array_equal(sequences[0], [2, 0, 1])
    assert vectorizer.inverse_transform(sequences) == [[("dog", "N"), "<unk>", ("cat", "N")]]


def test_a_vocabulary_of_numbers():
    vectorizer = SequenceVectorizer(analyzer=list, vocabulary=[30, 10]).fit([[10, 20, 30]])
    assert_array_equal(vectorizer.transform([[10, 20, 30]])[0], [2, 0, 1])


@pytest.mark.parametrize(
    "as_form",
    [
        list,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: pd.Series(texts, index=range(9, 3, -1)),
        lambda texts: pd.Series(texts, dtype=object),
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pytest.importorskip("polars").Series(texts),
    ],
    ids=["list", "tuple", "array", "object array", "Series", "object Series", "categories", "polars"],
)
def test_forms_of_texts(as_form):
    expected = SequenceVectorizer().fit_transform(TEXTS)
    for found, ids in zip(SequenceVectorizer().fit_transform(as_form(TEXTS)), expected, strict=True):
        assert_array_equal(found, ids)


def test_no_text_no_sequence():
    assert SequenceVectorizer().fit(TEXTS).transform([]).shape == (0,)


# ---------------------------------------------------------------- back to tokens


def test_ids_become_tokens_in_every_form_of_sequences():
    vectorizer = SequenceVectorizer().fit(["be not or to"])
    expected = [["to", "be"], ["<unk>", "not"]]
    assert vectorizer.inverse_transform([[4, 1], [0, 2]]) == expected
    assert vectorizer.inverse_transform(np.array([[4, 1], [0, 2]])) == expected
    assert vectorizer.inverse_transform(np.array([[[4], [1]], [[0], [2]]], dtype=np.uint8)) == expected
    assert vectorizer.inverse_transform([np.array([4, 1]), np.array([[0], [2]])]) == expected


@pytest.mark.parametrize("ids", [[5], [-1], [1, 2, 100], [1.0], ["be"]])
def test_what_is_no_id_is_rejected(ids):
    vectorizer = SequenceVectorizer().fit(["be not or to"])
    with pytest.raises(ValueError, match=r"X\[1\] holds .* but ids are integers of 0 to 4"):
        vectorizer.inverse_transform([[1], ids])


# ---------------------------------------------------------------- what is rejected


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
def test_a_single_text_is_rejected_in_the_words_of_count_vectorizer(method):
    with pytest.raises(ValueError, match="Iterable over raw text documents expected, string object received") as theirs:
        getattr(CountVectorizer().fit(TEXTS), method)("one text")
    with pytest.raises(ValueError, match="Iterable over raw text documents expected, string object received") as ours:
        getattr(SequenceVectorizer().fit(TEXTS), method)("one text")
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("parameters", "texts"),
    [
        ({}, []),
        ({}, ["", "?!"]),
        ({"stop_words": ["the"]}, ["the the"]),
        ({"min_df": 2}, ["one", "two"]),
        ({"min_df": 3, "max_df": 1}, ["one", "two"]),
        ({"vocabulary": []}, ["one"]),
        ({"vocabulary": ["one", "one"]}, ["one"]),
        ({"token_pattern": r"(\w)(\w)"}, ["one"]),
    ],
)
def test_errors_of_the_vocabulary_are_those_of_count_vectorizer(parameters, texts):
    with pytest.raises(ValueError, match=r"\w") as theirs:
        CountVectorizer(**parameters).fit(texts)
    with pytest.raises(ValueError, match=r"\w") as ours:
        SequenceVectorizer(**parameters).fit(texts)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize("analyzer", ["word", "char"])
@pytest.mark.parametrize("what", [None, np.nan, pd.NA, 3, 2.5, b"bytes", ["two", "words"]], ids=repr)
def test_what_is_no_text_is_rejected(what, analyzer, method):
    vectorizer = SequenceVectorizer(analyzer=analyzer).fit(TEXTS)
    with pytest.raises(TypeError, match=rf"raw_documents\[1\] is .* of type {type(what).__name__}, but a text is a str"):
        getattr(vectorizer, method)(["text", what])


def test_missing_texts_of_series_are_rejected():
    with pytest.raises(TypeError, match=r"raw_documents\[1\] is .*leave out or fill what is missing"):
        SequenceVectorizer().fit(pd.Series(["text", None]))
    with pytest.raises(TypeError, match=r"raw_documents\[1\] is None"):
        SequenceVectorizer().fit(pytest.importorskip("polars").Series(["text", None]))


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (pd.DataFrame({"text": TEXTS}), r"of shape \(6, 1\)"),
        (np.array(TEXTS)[:, None], r"of shape \(6, 1\)"),
        (np.array("text"), r"of shape \(\)"),
        (iter(TEXTS), "a list_iterator"),
        (dict.fromkeys(TEXTS), "a dict"),
        (None, "a NoneType"),
        (5, "a int"),
    ],
    ids=["frame", "column", "0-D", "iterator", "dict", "None", "number"],
)
def test_what_is_no_list_of_texts_is_rejected(texts, found):
    """A frame would yield the names of its columns, and an iterator nothing the second time."""
    with pytest.raises(ValueError, match=f"raw_documents is {found}, but must be a list, 1-D array or Series of texts"):
        SequenceVectorizer().fit(texts)


@pytest.mark.parametrize(
    "vocabulary", [{"cat": 0, "dog": 1}, {"cat": 1, "dog": 1}, {"cat": 1, "dog": 3}, {"cat": 1, "dog": "2"}]
)
def test_ids_of_a_mapping_are_one_to_n(vocabulary):
    with pytest.raises(ValueError, match=r"vocabulary gives its 2 tokens the ids .* must be 1 to 2; 0 is the unknown token"):
        SequenceVectorizer(vocabulary=vocabulary).fit(TEXTS)


@pytest.mark.parametrize(
    "parameters", [{"stop_words": ["don't"]}, {"tokenizer": str.split}, {"analyzer": "char", "stop_words": ["the"]}], ids=str
)
def test_warnings_are_those_of_count_vectorizer(parameters):
    with pytest.warns(UserWarning, match=".") as theirs:
        CountVectorizer(**parameters).fit(TEXTS)
    with pytest.warns(UserWarning, match=".") as ours:
        vectorizer = SequenceVectorizer(**parameters).fit(TEXTS)
    assert [str(warning.message) for warning in ours] == [str(warning.message) for warning in theirs]
    vectorizer.transform(TEXTS)  # warns no more


def test_not_fitted():
    for method in ("transform", "inverse_transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError, match="This SequenceVectorizer instance is not fitted yet"):
            getattr(SequenceVectorizer(), method)(TEXTS)


# ---------------------------------------------------------------- scikit-learn's conventions


def test_is_checked_as_count_vectorizer_is():
    """scikit-learn feeds tables to its checks, and says so of what takes texts."""
    for vectorizer in (CountVectorizer(), SequenceVectorizer()):
        with pytest.warns(UserWarning, match="Can't test estimator .*Vectorizer which requires input  of type"):
            check_estimator(vectorizer)
    assert get_tags(SequenceVectorizer()).input_tags == get_tags(CountVectorizer()).input_tags


@pytest.mark.parametrize(
    "check",
    [
        check_do_not_raise_errors_in_init_or_set_params,
        check_estimator_cloneable,
        check_estimator_repr,
        check_get_params_invariance,
        check_mixin_order,
        check_no_attributes_set_in_init,
        check_param_validation,
        check_parameters_default_constructible,
        check_set_params,
        check_valid_tag_types,
    ],
)
def test_passes_the_check_of_scikit_learn_that_needs_no_table(check):
    check("SequenceVectorizer", SequenceVectorizer())


@each_setting
def test_defaults_and_parameters_are_those_of_count_vectorizer(parameters):
    theirs = CountVectorizer(**parameters).get_params()
    for name, value in SequenceVectorizer(**parameters).get_params().items():
        assert name == "max_length" or theirs[name] == value


def test_a_fitted_vectorizer_does_not_heed_new_parameters():
    vectorizer = SequenceVectorizer().fit(TEXTS)
    expected = vectorizer.transform(["The cat"])[0]
    assert_array_equal(vectorizer.set_params(analyzer="char").transform(["The cat"])[0], expected)


@each_setting
def test_clone_and_pickle(parameters):
    vectorizer = SequenceVectorizer(**parameters)
    expected = vectorizer.fit_transform(TEXTS)
    for other in (clone(vectorizer).fit(TEXTS), pickle.loads(pickle.dumps(vectorizer))):
        assert other.vocabulary_ == vectorizer.vocabulary_
        for found, ids in zip(other.transform(TEXTS), expected, strict=True):
            assert_array_equal(found, ids)


def test_skops():
    io = pytest.importorskip("skops.io")
    vectorizer = SequenceVectorizer(analyzer="char", max_length=5).fit(TEXTS)
    loaded = io.loads(io.dumps(vectorizer), trusted=["skrnn.preprocessing._text.SequenceVectorizer"])
    assert_array_equal(np.concatenate(loaded.transform(UNSEEN)), np.concatenate(vectorizer.transform(UNSEEN)))


def test_sequences_are_never_made_a_frame():
    pipeline = make_pipeline(SequenceVectorizer()).set_output(transform="pandas")
    assert type(pipeline.fit_transform(TEXTS)) is np.ndarray
    assert_array_equal(pipeline.get_feature_names_out(), SequenceVectorizer().fit(TEXTS).get_feature_names_out())


def test_a_column_of_a_frame_is_given_by_its_name():
    """ColumnTransformer passes a column that is named, not listed, as a Series."""
    received = []

    class Recorder(SequenceVectorizer):
        def transform(self, raw_documents):
            received.append(raw_documents)
            return np.array([[len(ids)] for ids in super().transform(raw_documents)])

    columns = ColumnTransformer([("text", Recorder(), "text")])
    columns.fit_transform(pd.DataFrame({"text": TEXTS, "year": range(6)}))
    assert type(received[0]) is pd.Series


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_in_a_grid_search_over_a_pipeline():
    network = RNNClassifier(hidden_layer_sizes=4, max_iter=30, learning_rate_init=0.05, random_state=0)
    one_hot = PerStep(OneHotEncoder(handle_unknown="ignore"))
    pipeline = make_pipeline(SequenceVectorizer(analyzer="char"), one_hot, network)
    grid = {"sequencevectorizer__max_length": [1, None], "sequencevectorizer__min_df": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(SYMBOLS, Y)
    assert search.score(SYMBOLS, Y) == 1
    assert_array_equal(search.predict(["abba", "dccd"]), [0, 1])
    assert search.predict(["", "zzz"]).shape == (2,)
