"""Data sets: how their files lie, which part serves for what, decoding, and batches."""

from ass_tf.datasets.balance import class_weights, sampling_table
from ass_tf.datasets.checking import Facts, check
from ass_tf.datasets.domain import DataError, Domain, Pair
from ass_tf.datasets.finding import open_domain, open_photographs
from ass_tf.datasets.roles import ROLES, labelled_subset, open_roles, spread, unmatched

__all__ = [
    "ROLES",
    "DataError",
    "Domain",
    "Facts",
    "Pair",
    "check",
    "class_weights",
    "labelled_subset",
    "open_domain",
    "open_photographs",
    "open_roles",
    "sampling_table",
    "spread",
    "unmatched",
]
