"""``SequenceVectorizer``: texts become sequences of token ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from numbers import Integral
from operator import itemgetter
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._base import SequenceTransformer

#: what stands for the unknown token where ids become text again
UNKNOWN = "<unk>"


class SequenceVectorizer(SequenceTransformer, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no stubs
    r"""Convert texts to sequences of token ids.

    Texts are cut into words or characters, and the vocabulary is chosen, by scikit-learn's ``CountVectorizer``, whose
    parameters these are. Where it counts the tokens of a text, this keeps their order.

    Id 0 is the unknown token, which stands for all tokens outside of the vocabulary. A text without any token becomes one
    unknown token, as a sequence has at least one step.

    Parameters
    ----------
    analyzer : {"word", "char"} or callable, default="word"
        Whether tokens are words or characters. A callable takes a text and returns its tokens; all of ``lowercase``,
        ``strip_accents``, ``tokenizer``, ``token_pattern`` and ``stop_words`` are then ignored, and a text may be whatever the
        callable takes.

    lowercase : bool, default=True
        Convert texts to lower case first.

    strip_accents : {"ascii", "unicode"}, callable or None, default=None
        Remove accents first: "ascii" handles characters that have an ASCII equivalent, "unicode" any.

    tokenizer : callable or None, default=None
        Takes a text and returns its words, in place of ``token_pattern``. Only used with ``analyzer="word"``.

    token_pattern : str or None, default=r"(?u)\b\w\w+\b"
        Regular expression of a word. The default takes words of two and more letters or digits and leaves out all other
        characters; ``r"\w+|[^\w\s]"`` takes words of one letter and punctuation too. Only used with ``analyzer="word"``.

    stop_words : {"english"}, list of str or None, default=None
        Words that are left out, as if the text did not have them. Only used with ``analyzer="word"``.

    max_df : float in [0, 1] or int, default=1.0
        Largest number of texts, or share of them, in which a token of the vocabulary occurs.

    min_df : float in [0, 1] or int, default=1
        Smallest number of texts, or share of them, in which a token of the vocabulary occurs.

    max_features : int or None, default=None
        Largest number of tokens in the vocabulary; the most frequent ones are taken.

    vocabulary : iterable of tokens, mapping of tokens to ids or None, default=None
        The vocabulary, to which ``max_df``, ``min_df`` and ``max_features`` are not applied. Tokens have the ids 1, 2, ... in
        their order; those of a set are sorted. A mapping gives its n tokens the ids 1 to n, as ``vocabulary_`` does.

    max_length : int or None, default=None
        Keep no more than so many tokens at the beginning of each text. The vocabulary is learned from whole texts.

    Attributes
    ----------
    vocabulary_ : dict of token -> int
        The id of each known token, 1 to ``n_tokens_ - 1``, in sorted order of the tokens unless ``vocabulary`` is given.

    n_tokens_ : int
        Number of ids, that of the unknown token included.

    vectorizer_ : CountVectorizer
        The fitted vectorizer that texts are cut by.

    See Also
    --------
    sklearn.feature_extraction.text.CountVectorizer : Counts of tokens, without their order.
    sklearn.feature_extraction.text.TfidfVectorizer : Weighted counts; with a linear model, the baseline for texts.

    Notes
    -----
    Ids are names, not quantities. ``PerStep(OneHotEncoder(handle_unknown="ignore"))`` makes a feature of each, which is
    affordable for characters.

    With ``min_df=1`` and no bound on the vocabulary, no training text has an unknown token, so a model learns nothing about
    it. ``min_df=2`` lets the words that occur in one training text only stand for those to come.

    Examples
    --------
    >>> from skrnn.preprocessing import SequenceVectorizer
    >>> vectorizer = SequenceVectorizer().fit(["the cat sat", "the cat ran away"])
    >>> vectorizer.vocabulary_
    {'away': 1, 'cat': 2, 'ran': 3, 'sat': 4, 'the': 5}
    >>> X = vectorizer.transform(["the dog ran", ""])
    >>> list(X)
    [array([5, 0, 3]), array([0])]
    >>> vectorizer.inverse_transform(X)
    [['the', '<unk>', 'ran'], ['<unk>']]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: CountVectorizer._parameter_constraints[name]
            for name in (
                "lowercase",
                "strip_accents",
                "tokenizer",
                "token_pattern",
                "stop_words",
                "max_df",
                "min_df",
                "max_features",
                "vocabulary",
            )
        },
        "analyzer": [StrOptions({"word", "char"}), callable],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        *,
        analyzer: str | Callable[[Any], Iterable[Any]] = "word",
        lowercase: bool = True,
        strip_accents: str | Callable[[str], str] | None = None,
        tokenizer: Callable[[str], Iterable[Any]] | None = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        stop_words: str | list[str] | None = None,
        max_df: float = 1.0,
        min_df: float = 1,
        max_features: int | None = None,
        vocabulary: Mapping[Any, int] | Iterable[Any] | None = None,
        max_length: int | None = None,
    ) -> None:
        self.analyzer = analyzer
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.stop_words = stop_words
        self.max_df = max_df
        self.min_df = min_df
        self.max_features = max_features
        self.vocabulary = vocabulary
        self.max_length = max_length

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    def fit(self, raw_documents: Any, y: Any = None) -> Self:  # noqa: ARG002  # the names are scikit-learn's
        """Learn the vocabulary.

        Parameters
        ----------
        raw_documents : list, 1-D array or Series of str
            Texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : SequenceVectorizer
            Fitted.

        Raises
        ------
        ValueError
            If ``raw_documents`` is a single text or has more than one column, or the vocabulary would be empty.
        TypeError
            If a text is not a str.
        """
        self._check(raw_documents)
        parameters = self.get_params(deep=False)
        del parameters["max_length"]
        if callable(self.analyzer):
            parameters["lowercase"] = False  # not used, but CountVectorizer looks for capitals in a given vocabulary
        if isinstance(self.vocabulary, Mapping):
            ids = list(self.vocabulary.values())
            if set(ids) != set(range(1, len(ids) + 1)):
                raise ValueError(
                    f"vocabulary gives its {len(ids)} tokens the ids {ids[:10]}, but they must be 1 to {len(ids)}; 0 is the "
                    "unknown token."
                )
            parameters["vocabulary"] = {token: index - 1 for token, index in self.vocabulary.items()}
        self.vectorizer_ = CountVectorizer(**parameters).fit(raw_documents)
        in_order = sorted(self.vectorizer_.vocabulary_.items(), key=itemgetter(1))
        self.vocabulary_ = {token: int(index) + 1 for token, index in in_order}
        self.n_tokens_ = len(in_order) + 1
        return self

    def transform(self, raw_documents: Any) -> NDArray[np.object_]:
        """Convert each text to the ids of its tokens.

        Parameters
        ----------
        raw_documents : list, 1-D array or Series of str
            Texts.

        Returns
        -------
        X : ndarray of shape (n_documents,) and dtype object
            Member ``i`` is an array of int64 of shape ``(n_tokens_i,)``.

        Raises
        ------
        ValueError, TypeError
            As ``fit``.
        """
        check_is_fitted(self)
        self._check(raw_documents)
        analyze, ids = self.vectorizer_.build_analyzer(), self.vocabulary_
        X = np.empty(len(raw_documents), dtype=object)
        for i, document in enumerate(raw_documents):
            tokens = islice(analyze(document), self.max_length)
            X[i] = np.array([ids.get(token, 0) for token in tokens] or [0], dtype=np.int64)
        return X

    def inverse_transform(self, X: Any) -> list[list[Any]]:
        """Convert ids to tokens.

        Parameters
        ----------
        X : array of shape (n_documents, n_tokens), or list or object array of (n_tokens_i,) arrays of int
            Ids, such as ``transform`` returns.

        Returns
        -------
        documents : list of list of tokens
            "<unk>" stands for each unknown token.

        Raises
        ------
        ValueError
            If there is an id that is not an integer of 0 to ``n_tokens_ - 1``.
        """
        tokens = self.get_feature_names_out()
        documents = []
        for i, member in enumerate(X):
            ids = np.asarray(member).ravel()
            if ids.dtype.kind not in "iu" or ids.min(initial=0) < 0 or ids.max(initial=0) >= self.n_tokens_:
                raise ValueError(f"X[{i}] holds {ids[:10]}, but ids are integers of 0 to {self.n_tokens_ - 1}.")
            documents.append(tokens[ids].tolist())
        return documents

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002  # scikit-learn's name
        """Return the token of each id.

        Parameters
        ----------
        input_features : object, default=None
            Ignored.

        Returns
        -------
        tokens : ndarray of shape (``n_tokens_``,) and dtype object
            Entry ``i`` is the token of id ``i``; "<unk>", the unknown token, is the first.
        """
        check_is_fitted(self)
        return np.fromiter([UNKNOWN, *self.vocabulary_], dtype=object)

    def _check(self, raw_documents: Any) -> None:
        """Raise for anything but a sequence of texts, such as a frame, which would yield the names of its columns."""
        if isinstance(raw_documents, str):
            raise ValueError("Iterable over raw text documents expected, string object received.")  # scikit-learn's words
        shape = getattr(raw_documents, "shape", None)
        if (len(shape) != 1) if shape is not None else not isinstance(raw_documents, Sequence):
            found = f"of shape {shape}" if shape is not None else f"a {type(raw_documents).__name__}"
            raise ValueError(
                f"raw_documents is {found}, but must be a list, 1-D array or Series of texts. Pass one column of a frame, and "
                "a list in place of an iterator."
            )
        for i, document in enumerate(() if callable(self.analyzer) else raw_documents):
            if not isinstance(document, str):
                raise TypeError(
                    f"raw_documents[{i}] is {document!r} of type {type(document).__name__}, but a text is a str. Decode bytes, "
                    "and leave out or fill what is missing."
                )

    def __sklearn_tags__(self) -> Any:
        """Say that texts are expected, not a table."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
