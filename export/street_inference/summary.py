"""The table of a call's results, a row at a time, and what tells a later call which of them are complete."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from street_inference import images
from street_inference.segmenter import ModelError

SETTINGS = "inference.json"
Row = list[str]
Shard = tuple[int, int]  # (1 to n, n)
WHOLE: Shard = (1, 1)


def file_name(shard: Shard) -> str:
    """Of the table of a shard, or of all."""
    return "summary.csv" if shard == WHOLE else f"summary-{shard[0]}-of-{shard[1]}.csv"


class Summary:
    """A table that grows row by row in the order of the photographs and gets its name when it is closed.

    Its head tells a folder of results from one of photographs (`images.holds_results`), from the first moment.

    Args:
        folder: of the results, which is there.
        shard: whose table it is.
        columns: what the rows hold of the classes, as `columns_of` says.
        kept: rows of earlier calls by their numbers; they outlast a kill of this call.
    """

    def __init__(
        self, folder: Path, shard: Shard, columns: Sequence[str], kept: Mapping[int, Row] | None = None
    ) -> None:
        self.file, self.head = folder / file_name(shard), [*images.SUMMARY_HEAD, *columns, "error"]
        self.count = self.skipped = 0
        self._waiting: dict[int, Row] = {}
        self._next = 0
        if not (folder / "summary.csv").exists():
            with _replaced(folder / "summary.csv") as stream:
                csv.writer(stream).writerow(self.head)
        self._part, self._kept = _part(self.file), _part(self.file.with_name(f"{self.file.stem}-kept.csv"))
        if kept:
            with _replaced(self._kept) as stream:
                csv.writer(stream).writerows([self.head, *kept.values()])
        self._stream = open(self._part, "w", newline="", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        self._table = csv.writer(self._stream)
        self._table.writerow(self.head)
        for number, row in (kept or {}).items():
            self.add(number, row)

    def add(self, number: int, row: Row) -> None:
        """Takes in the row of the photograph of a number, 0 to the last, once; it waits for those before it."""
        if number < self._next or number in self._waiting:
            return
        self.count += 1
        self.skipped += bool(row[-1])
        self._waiting[number] = row
        with _named(self.file):
            while self._next in self._waiting:
                self._table.writerow(self._waiting.pop(self._next))
                self._next += 1
            self._stream.flush()  # so that it outlasts a kill

    def close(self) -> None:
        """Gives the table its name; one without a row replaces none."""
        with _named(self.file):
            for _, row in sorted(self._waiting.items()):
                self._table.writerow(row)
            self._stream.close()
        if self.count or not self.file.exists():
            os.replace(self._part, self.file)
        else:
            self._part.unlink(missing_ok=True)
        self._kept.unlink(missing_ok=True)


def columns_of(names: Sequence[str], confidence: bool) -> list[str]:
    """Heads of the columns with the shares of the classes, and with their mean confidence."""
    return [*names, *(f"confidence: {name}" for name in names if confidence)]


def row_of(photograph: Any, columns: int) -> Row:
    """The row of a `flow.Photograph` that was finished or skipped; `columns` as many as `columns_of` names."""
    p = photograph
    values = [] if p.shares is None else [*p.shares, *(() if p.means is None else p.means)]
    numbers = ["" if np.isnan(value) else f"{value:.6f}" for value in values] or [""] * columns
    seconds = [f"{value:.4f}" for value in (p.read_seconds, p.run_seconds, p.write_seconds)]
    height, width = p.size or ("", "")
    return [str(p.path), p.name, str(height), str(width), *seconds, *numbers, p.error]


def rows_in(folder: Path) -> Iterator[Row]:
    """The rows of all tables in a folder of results, those of a call that was killed among them."""
    for file in _tables_in(folder):
        try:
            with open(file, newline="", encoding="utf-8", errors="surrogateescape") as stream:
                table = csv.reader(_whole_lines(stream))
                head = next(table, [])
                yield from (row for row in table if len(row) == len(head))
        except (OSError, csv.Error):
            continue


def _tables_in(folder: Path) -> list[Path]:
    """The tables in a folder of results, those of a call that was killed behind the others."""
    found = [*sorted(folder.glob("summary*.csv")), *sorted(folder.glob(".summary*.csv.part"))]
    return [file for file in found if images.is_table(file)]


def complete(folder: Path, results_of: Callable[[str, str], Iterable[str]]) -> dict[str, Row]:
    """The rows of earlier calls whose results are all there, by the photograph's path as it was given.

    Args:
        folder: of the results.
        results_of: from a photograph's path and the start of its results' names, the names of these files.
    """
    found = {}
    for row in rows_in(folder):
        path, name, error = row[0], row[1], row[-1]
        if not error and all(os.path.isfile(folder / file) for file in results_of(path, name)):
            found[path] = row
    return found


def settings_of(model: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on: the model by its hash, and options.

    Raises:
        OSError: the model cannot be read.
    """
    digest = hashlib.sha256()
    with open(model, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return {"model": model.name, "sha256": digest.hexdigest(), **json.loads(json.dumps(options))}


def note_settings(folder: Path, settings: Mapping[str, Any], shared: bool, alone: bool = False) -> bool:
    """Writes a call's settings next to its results.

    Rows of results that were made otherwise, or nobody knows how, are dropped, unless other shards may have written
    them in the meantime: the results stay, but no later call takes them for its own.

    Args:
        folder: of the results.
        settings: as `settings_of` returns them.
        shared: the call adds to results that are there, which must have been made alike.
        alone: no other shard works in the folder.

    Returns:
        alike: whether the results that are there are known to have been made so.

    Raises:
        ModelError: they were made otherwise, and `shared`; the message names the difference.
    """
    file = folder / SETTINGS
    known: Any = {}
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except ValueError:
        known = None
    if shared and not isinstance(known, dict):
        raise ModelError(f"{file}: is damaged; what made the results there is unknown.")
    known = known if isinstance(known, dict) else {}
    differing = [key for key in {**known, **settings} if key != "model" and known.get(key) != settings.get(key)]
    if shared and known:
        if "sha256" in differing:
            raise ModelError(f"{folder}: its results are another model's ({known.get('model')}); use another --out.")
        for key in differing:
            change = f"{key} {json.dumps(known.get(key))}; now it is {json.dumps(settings.get(key))}"
            raise ModelError(f"{folder}: its results were made with {change}. Use another --out.")
    if differing and (alone or not shared):
        _drop_rows(folder)
    write_json(file, settings)
    return not differing


def _drop_rows(folder: Path) -> None:
    """Leaves no table in a folder of results, but for the head that tells what the folder is."""
    for file in _tables_in(folder):
        if file.name != file_name(WHOLE):
            file.unlink()
            continue
        with open(file, newline="", encoding="utf-8", errors="surrogateescape") as stream:
            head = next(csv.reader(stream))
        with _replaced(file) as stream:
            csv.writer(stream).writerow(head)


def join(folder: Path) -> tuple[int, int]:
    """Makes one table of the shards' tables, ordered by file, and removes those.

    Args:
        folder: the results of all shards.

    Returns:
        images, skipped: how many rows it has, and how many of them have an error.

    Raises:
        ModelError: there are none, one is missing, damaged or still being written, or they are of different numbers of
            shards.
        OSError: the folder cannot be read or written.
    """
    found: dict[int, dict[int, Path]] = {}
    for file in folder.glob("*.csv"):
        if match := re.fullmatch(r"summary-(\d+)-of-(\d+)\.csv", file.name):
            found.setdefault(int(match[2]), {})[int(match[1])] = file
    if not found:
        raise ModelError(f"{folder}: no table of a shard (summary-1-of-2.csv) is there.")
    if len(found) > 1:
        raise ModelError(f"{folder}: holds tables of {' and of '.join(map(str, sorted(found)))} shards; keep one kind.")
    ((count, tables),) = found.items()
    missing = [file_name((n, count)) for n in range(1, count + 1) if n not in tables]
    going = [file_name((n, count)) for n in tables if _part(tables[n]).exists()]
    if missing or going:
        what = f"{missing[0]} is missing" if missing else f"{going[0]} is still being written"
        raise ModelError(f"{folder}: {what}; run that shard with --resume.")
    heads: list[Row] = []
    rows: list[Row] = []
    for _, file in sorted(tables.items()):
        head, *others = _checked(file)
        heads.append(head)
        rows += others
    if any(head != heads[0] for head in heads):
        raise ModelError(f"{folder}: its tables are of models with different classes.")
    rows.sort()
    with _replaced(folder / "summary.csv") as stream:
        csv.writer(stream).writerows([heads[0], *rows])
    for file in tables.values():
        file.unlink()
    return len(rows), sum(bool(row[-1]) for row in rows)


def _checked(file: Path) -> list[Row]:
    """The rows of a shard's table, with its head; ModelError if it is damaged."""
    try:
        with open(file, newline="", encoding="utf-8", errors="surrogateescape") as stream:
            rows = list(csv.reader(stream))
    except csv.Error:
        rows = []
    if not rows or not images.is_table(file) or any(len(row) != len(rows[0]) for row in rows):
        raise ModelError(f"{file}: is damaged; run that shard with --resume.")
    return rows


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a file that several shards may write at the same time, all of them the same."""
    with _replaced(file) as stream:
        stream.write(json.dumps(content, indent=2) + "\n")


def _part(file: Path) -> Path:
    return file.with_name(f".{file.name}.part")


@contextlib.contextmanager
def _replaced(file: Path) -> Iterator[Any]:
    """A text file that gets its name when all is in it; another process, on another machine even, may write it too."""
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with _named(file), open(unfinished, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            yield stream
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """Has an OSError name a file; where the disk is full, it names nothing."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(file)) from None


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Without a last one that was cut off."""
    return itertools.takewhile(lambda line: line.endswith(("\n", "\r")), lines)
