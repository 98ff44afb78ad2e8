"""Tables of runs: mIoU by method and number of labels, differences between methods, a line for each run."""

from __future__ import annotations

import csv
import io
import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ass_tf.config.methods import METHODS
from ass_tf.studies.results import Run
from ass_tf.system import storage

TITLES = {None: "all classes", "synthia16": "SYNTHIA's 16 classes", "synthia13": "SYNTHIA's 13 classes"}
# What Markdown takes for markup, here and there; an underscore within a word is none.
MARKUP = re.compile(r"[\\`*<>\[\]|~&$]|(?<!\w)_|_(?!\w)")


@dataclass(frozen=True)
class Place:
    """One place of a table: a method at a number of labels, over seeds."""

    runs: tuple[Run, ...]
    subset: str | None

    @property
    def scores(self) -> list[float]:
        return [score for run in self.runs if (score := run.miou("last", self.subset)) is not None]

    @property
    def mean(self) -> float | None:
        return statistics.mean(self.scores) if self.scores else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds (n - 1); None of fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def paper(self) -> float | None:
        return next((number for run in self.runs if (number := run.paper_miou(self.subset)) is not None), None)

    @property
    def text(self) -> str:
        """Mean ± spread, and how many runs of how many where some are missing."""
        if self.mean is None:
            return "failed" if any(run.failed for run in self.runs) else "-"
        text = f"{self.mean:.1f}" + (f" ± {self.spread:.1f}" if self.spread is not None else "")
        return text + (f" ({len(self.scores)} of {len(self.runs)})" if len(self.scores) < len(self.runs) else "")


@dataclass(frozen=True)
class Table:
    """mIoU by method and number of labels, as in the paper."""

    rows: dict[str, list[Place]]  # label of the method -> one for each column
    columns: list[int | str]
    subset: str | None

    @property
    def heading(self) -> str:
        return TITLES.get(self.subset, str(self.subset))

    @property
    def gains(self) -> dict[str, list[str]]:
        """What each method adds to those before it: mean ± spread of the differences between runs of the same seed.

        Methods of a variant are compared with those of the same variant, or of none; and with their own of none.
        """
        found = {}
        kinds = {
            label: next((r.method, r.variant) for p in places for r in p.runs) for label, places in self.rows.items()
        }
        for reference, label in itertools.combinations(kinds, 2):
            (method, theirs), (other, mine) = kinds[reference], kinds[label]
            if theirs in (None, mine) and (other == method or method in METHODS):
                texts = [gain(*pair) for pair in zip(self.rows[label], self.rows[reference])]
                found[f"{label} over {reference}"] = texts
        return {name: texts for name, texts in found.items() if any(text != "-" for text in texts)}

    @property
    def counts(self) -> list[int]:
        """Number of labelled images of each column; 0 of "all" where no run has come to know it."""
        return [
            max(run.count for places in self.rows.values() for run in places[i].runs) for i in range(len(self.columns))
        ]

    @property
    def has_paper(self) -> bool:
        return any(place.paper is not None for places in self.rows.values() for place in places)


def gain(place: Place, other: Place) -> str:
    """Mean ± spread of a place's runs over another's of the same seed, "-" where none has a counterpart."""
    theirs = {run.seed: score for run in other.runs if (score := run.miou("last", other.subset)) is not None}
    mine = [(run.miou("last", place.subset), theirs[run.seed]) for run in place.runs if run.seed in theirs]
    differences = [score - their for score, their in mine if score is not None]
    if not differences:
        return "-"
    spread = f" ± {statistics.stdev(differences):.1f}" if len(differences) > 1 else ""
    count = f" ({len(differences)} of {len(place.runs)})" if len(differences) < len(place.runs) else ""
    return f"{statistics.mean(differences):+.1f}{spread}{count}"


def columns_of(runs: Sequence[Run]) -> list[int | str]:
    """Numbers of labels, ascending, "all" last."""
    return sorted({run.labelled for run in runs}, key=lambda n: float("inf") if n == "all" else n)


def tables(runs: Sequence[Run]) -> list[Table]:
    """The table over all classes, and one for each subset that is reported of them."""
    columns, labels = columns_of(runs), list(dict.fromkeys(run.label for run in runs))
    subsets = dict.fromkeys(key for run in runs for key in run.last.get("subsets", {}))
    found = []
    for subset in (None, *subsets):
        rows = {}
        for label in labels:
            mine = [run for run in runs if run.label == label]
            rows[label] = [Place(tuple(r for r in mine if r.labelled == n), subset) for n in columns]
        found.append(Table(rows, columns, subset))
    return found


def as_markdown(table: Table) -> str:
    """The table in Markdown, and that of the differences; the paper's numbers, where there are some, in parentheses."""
    texts = {
        label: [p.text + (f" (paper: {p.paper:.1f})" if p.paper is not None else "") for p in places]
        for label, places in table.rows.items()
    }
    lines = []
    for rows in (texts, table.gains):
        if rows:
            lines += ["", "| labelled images | " + " | ".join(map(str, table.columns)) + " |"]
            lines += ["|---|" + "---|" * len(table.columns)]
            lines += [f"| {_plain(label)} | " + " | ".join(cells) + " |" for label, cells in rows.items()]
    return "\n".join(lines[1:]) + "\n"


def _plain(label: str) -> str:
    """Text that Markdown shows as it is."""
    return MARKUP.sub(r"\\\g<0>", storage.shown(label, len(label)))


def as_csv(runs: Sequence[Run]) -> str:
    """One line for each run: what it is, its scores in percent, its minutes."""
    names = list(dict.fromkeys(name for run in runs for name in run.last.get("iou", {})))
    subsets = list(dict.fromkeys(name for run in runs for name in run.last.get("subsets", {})))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["run", "method", "variant", "labelled", "seed", "miou_last", "step_last", "miou_best", "step_best"]
    head += ["pixel_accuracy_last", *(f"miou_last_{name}" for name in subsets), *(f"iou_last_{name}" for name in names)]
    writer.writerow(_on_one_line([*head, "minutes", "failed"]))
    for run in runs:
        best = run.result.get("best") or {}
        row: list[object] = [run.name, run.method, run.variant, run.labelled, run.seed]
        row += [_rounded(run.miou()), run.last.get("step"), _rounded(run.miou("best")), best.get("step")]
        row += [_rounded(run.last.get("pixel_accuracy")), *(_rounded(run.miou("last", name)) for name in subsets)]
        row += [_rounded(run.last.get("iou", {}).get(name)) for name in names]
        writer.writerow(_on_one_line([*row, _rounded(run.minutes), run.failed]))
    return text.getvalue()


def _on_one_line(row: Sequence[object]) -> list[object]:
    return [storage.shown(cell, len(cell)) if isinstance(cell, str) else cell for cell in row]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
