"""The domains that a method reads: source, labelled and unlabelled target, validation.

Finding files is left to `layouts`, opening and checking them to `files`, resizing, order and batches to `pipeline`.

    python -m ass_tf.datasets CONFIG [--set KEY=VALUE]   decode every file, then print what there is
    python -m ass_tf.datasets CONFIG --list labelled     names, one a line, for use as a list file
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ass_tf.datasets.files import DataError, Domain, Pair, check
from ass_tf.datasets.layouts import PHOTOGRAPHS, listed, nearest, open_domain, open_photographs, why_no_label
from ass_tf.system import terminal

__all__ = ["PHOTOGRAPHS", "DataError", "Domain", "Pair", "check", "open_domain", "open_photographs"]

ROLES = ("source", "labelled", "unlabelled", "validation")


def spread(items: Sequence[Any], count: int) -> Sequence[Any]:
    """At most `count` of the items, evenly spread."""
    return items[:: max(1, -(-len(items) // count))]


def unmatched(domains: Mapping[str, Domain], classes: Sequence[str]) -> list[str]:
    """What to tell before training of classes that no label of a domain can give, one line each.

    Args:
        domains: role -> Domain.
        classes: the class set.

    Returns:
        lines: with the nearest name that the domain's labels have, where one is near.
    """
    lines = []
    for role, domain in domains.items():
        if not any(pair.label for pair in domain.pairs):
            continue
        given = {classes[train_id] for train_id in np.unique(domain.table) if train_id < len(classes)}
        absent = [name for name in classes if name not in given]
        near = {name: nearest(name, [n for n in domain.raw_names if n not in given]) for name in absent}
        lines += [f"{role}: no label can give the class {name}{text}." for name, text in near.items() if text]
        if rest := [name for name in absent if not near[name]]:
            lines.append(f"{role}: no label can give {terminal.some(rest)}.")
    return lines


def labelled_subset(
    domain: Domain, labelled: int | Literal["all"], labelled_seed: int, labelled_list: str | None
) -> Domain:
    """Part of a domain whose labels may be used.

    Args:
        domain: Domain. Labels may be missing.
        labelled: number of pairs, drawn among those with a label, or "all". A smaller draw is part of a larger one.
        labelled_seed: seed of the draw.
        labelled_list: file that names the pairs instead, or None.

    Returns:
        subset: Domain. Every pair has a label.

    Raises:
        DataError: a chosen pair has no label, there are fewer than `labelled`, or the list cannot be used.
    """
    if not any(pair.label for pair in domain.pairs):
        raise DataError(why_no_label(domain.label_folder, domain.label_tail, domain.pairs[0].name))
    if labelled_list is not None:
        pairs = listed(domain.pairs, labelled_list)
    elif labelled == "all":
        pairs = domain.pairs
    else:
        pairs = tuple(pair for pair in domain.pairs if pair.label is not None)
        if not 1 <= labelled <= len(pairs):
            rule = f"target.labelled must be from 1 to {len(pairs)}, the images with a label in {domain.label_folder}"
            raise DataError(f"{rule}. Received: {labelled}.")
        # A hash ranks the names, so that the draw depends on no library's generator.
        rank = {pair.name: hashlib.sha256(f"{labelled_seed}:{pair.name}".encode()).digest() for pair in pairs}
        drawn = set(sorted(rank, key=rank.__getitem__)[:labelled])
        pairs = tuple(pair for pair in pairs if pair.name in drawn)
    for pair in pairs:
        if pair.label is None:
            rule = "target.labelled must be a number where some images have none"
            if labelled_list is not None:
                rule = "target.labelled_list must name images that have one"
            label = domain.label_folder / (pair.name + domain.label_tail)
            raise DataError(f"{pair.image}: its label {label} is missing; {rule}.")
    return dataclasses.replace(domain, pairs=pairs)


def open_roles(
    classes: Sequence[str],
    source: Mapping[str, Any] | None,
    target: Mapping[str, Any],
    validation: Mapping[str, Any] | None,
    uses_labelled: bool,
    uses_unlabelled: bool,
) -> dict[str, Domain]:
    """The domains that a method reads.

    Args:
        classes: the class set.
        source, target, validation: sections of the settings as plain values; None: not read.
        uses_labelled, uses_unlabelled: which parts of the target are read.

    Returns:
        domains: those of ROLES that are read. The unlabelled part has no label paths, so no label can leak.

    Raises:
        DataError: see `open_domain` and `labelled_subset`.
    """
    domains: dict[str, Domain] = {}
    if source is not None:
        domains["source"] = open_domain(classes, **source)
    draw = {key: value for key, value in target.items() if key.startswith("labelled")}
    if uses_labelled or uses_unlabelled:
        whole = open_domain(classes, **{k: v for k, v in target.items() if k not in draw}, require_labels=False)
        if uses_labelled:
            domains["labelled"] = labelled_subset(whole, **draw)
        if uses_unlabelled:
            pairs = tuple(dataclasses.replace(pair, label=None) for pair in whole.pairs)
            domains["unlabelled"] = dataclasses.replace(whole, pairs=pairs)
    if validation is not None:
        domains["validation"] = open_domain(classes, **validation)
    return domains
