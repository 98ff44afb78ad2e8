"""Data sets: how their files lie, which part serves for what, decoding, and batches."""

from ass_tf.datasets.files import DataError, Domain, Pair, check
from ass_tf.datasets.layouts import PHOTOGRAPHS, open_domain, open_photographs
from ass_tf.datasets.roles import ROLES, labelled_subset, open_roles, spread, unmatched

__all__ = [
    "PHOTOGRAPHS",
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
