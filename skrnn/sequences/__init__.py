"""What users pass becomes one ragged container; batches of it are packed time-major for the network.

Axis 0 of every accepted form is the sequence:

* an array (n_sequences, n_timesteps, n_features);
* a list or 1-D object array of (n_timesteps_i, n_features) arrays, sequences of unequal length; 1-D members are univariate;
* a 2-D array or frame (n_sequences, n_columns), each row one flattened sequence of ``n_features_per_step`` features a step.

Other layouts are never guessed; the functions ``from_...`` and ``to_...`` convert them.
"""

from __future__ import annotations

from ._batch import Batch
from ._container import Sequences, concatenate_steps, split_steps
from ._converters import from_channels_first, from_packed, from_padded, to_channels_first, to_packed, to_padded
from ._frames import from_long, from_nested, to_long, to_nested
from ._kinds import as_floats as as_floats  # these are for the estimators alone
from ._kinds import as_numbers as as_numbers
from ._kinds import check_unmasked as check_unmasked
from ._kinds import is_missing as is_missing
from ._validation import check_not_steps as check_not_steps
from ._validation import check_sequences, check_steps
from ._validation import check_tokens as check_tokens
from ._validation import is_ready as is_ready
from ._validation import is_stepwise as is_stepwise

__all__ = [
    "Batch",
    "Sequences",
    "check_sequences",
    "check_steps",
    "concatenate_steps",
    "from_channels_first",
    "from_long",
    "from_nested",
    "from_packed",
    "from_padded",
    "split_steps",
    "to_channels_first",
    "to_long",
    "to_nested",
    "to_packed",
    "to_padded",
]
