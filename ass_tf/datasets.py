"""The domains that a method reads: source, labelled and unlabelled target, validation.

Finding files is left to `layouts`, opening and checking them to `files`, resizing, order and batches to `pipeline`.

    python -m ass_tf.datasets CONFIG [--set KEY=VALUE]   decode every file, then print what there is
    python -m ass_tf.datasets CONFIG --list labelled     names, one a line, for use as a list file
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ass_tf import terminal
from ass_tf.files import DataError, Domain, Pair, check, read_label
from ass_tf.layouts import PHOTOGRAPHS, listed, nearest, open_domain, open_photographs, why_no_label

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


def _shares(domain: Domain, count: int) -> np.ndarray:
    """Share of the pixels of each train id, and of all others, over up to 50 label files; float64 (count + 1,)."""
    paths = [pair.label for pair in domain.pairs if pair.label]
    totals = np.zeros(256, np.int64)
    for path in paths[:: -(-len(paths) // 50) or 1]:
        totals += np.bincount(domain.table[read_label(path, domain.dataset)].ravel(), minlength=256)
    return np.append(totals[:count], totals[count:].sum()) / max(totals.sum(), 1)


def _describe(domains: Mapping[str, Domain], sizes: Mapping[str, collections.Counter], classes: Sequence[str]) -> None:
    print(f"{'domain':<12}{'images':>8}{'labels':>8}  sizes found (height x width: images)")
    for role, domain in domains.items():
        found = ", ".join(f"{h} x {w}: {n}" for (h, w), n in sizes[role].most_common(5))
        more = f" and {len(sizes[role]) - 5} more" if len(sizes[role]) > 5 else ""
        print(f"{role:<12}{len(domain.pairs):>8}{sum(p.label is not None for p in domain.pairs):>8}  {found}{more}")
    shares = {role: _shares(domain, len(classes)) for role, domain in domains.items() if domain.pairs[0].label}
    width = max(len(name) for name in (*classes, "share of pixels")) + 2
    print(f"\n{'share of pixels':<{width}}" + "".join(f"{role:>12}" for role in shares))
    for row, name in enumerate((*classes, "(ignored)")):
        print(f"{name:<{width}}" + "".join(f"{share[row]:>12.2%}" for share in shares.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    from ass_tf import config  # settings are seen by command lines only

    parser = argparse.ArgumentParser(prog="python -m ass_tf.datasets", description="Check the data of a settings file.")
    parser.add_argument("file", type=terminal.path, metavar="CONFIG", help="a settings file")
    parser.add_argument("--set", action="append", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--list", choices=("source", "target", "labelled", "validation"), help="print the image names")
    options = parser.parse_args(arguments)
    try:
        settings = config.load(options.file, [w for words in options.set for w in words])
    except config.ConfigError as error:
        return terminal.complain(error, 2)

    def section(key: str, used: bool) -> dict[str, Any] | None:
        value = getattr(settings, key)
        return value.model_dump() if value is not None and used else None

    only = options.list
    try:
        domains = open_roles(
            settings.class_names,
            section("source", settings.uses_source if only is None else only == "source"),
            settings.target.model_dump(),
            section("validation", only in (None, "validation")),
            settings.uses_labelled and only in (None, "labelled"),
            settings.uses_unlabelled if only is None else only == "target",
        )
        if only is not None:
            if not domains:
                raise DataError(f"{only} must be part of the settings to be listed. Received: {options.file}.")
            print(*(pair.name for domain in domains.values() for pair in domain.pairs), sep="\n")
            return 0
        with terminal.show_progress("check") as progress:
            sizes = check(domains, progress)
    except DataError as error:
        return terminal.complain(error, 1)
    _describe(domains, sizes, settings.class_names)
    for line in unmatched(domains, settings.class_names):
        print(f"note: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
