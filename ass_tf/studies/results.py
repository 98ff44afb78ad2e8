"""What runs left behind, read from their folders: settings, scores, log, features, pictures."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ass_tf import config, labels
from ass_tf.config import schema
from ass_tf.config.methods import METHODS, SELF_TRAINED, title_of
from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.scoring import alignment
from ass_tf.studies import paper
from ass_tf.studies.plan import listed
from ass_tf.system import storage

# What differs between runs of one row of a table.
PLACES = ("method", "seed", "target.labelled", "target.labelled_seed", "target.labelled_list")


@dataclass(frozen=True)
class Run:
    """One run; all of `result`, `records` and `features` are empty where it has not come that far."""

    folder: RunFolder
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
        return " ".join(filter(None, [title_of(self.method), self.variant]))

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
        return self.result.get("labelled_images", 0) if isinstance(self.labelled, str) else self.labelled

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a term of the log."""
        found = [(record["step"], record[name]) for record in self.records if name in record]
        return [step for step, _ in found], [value for _, value in found]

    def shares(self) -> tuple[list[int], dict[str, list[float]]]:
        """Steps, and each term's share of G's gradient there: 0 before it comes, as self-training does."""
        found = [(record["step"], record["gradient_shares"]) for record in self.records if "gradient_shares" in record]
        names = dict.fromkeys(name for _, shares in found for name in shares)
        return [step for step, _ in found], {name: [shares.get(name, 0.0) for _, shares in found] for name in names}

    def warnings(self) -> list[str]:
        return [f"step {r['step']}: {r['warning']}" for r in self.records if "warning" in r]

    def features(self, when: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Class means of source and target features, each float (c, d); None where none were kept."""
        try:
            with open(self.folder.features(when), "rb") as file, np.load(file) as found:
                return found["source"], found["target"]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):  # none, or a broken one
            return None

    def distances(self, when: str) -> np.ndarray | None:
        found = self.features(when)
        return None if found is None else alignment.distances(*found)

    def paper_miou(self, subset: str | None = None) -> float | None:
        """The paper's mIoU where this is its experiment: data, network, losses; the schedule may be another."""
        settings = self.settings
        if settings is None or settings.target.labelled_list or settings.validation is None:
            return None
        of_synthia = settings.source.dataset == "synthia"
        losses = settings.losses.model_copy(update={"lambda_sadv": None})
        model = settings.model.model_copy(update={"weights": "imagenet"})
        same = (
            not settings.self_trains
            and subset == ("synthia13" if of_synthia else None)
            and settings.class_names == labels.CLASS_SETS["synthia16" if of_synthia else "cityscapes19"]
            and (settings.validation.dataset, settings.validation.split) == ("cityscapes", "val")
            and (losses, model) == (schema.Losses(), schema.Model())
        )
        if not same:
            return None
        return paper.miou(
            source=settings.source.dataset,
            target=settings.target.dataset,
            method=settings.method,
            labelled=self.labelled,
            lambda_sadv=settings.losses.lambda_sadv,
        )


def read(folder: Path) -> list[Run]:
    """The runs of a run's folder, a sweep's, or any folder that holds runs side by side.

    Raises:
        ConfigError: it holds none, or runs of different class sets.
    """
    folder = Path(folder)
    if RunFolder(folder).config.exists():
        return [_read_run(RunFolder(folder), None)]
    cells = {cell["name"]: cell for cell in listed(folder / "sweep.json")}
    names = list(cells) or sorted(path.parent.name for path in folder.glob("[!.]*/config.json"))
    if not names:
        raise config.ConfigError(f"{folder}: must be a run's folder, or one of runs. Received: no config.json in it.")
    runs = [_read_run(RunFolder(folder / name), cells.get(name)) for name in names]
    sets = {run.settings.class_names: run.name for run in runs if run.settings}
    if len(sets) > 1:
        raise config.ConfigError(f"{folder}: runs must have one class set. Received: {' and '.join(sets.values())}.")
    if not cells:
        runs = _told_apart(runs)
    order = [*METHODS, *(run.method for run in runs)]
    return sorted(runs, key=lambda run: (order.index(run.method), run.variant is not None))


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings as dotted ones."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """Runs that no sweep has named: those of one method with other settings become variants by what differs.

    A value that more than half of a method's settings have is the usual one and is not named.
    """
    kinds = [_kind(run) for run in runs]
    known: dict[str, list[dict[str, str]]] = {}  # of each method
    for run, kind in zip(runs, kinds):
        if kind not in known.setdefault(run.method, []):
            known[run.method].append(kind)
    found = []
    for run, kind in zip(runs, kinds):
        others = known[run.method]
        counts = {key: sum(other.get(key) == value for other in others) for key, value in kind.items()}
        words = [f"{key}={value}" for key, value in kind.items() if counts[key] <= len(others) / 2]
        found.append(replace(run, variant=" ".join(words) or None))
    return found


def _kind(run: Run) -> dict[str, str]:
    """A run's settings but for its place in a table, dotted, as JSON."""
    settings = flat(run.settings.model_dump(mode="json")) if run.settings else {}
    return {key: json.dumps(value) for key, value in settings.items() if key not in PLACES}


def _read_run(folder: RunFolder, cell: dict[str, Any] | None) -> Run:
    """A run, as a sweep's list describes it, or by its own settings."""
    path = folder.path
    settings = folder.settings() if folder.config.exists() else None
    result = _result(folder.result, settings)
    if cell is None:
        cell = _cell_of(settings or folder.settings(), result)
    status = _status(path.parent / f"status/{path.name}.json")
    return Run(
        folder=folder,
        name=path.resolve().name,
        method=cell["method"],
        variant=cell["variant"],
        labelled=cell["labelled"],
        seed=cell["seed"],
        settings=settings,
        result=result,
        records=_records(folder),
        history=_history(folder.sessions),
        minutes=status.get("minutes"),
        failed=None if result else status.get("failed"),
    )


def _cell_of(settings: config.Config, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a sweep's list would say of a run that none lists."""
    labelled = result.get("labelled_images", 0) if settings.target.labelled_list else settings.target.labelled
    method = settings.method + (SELF_TRAINED if settings.self_trains else "")
    return {"method": method, "variant": None, "labelled": labelled, "seed": settings.seed}


def _result(file: Path, settings: config.Config | None) -> dict[str, Any]:
    """result.json with what tables and charts rely on; empty where there is none."""
    result = storage.read_json(file, config.ConfigError, missing={})
    if type(result.get("labelled_images", 0)) is not int:
        value = storage.shown(json.dumps(result["labelled_images"]))
        raise config.ConfigError(f"{file}: labelled_images must be a number of images. Received: {value}.")
    for which in ("last", "best"):
        scores = result.get(which)
        if scores is not None and not _is_sound(scores, settings):
            raise config.ConfigError(f"{file}: {which} must hold the scores of a snapshot. Received: something else.")
    return result


def _status(file: Path) -> dict[str, Any]:
    """What a sweep noted of a run: minutes and the reason of a failure."""
    status = storage.read_json(file, config.ConfigError, missing={})
    for key, kind in (("minutes", float | int | None), ("failed", str | None)):
        if not isinstance(status.get(key), kind):
            value = storage.shown(json.dumps(status[key]))
            raise config.ConfigError(f"{file}: {key} must be what a sweep notes. Received: {value}.")
    return status


def _history(file: Path) -> dict[str, Any]:
    """run.json with what the page shows of each session."""
    history = storage.read_json(file, config.ConfigError, missing={})
    sessions = history.get("sessions") or []
    if not isinstance(sessions, list) or not all(map(_is_session, sessions)):
        raise config.ConfigError(f"{file}: sessions must be those of a run. Received: something else.")
    return history


def _is_session(session: Any) -> bool:
    if not isinstance(session, dict) or not isinstance(session.get("versions", {}), dict):
        return False
    devices = session.get("devices", [])
    return isinstance(devices, list) and all(isinstance(device, str) and ":" in device for device in devices)


def _is_sound(scores: Any, settings: config.Config | None) -> bool:
    numbers = float | int | None
    if not isinstance(scores, dict) or not isinstance(scores.get("miou"), numbers):
        return False
    iou, subsets, confusion = scores.get("iou", {}), scores.get("subsets", {}), scores.get("confusion")
    count = len(settings.class_names) if settings else 0
    return (
        isinstance(iou, dict)
        and all(isinstance(value, numbers) for value in iou.values())
        and isinstance(subsets, dict)
        and all(isinstance(s, dict) and isinstance(s.get("miou"), numbers) for s in subsets.values())
        and (confusion is None or _is_square(confusion, count))
    )


def _is_square(rows: Any, count: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == count
        and all(isinstance(row, list) and len(row) == count and all(type(n) is int for n in row) for row in rows)
    )


def _records(folder: RunFolder) -> list[dict[str, Any]]:
    """Records of log.jsonl whose values are what their names say; a line cut short by a kill is left out."""
    try:
        records = folder.records()
    except RunFolderError as error:
        raise config.ConfigError(str(error)) from None
    return [record for record in records if _has_numbers(record)]


def _has_numbers(record: dict[str, Any]) -> bool:
    kinds = {"validation": dict, "gradient_shares": dict, "gradient_norms": dict, "warning": str}
    shares = record.get("gradient_shares", {})
    return all(isinstance(value, kinds.get(key, float | int | None)) for key, value in record.items()) and all(
        isinstance(share, float | int) for share in shares.values()
    )
