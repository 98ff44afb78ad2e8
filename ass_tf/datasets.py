"""Which files a domain has, by layout: gta5, synthia, cityscapes, camvid and a user's own folders.

Opening files and checking them is left to `files`, resizing, order and batches to `pipeline`.

    python -m ass_tf.datasets CONFIG [--set KEY=VALUE]   decode every file, then print what there is
    python -m ass_tf.datasets CONFIG --list labelled     names, one a line, for use as a list file
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ass_tf import labels, terminal
from ass_tf.files import DataError, Domain, Pair, check, read_label

PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ROLES = ("source", "labelled", "unlabelled", "validation")


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}.") from None
    except ValueError as error:
        raise DataError(f"{file}: no valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise DataError(f"{file}: the file must hold a JSON object. Received: {type(value).__name__}.")
    return value


def _folder_table(classes: Sequence[str], class_file: Path, mapping: Path | None) -> np.ndarray:
    """Raw id -> train id from a user's two JSON files; arguments and errors as `open_domain`."""
    raw: dict[int, str | None] = {}
    for key, name in _read_object(class_file).items():
        if not (key.isascii() and key.isdecimal() and int(key) < 65536):
            raise DataError(f"{class_file}: an id must be an integer from 0 to 65535. Received: {key}.")
        if not isinstance(name, str | None):
            raise DataError(
                f"{class_file}: the name of id {key} must be a string or null. Received: {json.dumps(name)}."
            )
        raw[int(key)] = name
    renamed: dict[str, str | None] = {}
    for name, to in (_read_object(mapping) if mapping else {}).items():
        if name not in raw.values():
            raise DataError(f"{mapping}: a key must be a class of {class_file}. Received: {name}.")
        if type(to) is int and 0 <= to < len(classes):
            to = classes[to]
        if to is not None and to not in classes:
            rule = f"must map to a name in classes, a train id from 0 to {len(classes) - 1}, or null"
            raise DataError(f"{mapping}: {name} {rule}. Received: {json.dumps(to)}.")
        renamed[name] = to
    table = labels.lookup_table({raw_id: renamed.get(name, name) for raw_id, name in raw.items()}, classes)
    if not (table < len(classes)).any():
        raise DataError(f"{class_file}: some name must be one of classes; `mapping` can say which. Received: none.")
    return table


def _walk(folder: Path) -> Iterator[str]:
    """Files below a folder, links followed, as posix paths relative to it."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    for parent, _, files in os.walk(folder, followlinks=True):
        above = Path(parent).relative_to(folder)
        yield from ((above / file).as_posix() for file in files if not file.startswith("."))


def _pairs(image_folder: Path, label_folder: Path, image_tails: Sequence[str], label_tail: str, require_labels: bool):
    """Pairs by name: an image's path below its folder without the tail; its label is that name with the other tail."""
    images: dict[str, Path] = {}
    for file in _walk(image_folder):
        tail = next((tail for tail in image_tails if file.lower().endswith(tail.lower())), None)
        if tail is None:
            continue
        name = file[: -len(tail)]
        if name in images:
            raise DataError(f"{image_folder / file}: {images[name].name} has the same name.")
        images[name] = image_folder / file
    if not images:
        raise DataError(f"{image_folder}: holds no image named *{' or *'.join(image_tails)}.")
    present = set(_walk(label_folder)) if require_labels or label_folder.is_dir() else set()
    pairs = []
    for name, image in sorted(images.items()):
        label = label_folder / (name + label_tail) if name + label_tail in present else None
        if label is None and require_labels:
            raise DataError(f"{image}: its label {label_folder / (name + label_tail)} is missing.")
        pairs.append(Pair(name, image, label))
    return tuple(pairs)


def _listed(pairs: Iterable[Pair], file: str) -> tuple[Pair, ...]:
    """The pairs that a list file names."""
    try:
        names = {line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()}
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}.") from None
    except ValueError as error:
        raise DataError(f"{file}: no text in UTF-8: {error}.") from None
    kept = tuple(pair for pair in pairs if pair.name in names)
    unknown = sorted(names - {pair.name for pair in kept})
    if unknown or not kept:
        raise DataError(
            f"{file}: each line must name an image. Received: {unknown[0] if unknown else 'an empty file'}."
        )
    return kept


def open_domain(
    classes: Sequence[str],
    *,
    dataset: Literal["gta5", "synthia", "cityscapes", "camvid", "folder"],
    root: str,
    size: tuple[int, int],
    split: str,
    images: str,
    labels: str,
    class_file: str | None,
    mapping: str | None,
    list: str | None,
    require_labels: bool = True,
) -> Domain:
    """Finds a data set's files.

    Args:
        classes: the class set, in the order of the train ids.
        dataset, root, size, split, images, labels, class_file, mapping, list: as in `schema.Domain`.
        require_labels: whether each image must have a label; without, a label that is missing is None.

    Returns:
        domain: Domain.

    Raises:
        DataError: a folder, file or label is missing, or a JSON or list file cannot be used.
    """
    top = Path(root)
    if not top.is_dir():
        raise DataError(f"{top}: no such folder.")
    layout: tuple[Path, Path, Sequence[str], str]
    if dataset == "gta5":
        layout = top / "images", top / "labels", (".png",), ".png"
    elif dataset == "synthia":
        layout = top / "RGB", top / "GT/LABELS", (".png",), ".png"
    elif dataset == "cityscapes":
        layout = top / "leftImg8bit" / split, top / "gtFine" / split, ("_leftImg8bit.png",), "_gtFine_labelIds.png"
    elif dataset == "camvid" and not (top / split / "images").is_dir():  # as the SegNet tutorial has it
        layout = top / split, top / f"{split}annot", PHOTOGRAPHS, ".png"
    elif dataset == "camvid":
        layout = top / split / "images", top / split / "labels", PHOTOGRAPHS, ".png"
    else:
        layout = top / images, top / labels, PHOTOGRAPHS, ".png"
    pairs = _pairs(*layout, require_labels and list is None)
    if list is not None:
        pairs = _listed(pairs, list)
        missing = next((pair for pair in pairs if pair.label is None), None)
        if require_labels and missing:
            raise DataError(f"{missing.image}: its label {layout[1] / (missing.name + layout[3])} is missing.")
    return Domain(pairs, _table(classes, dataset, top, class_file, mapping), (size[0], size[1]), dataset)


def open_photographs(folder: Path, size: tuple[int, int]) -> Domain:
    """All images of a folder, at any depth, without labels.

    Raises:
        DataError: it holds none.
    """
    names = sorted(name for name in _walk(folder) if name.lower().endswith(PHOTOGRAPHS))
    if not names:
        raise DataError(f"{folder}: holds no image named *{' or *'.join(PHOTOGRAPHS)}.")
    pairs = tuple(Pair(name, folder / name, None) for name in names)
    return Domain(pairs, np.full(65536, labels.IGNORE, np.uint8), size, "folder")


def spread(items: Sequence[Any], count: int) -> Sequence[Any]:
    """At most `count` of the items, evenly spread."""
    return items[:: max(1, -(-len(items) // count))]


def _table(classes: Sequence[str], dataset: str, root: Path, class_file: str | None, mapping: str | None) -> np.ndarray:
    if dataset != "folder":
        return labels.lookup_table(labels.raw_names(dataset), classes)
    return _folder_table(classes, Path(class_file or root / "classes.json"), Path(mapping) if mapping else None)


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
    if labelled_list is not None:
        pairs = _listed(domain.pairs, labelled_list)
    elif labelled == "all":
        pairs = domain.pairs
    else:
        pairs = tuple(pair for pair in domain.pairs if pair.label is not None)
        if not 1 <= labelled <= len(pairs):
            raise DataError(f"labelled must be from 1 to {len(pairs)}, the images with a label. Received: {labelled}.")
        # A hash ranks the names, so that the draw depends on no library's generator.
        rank = {pair.name: hashlib.sha256(f"{labelled_seed}:{pair.name}".encode()).digest() for pair in pairs}
        drawn = set(sorted(rank, key=rank.__getitem__)[:labelled])
        pairs = tuple(pair for pair in pairs if pair.name in drawn)
    for pair in pairs:
        if pair.label is None:
            raise DataError(f"{pair.image}: has no label; `labelled` must be a number where some images have none.")
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
    parser.add_argument("file", metavar="CONFIG", help="a settings file")
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
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
