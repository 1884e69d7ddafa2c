"""Tales of the Brothers Grimm, in English."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params


@validate_params(  # type: ignore[untyped-decorator]  # scikit-learn has no stubs
    {"return_X_y": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_grimm_tales(*, return_X_y: bool = False) -> Bunch | tuple[npt.NDArray[np.object_], npt.NDArray[Any]]:
    """Load tales of the Brothers Grimm (text, for models of characters and for classification).

    The tales are in English, in translations that are in the public domain. Each has its place in the index of
    Aarne, Thompson and Uther (ATU), which sorts folktales by their plot [2]_. The data ship with the package;
    nothing is downloaded.

    ====================  ===========================================================
    Tales                 49
    Characters            380850 in all, 1179 to 19445 in a tale, 69 different ones
    Classes               5 topics of the ATU index
    Tales per class       26, 13, 5, 4 and 1
    ====================  ===========================================================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the attributes:

        data : ndarray of shape (n_tales,) and dtype object
            Each member is a str: the text of one tale, without its title. There are no line breaks; two or more
            spaces stand between paragraphs and between lines of verse. The quotation marks are typographic, and
            the closing single one is the apostrophe as well.
        target : ndarray of shape (n_tales,) and dtype str
            The topic of the tale, which is the uppermost level of the ATU index.
        title : ndarray of shape (n_tales,) and dtype str
            The titles. The tales are sorted by them.
        atu_type : ndarray of shape (n_tales,) and dtype str
            The level of the ATU index below the topic, of which there are 18.
        atu_number : ndarray of shape (n_tales,) and dtype str
            The number of the tale in the ATU index; some have a letter, as ``"510A"`` has.
        target_names : list of str
            The names of the 5 classes, sorted.
        DESCR : str
            The full description of the data, with its source and licence.

    (data, target) : tuple of ndarray
        The two arrays above, if ``return_X_y`` is True.

    Raises
    ------
    ValueError
        If ``return_X_y`` is not a bool.

    References
    ----------
    .. [1] J. Grimm and W. Grimm (1812-1857). "Kinder- und Hausmärchen". Translated by E. Taylor and M. Edwardes,
       and by M. Hunt (1884).
    .. [2] H.-J. Uther (2004). "The types of international folktales". FF Communications 284-286, Academia
       Scientiarum Fennica, Helsinki.

    Examples
    --------
    >>> from skrnn.datasets import load_grimm_tales
    >>> tales = load_grimm_tales()
    >>> str(tales.title[16]), str(tales.target[16])
    ('Rumpelstiltskin', 'Tales of Magic')
    >>> tales.data[16][:66]
    'By the side of a wood, in a country a long way off, ran a fine str'

    As numbers, which is what a model of characters needs:

    >>> import numpy as np
    >>> characters, codes = np.unique(list("".join(tales.data)), return_inverse=True)
    >>> characters.shape, codes.shape
    ((69,), (380850,))
    """
    folder = files("skrnn.datasets") / "data"
    with (folder / "grimm_tales.json.gz").open("rb") as file, gzip.open(file, "rt", encoding="utf-8") as text:
        tales = json.load(text)
    data = np.array([tale["text"] for tale in tales], dtype=object)
    target = np.array([tale["atu_topic"] for tale in tales])
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        title=np.array([tale["title"] for tale in tales]),
        atu_type=np.array([tale["atu_type"] for tale in tales]),
        atu_number=np.array([tale["atu_number"] for tale in tales]),
        target_names=sorted(set(target.tolist())),
        DESCR=(folder / "grimm_tales.rst").read_text(encoding="utf-8"),
    )
