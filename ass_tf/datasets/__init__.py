"""Data sets: how their files lie, which part serves for what, decoding, and batches."""

from ass_tf.datasets.checking import check
from ass_tf.datasets.domain import DataError, Domain, Pair
from ass_tf.datasets.finding import open_domain, open_photographs
from ass_tf.datasets.roles import ROLES, labelled_subset, open_roles, spread, unmatched

__all__ = [
    "ROLES",
    "DataError",
    "Domain",
    "Pair",
    "check",
    "labelled_subset",
    "open_domain",
    "open_photographs",
    "open_roles",
    "spread",
    "unmatched",
]
