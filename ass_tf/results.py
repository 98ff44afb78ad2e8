"""What runs left behind, read from their folders: settings, scores, log, features, pictures; and tables of them.

How they are drawn is left to `charts`, the page to `report`.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ass_tf import alignment, config, labels, paper

SHOWN = {"oracle": "oracle", "joint": "joint", "ga": "GA", "fcsa": "GA+FCSA", "csa": "GA+CSA"}
REFERENCES = ("oracle", "joint", "GA")  # what the others are compared with
SUBSET_OF_TABLE_3 = "synthia13"


@dataclass(frozen=True)
class Run:
    """One run; all of `result`, `records` and `features` are empty where it has not come that far."""

    folder: Path
    name: str
    method: str  # as the sweep calls it, or the settings
    variant: str | None
    labelled: int | str
    seed: int
    settings: config.Config | None
    result: dict[str, Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)  # run.json
    minutes: float | None = None
    failed: str | None = None

    @property
    def label(self) -> str:
        return " ".join(filter(None, [SHOWN.get(self.method, self.method), self.variant]))

    @property
    def last(self) -> dict[str, Any]:
        """Scores of the last snapshot; empty where it was not validated."""
        return self.result.get("last") or {}

    def miou(self, which: str = "last", subset: str | None = None) -> float | None:
        scores = self.result.get(which) or {}
        return scores.get("subsets", {}).get(subset, {}).get("miou") if subset else scores.get("miou")

    @property
    def count(self) -> int:
        """Number of labelled images, for the axis of a curve."""
        return self.result.get("labelled_images", 0) if self.labelled == "all" else self.labelled

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a term of the log."""
        found = [(record["step"], record[name]) for record in self.records if name in record]
        return [step for step, _ in found], [value for _, value in found]

    def shares(self) -> tuple[list[int], dict[str, list[float]]]:
        """Steps, and each term's share of G's gradient there."""
        found = [record for record in self.records if "gradient_shares" in record]
        names = found[0]["gradient_shares"] if found else {}
        return [r["step"] for r in found], {name: [r["gradient_shares"][name] for r in found] for name in names}

    def warnings(self) -> list[str]:
        return [f"step {r['step']}: {r['warning']}" for r in self.records if "warning" in r]

    def features(self, when: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Class means of source and target features, each float (c, d); None where none were kept."""
        try:
            with np.load(self.folder / f"features/{when}.npz") as found:
                return found["source"], found["target"]
        except (FileNotFoundError, KeyError, ValueError):
            return None

    def distances(self, when: str) -> np.ndarray | None:
        found = self.features(when)
        return None if found is None else alignment.distances(*found)

    def paper(self, subset: str | None = None) -> float | None:
        """The paper's mIoU where this is its experiment."""
        s = self.settings
        if s is None or subset != (SUBSET_OF_TABLE_3 if s.source.dataset == "synthia" else None):
            return None
        if s.source.dataset == "gta5" and s.class_names != labels.CLASS_SETS["cityscapes19"]:
            return None
        kinds = s.source.dataset, s.target.dataset, s.model.backbone
        return paper.miou(*kinds, s.method, self.labelled, s.losses.lambda_sadv)


def read(folder: Path) -> list[Run]:
    """The runs of a run's folder, a sweep's, or any folder that holds runs side by side.

    Raises:
        ConfigError: it holds none.
    """
    folder = Path(folder)
    if (folder / "config.json").exists():
        return [_read_run(folder, None)]
    cells = {cell["name"]: cell for cell in _json(folder / "sweep.json", [])}
    names = list(cells) or sorted(path.parent.name for path in folder.glob("*/config.json"))
    if not names:
        raise config.ConfigError(f"{folder}: must be a run's folder, or one of runs. Received: no config.json in it.")
    runs = [_read_run(folder / name, cells.get(name)) for name in names]
    order = [*SHOWN, *(run.method for run in runs)]
    return sorted(runs, key=lambda run: order.index(run.method))


def _read_run(folder: Path, cell: dict[str, Any] | None) -> Run:
    settings = config.load(folder / "config.json") if (folder / "config.json").exists() else None
    result = _json(folder / "result.json", {})
    if cell is None:
        labelled = result.get("labelled_images", 0) if settings.target.labelled_list else settings.target.labelled
        cell = {"method": settings.method, "variant": None, "labelled": labelled, "seed": settings.seed}
    status = _json(folder.parent / f"status/{folder.name}.json", {})
    return Run(
        folder,
        folder.resolve().name,
        cell["method"],
        cell["variant"],
        cell["labelled"],
        cell["seed"],
        settings,
        result,
        _records(folder / "log.jsonl"),
        _json(folder / "run.json", {}),
        status.get("minutes"),
        None if result else status.get("failed"),
    )


def _json(file: Path, default: Any) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise config.ConfigError(f"{file}: no valid JSON: {error}.") from None


def _records(file: Path) -> list[dict[str, Any]]:
    """Lines of log.jsonl; one that a kill cut short is left out."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


@dataclass(frozen=True)
class Field:
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
        return self.runs[0].paper(self.subset) if self.runs else None

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

    rows: dict[str, list[Field]]  # label of the method -> one for each column
    columns: list[int | str]
    subset: str | None

    @property
    def gains(self) -> dict[str, list[str]]:
        """What each method adds to those before it: mean ± spread of the differences between runs of the same seed."""
        found = {}
        for reference in REFERENCES:
            names = list(self.rows)
            for label in names[names.index(reference) + 1 :] if reference in names else ():
                places = zip(self.rows[label], self.rows[reference])
                found[f"{label} over {reference}"] = [gain(*pair) for pair in places]
        return {name: texts for name, texts in found.items() if any(text != "-" for text in texts)}

    @property
    def has_paper(self) -> bool:
        return any(place.paper is not None for places in self.rows.values() for place in places)


def gain(place: Field, other: Field) -> str:
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
            rows[label] = [Field(tuple(r for r in mine if r.labelled == n), subset) for n in columns]
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
            lines += [f"| {label} | " + " | ".join(cells) + " |" for label, cells in rows.items()]
    return "\n".join(lines[1:]) + "\n"


def as_csv(runs: Sequence[Run]) -> str:
    """One line for each run: what it is, its scores in percent, its minutes."""
    names = list(dict.fromkeys(name for run in runs for name in run.last.get("iou", {})))
    subsets = list(dict.fromkeys(name for run in runs for name in run.last.get("subsets", {})))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["run", "method", "variant", "labelled", "seed", "miou_last", "step_last", "miou_best", "step_best"]
    head += ["pixel_accuracy_last", *(f"miou_last_{name}" for name in subsets), *(f"iou_last_{name}" for name in names)]
    writer.writerow([*head, "minutes", "failed"])
    for run in runs:
        best = run.result.get("best") or {}
        row = [run.name, run.method, run.variant, run.labelled, run.seed]
        row += [_rounded(run.miou()), run.last.get("step"), _rounded(run.miou("best")), best.get("step")]
        row += [_rounded(run.last.get("pixel_accuracy")), *(_rounded(run.miou("last", name)) for name in subsets)]
        row += [_rounded(run.last.get("iou", {}).get(name)) for name in names]
        writer.writerow([*row, _rounded(run.minutes), run.failed])
    return text.getvalue()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
