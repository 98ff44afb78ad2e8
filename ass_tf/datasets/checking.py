"""All files of a run are decoded once before it begins; those found sound are remembered until they change."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ass_tf import labels
from ass_tf.datasets.decoding import check_proportions, open_image, open_label, raw_counts_of, refuse_unknown_ids
from ass_tf.datasets.domain import DataError, Domain, Pair
from ass_tf.system import storage

REMEMBERED = 90  # days that a checked file is remembered after it was last asked for


def _inspect(pair: Pair, domain: Domain) -> tuple[tuple[int, int], tuple[int, ...], int]:
    """(height, width) of a pair, its label's pixels by class, and those of none; DataError if it cannot be used."""
    image, pixels = open_image(pair.image), np.zeros(256, np.int64)
    if pair.label is not None:
        label = open_label(pair.label, domain.dataset, domain.colours)
        check_proportions(pair, image, label)
        refuse_unknown_ids(label, domain, pair.label)
        of_raw = raw_counts_of(label)
        np.add.at(pixels, domain.table[: len(of_raw)], of_raw)
    by_class = np.trim_zeros(pixels[: labels.OUTSIDE], "b").tolist()
    return (image.height, image.width), tuple(by_class), int(pixels[labels.IGNORE])


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the check found in a domain.

    Attributes:
        sizes: (height, width) -> number of images.
        pixels: int32 (n, 254), of each label in the order of the pairs, by train id; None where a pair has no label.
        ignored: number of the labels' other pixels.
    """

    sizes: collections.Counter
    pixels: np.ndarray | None
    ignored: int = 0


@dataclasses.dataclass(frozen=True)
class Checked:
    """What is remembered of a sound pair of files."""

    stamp: tuple[int, ...]  # size and time of change of each file
    size: tuple[int, int]  # (height, width) of the image
    pixels: tuple[int, ...]  # of the label, by class; classes after the last that occurs are left out
    ignored: int  # the label's other pixels
    day: int  # of the last use


class Cache:
    """Pairs that were found sound, in a file that may be lost at any time."""

    def __init__(self) -> None:
        self.today = int(time.time() // 86400)
        self.file: Path | None = None
        with contextlib.suppress(RuntimeError):  # no home folder
            self.file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ass_tf" / "checked.json"
        self.known = self._read()
        self.added: dict[str, Checked] = {}

    def _read(self) -> dict[str, Checked]:
        content = {}
        if self.file is not None:
            with contextlib.suppress(ValueError):
                content = storage.read_json(self.file)
        return {key: entry for key, value in content.items() if (entry := _as_checked(value))}

    def get(self, key: str, stamp: tuple[int, ...]) -> Checked | None:
        entry = self.known.get(key)
        return entry if entry and entry.stamp == stamp else None

    def add(self, key: str, entry: Checked) -> None:
        if self.known.get(key) != entry:
            self.added[key] = entry

    def save(self) -> None:
        """Writes what is worth it: entries that were used in the last days, with what others wrote in the meantime."""
        if self.added and self.file is not None:
            entries = {**self.known, **self._read(), **self.added}
            kept = {k: vars(e) for k, e in entries.items() if self.today - e.day <= REMEMBERED}
            with contextlib.suppress(OSError):
                storage.write_text(self.file, json.dumps(kept))


def _as_checked(value: Any) -> Checked | None:
    """An entry of the cache's file; None of one that another version wrote."""
    try:
        stamp, size, pixels = (tuple(value[key]) for key in ("stamp", "size", "pixels"))
        entry = Checked(stamp, size, pixels, value["ignored"], value["day"])
    except (TypeError, LookupError):
        return None
    numbers = (*entry.stamp, *entry.size, *entry.pixels, entry.ignored, entry.day)
    sound = len(entry.size) == 2 and len(entry.pixels) <= labels.OUTSIDE and all(type(n) is int for n in numbers)
    return entry if sound and all(0 <= n < 2**31 for n in entry.pixels) else None


def _look(pair: Pair, domain: Domain, key: str, cache: Cache) -> Checked | str:
    """What is known of a pair, or its flaw."""
    try:
        stats = [file.stat() for file in (pair.image, pair.label) if file]
        stamp = tuple(number for stat in stats for number in (stat.st_size, stat.st_mtime_ns))
        known = cache.get(key, stamp)
        if known is not None:
            return dataclasses.replace(known, day=cache.today)
        return Checked(stamp, *_inspect(pair, domain), cache.today)
    except DataError as error:
        return str(error)
    except OSError as error:
        return storage.reason(error)


def check(domains: Mapping[str, Domain], progress: Callable[[int, int], None] | None = None) -> dict[str, Facts]:
    """Decodes every file once; those found good are remembered until they change.

    Args:
        domains: role -> Domain.
        progress: called with the number of images done and of all.

    Returns:
        facts: role -> Facts.

    Raises:
        DataError: a line for each of the first ten files that cannot be used, and the number of the others; or labels
            in which no pixel has a class.
    """
    work: dict[str, tuple[Pair, Domain]] = {}
    keys: dict[tuple[str, Path, Path | None], str] = {}
    labelled = {pair.image for domain in domains.values() for pair in domain.pairs if pair.label}
    for role, domain in domains.items():
        digest = hashlib.sha256(domain.meaning).hexdigest()[:16]
        for pair in domain.pairs:
            if pair.label or pair.image not in labelled:
                paths = (str(pair.image.absolute()), str(pair.label and pair.label.absolute()))
                key = keys[role, pair.image, pair.label] = "|".join((*paths, domain.dataset, digest))
                work[key] = (pair, domain)
    found: dict[str, Checked] = {}
    flaws: list[str] = []
    cache = Cache()

    def look_at(key: str) -> Checked | str:
        pair, domain = work[key]
        return _look(pair, domain, key, cache)

    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (key, look) in enumerate(zip(work, pool.map(look_at, work)), 1):
                if isinstance(look, str):
                    flaws.append(look)
                else:
                    found[key] = look
                if progress is not None:
                    progress(done, len(work))
    finally:
        for key, entry in found.items():
            cache.add(key, entry)
        cache.save()
    if flaws:
        more = [f"and {len(flaws) - 10} more files."] if len(flaws) > 10 else []
        raise DataError("\n".join(flaws[:10] + more))
    facts = {}
    size_of = {work[key][0].image: entry.size for key, entry in found.items()}
    for role, domain in domains.items():
        entries = [found[keys[role, pair.image, pair.label]] for pair in domain.pairs if pair.label]
        pixels = np.zeros((len(entries), labels.OUTSIDE), np.int32)
        for row, entry in zip(pixels, entries):
            row[: len(entry.pixels)] = entry.pixels
        if entries and not pixels.any():
            raise DataError(f"{role}: every pixel of every label is ignored; some id must stand for one of classes.")
        sizes = collections.Counter(size_of[pair.image] for pair in domain.pairs)
        complete = len(entries) == len(domain.pairs)
        facts[role] = Facts(sizes, pixels if complete else None, sum(entry.ignored for entry in entries))
    return facts
