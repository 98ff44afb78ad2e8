"""Which part of the data serves for what: source, labelled and unlabelled target, validation."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ass_tf.config import Config, schema
from ass_tf.config.layouts import LAYOUTS
from ass_tf.datasets.class_tables import nearest
from ass_tf.datasets.domain import DataError, Domain
from ass_tf.datasets.finding import listed, open_domain, why_no_label
from ass_tf.system import terminal

ROLES = ("source", "labelled", "unlabelled", "validation")


def spread(items: Sequence[Any], count: int) -> Sequence[Any]:
    """At most `count` of the items, evenly spread.

    Example:
        >>> spread("abcdefg", 3)
        'adg'
    """
    return items[:: max(1, -(-len(items) // count))]


def unmatched(domains: Mapping[str, Domain], classes: Sequence[str]) -> list[str]:
    """Notes for the time before training: what does not fit together, but may be meant.

    Args:
        domains: role -> Domain.
        classes: the class set.

    Returns:
        lines: on classes that no label of a domain can give, with the nearest name that its labels have, where one is
            near; on images that are validated on and trained on with their labels.
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
    validated = (
        {os.path.abspath(pair.image) for pair in domains["validation"].pairs} if "validation" in domains else set()
    )
    for role in ("source", "labelled"):
        trained = {os.path.abspath(pair.image) for pair in domains[role].pairs} if role in domains else set()
        if both := len(trained & validated):
            lines.append(f"validation: {both} of its {len(validated)} images are trained on, too, in {role}.")
    return lines


def labelled_subset(domain: Domain, target: schema.Target) -> Domain:
    """Part of a domain whose labels may be used.

    Args:
        domain: Domain. Labels may be missing.
        target: section of the settings: how many pairs, drawn among those with a label, or which. A smaller draw is
            part of a larger one.

    Returns:
        subset: Domain. Every pair has a label.

    Raises:
        DataError: a chosen pair has no label, there are fewer than `labelled`, or the list cannot be used.
    """
    layout = LAYOUTS[domain.dataset]
    if not any(pair.label for pair in domain.pairs):
        raise DataError(why_no_label(domain.label_folder, layout, domain.pairs[0].name))
    labelled = target.labelled
    if target.labelled_list is not None:
        pairs = listed(domain.pairs, target.labelled_list)
    elif labelled == "all":
        pairs = domain.pairs
    else:
        pairs = tuple(pair for pair in domain.pairs if pair.label is not None)
        if not 1 <= labelled <= len(pairs):
            rule = f"target.labelled must be from 1 to {len(pairs)}, the images with a label in {domain.label_folder}"
            raise DataError(f"{rule}. Received: {labelled}.")
        # A hash ranks the names, so that the draw depends on no library's generator.
        rank = {pair.name: hashlib.sha256(f"{target.labelled_seed}:{pair.name}".encode()).digest() for pair in pairs}
        drawn = set(sorted(rank, key=rank.__getitem__)[:labelled])
        pairs = tuple(pair for pair in pairs if pair.name in drawn)
    for pair in pairs:
        if pair.label is None:
            rule = "target.labelled must be a number where some images have none"
            if target.labelled_list is not None:
                rule = "target.labelled_list must name images that have one"
            label = f"{domain.label_folder}/{layout.label_of(pair.name)}{layout.label_tails[0]}"
            raise DataError(f"{pair.image}: its label {label} is missing; {rule}.")
    return dataclasses.replace(domain, pairs=pairs)


def open_roles(config: Config, only: Sequence[str] | None = None) -> dict[str, Domain]:
    """The domains that a run reads.

    Args:
        config: the settings.
        only: those of ROLES to open if the settings have them, even if the method reads none; default: all that it
            reads.

    Returns:
        domains: by role. The unlabelled part has no label paths, so no label can leak.

    Raises:
        DataError: see `open_domain` and `labelled_subset`.
    """
    used = {
        "source": config.uses_source,
        "labelled": config.uses_labelled,
        "unlabelled": config.uses_unlabelled,
        "validation": config.validation is not None,
    }
    there = {**used, "source": True, "unlabelled": True}
    wanted = [role for role in ROLES if (used[role] if only is None else role in only and there[role])]
    domains: dict[str, Domain] = {}
    if "source" in wanted:
        domains["source"] = open_domain(config.class_names, config.source)
    if {"labelled", "unlabelled"} & set(wanted):
        whole = open_domain(config.class_names, config.target, require_labels=False)
        if "labelled" in wanted:
            domains["labelled"] = labelled_subset(whole, config.target)
        if "unlabelled" in wanted:
            pairs = tuple(dataclasses.replace(pair, label=None) for pair in whole.pairs)
            domains["unlabelled"] = dataclasses.replace(whole, pairs=pairs)
    if "validation" in wanted and config.validation:
        domains["validation"] = open_domain(config.class_names, config.validation)
    return domains
