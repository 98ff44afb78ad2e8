"""The run folder: one run's settings, log, and snapshots, written so that a kill at any moment loses nothing.

    config.json     the resolved settings
    run.json        versions, command, host and start of every session
    data/*.txt      the images that were used, by role
    data/tables.json  digests of the maps from raw ids to classes, by role
    log.jsonl       losses, validations, shares of the gradient and warnings, one line each
    pictures/       a few validation images, their truth and the last predictions, train ids
    features/       class means of both domains' features, before the first step and after the last
    snapshots/step-00001000/   weights.*: all variables; state.json: step and scores so far
    result.json     the scores, when the run has ended

A snapshot's folder gets its name when everything in it is on the disk. Kept are the newest and the best. What is inside
a snapshot is `checkpoint`'s; no TensorFlow here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ass_tf import config
from ass_tf.config import Config
from ass_tf.system import locks, storage

SNAPSHOT = re.compile(r"step-(\d{8,})")
# Settings that change no weight that a run has or will have, up to the steps that both have.
FREE = re.compile(
    r"train\.(steps|log_every|validate_every|checkpoint_every|shares_every|feature_images)"
    r"|(source|target)\.(root|class_file|mapping|list|labelled_list)"
    r"|validation(\..*)?"
)


class RunFolderError(ValueError):
    """The run folder cannot be used; the message is one line that names it."""


def claim(run: Path, settings: Config) -> locks.Lock:
    """Makes or reopens a run folder and locks it for this process.

    Args:
        run: the folder.
        settings: of the run that is to be made there, or to go on.

    Returns:
        lock: lasts as long as it is open.

    Raises:
        RunFolderError: another process works there, or the folder belongs to no run, to one whose snapshots are gone,
            or to one with other settings that has saved something.
        OSError: the folder cannot be made.
    """
    record = run / "config.json"
    storage.check_folder(run, "--run", RunFolderError)
    if run.exists() and not record.exists() and any(p.name != "lock" for p in run.iterdir() if p.name[0] != "."):
        raise RunFolderError(f"{run}: --run must name a new folder or a run's. Received: a folder without config.json.")
    run.mkdir(parents=True, exist_ok=True)
    try:
        lock = locks.Lock(run / "lock")
    except locks.Taken as error:
        raise RunFolderError(f"{run}: another process is training in this folder{error}.") from None
    try:
        if has_begun(run):
            changes(run, settings)
        else:  # nothing is lost: a start may have failed for its settings
            _refuse_lost_snapshots(run)
            storage.write_text(record, config.dump(settings))
    except BaseException:
        lock.close()
        raise
    return lock


def has_begun(run: Path) -> bool:
    """Whether a run has saved something that is to be kept."""
    return bool(snapshots(run)) or (run / "result.json").exists()


def _refuse_lost_snapshots(run: Path) -> None:
    """A run that has logged more than comes before its first snapshot has had snapshots, which somebody deleted."""
    if not (run / "config.json").exists():
        return
    every = storage.read_json(run / "config.json", RunFolderError).get("train", {}).get("checkpoint_every")
    logged = max((record["step"] for record in records(run)), default=0)
    if isinstance(every, int) and logged > every:
        raise RunFolderError(
            f"{run}: log.jsonl has come to step {logged}, but snapshots/ holds nothing to go on from. Name another "
            "--run, or delete the folder to train again."
        )


def changes(run: Path, settings: Config) -> dict[str, tuple[Any, Any]]:
    """What a run that goes on changes in its settings: by dotted name the value of the run and the new one.

    Raises:
        RunFolderError: the record cannot be read, or a setting differs that may not.
    """
    try:
        record = config.load_record(run / "config.json")
    except config.ConfigError as error:
        raise RunFolderError(str(error)) from None
    found = config.differences(record, settings)
    last = max(snapshots(run), default=record.train.steps)
    for key, (theirs, ours) in found.items():
        if not FREE.fullmatch(key):
            raise RunFolderError(
                f"{run}: {key} must be {json.dumps(theirs)} as in the run begun there; another --run starts afresh. "
                f"Received: {json.dumps(ours)}."
            )
        if key == "train.steps" and ours < last:
            raise RunFolderError(f"{run}: train.steps must be at least {last}, which the run has. Received: {ours}.")
    return found


def write_lists(run: Path, names: Mapping[str, Sequence[str]], tables: Mapping[str, str] | None = None) -> list[str]:
    """data/<role>.txt: the images used; data/tables.json: what their labels mean. A run that goes on keeps both.

    Args:
        run: the folder.
        names: role -> names of the images.
        tables: role -> digest of the map from raw ids to classes.

    Returns:
        changed: roles whose images or tables are others than before: of the validation, which may change.

    Raises:
        RunFolderError: a run that has saved something began with others.
    """
    if not snapshots(run):  # of a start that failed
        shutil.rmtree(run / "data", ignore_errors=True)
    changed = []
    for role, images in names.items():
        file, text = run / "data" / f"{role}.txt", "".join(f"{name}\n" for name in images)
        if file.exists() and storage.read_text(file, RunFolderError) == text:
            continue
        if file.exists() and role != "validation":
            raise RunFolderError(f"{file}: the {role} images must be those that the run began with; the data changed.")
        if file.exists():
            changed.append(role)
            forget_best(run)
        storage.write_text(file, text)
    file = run / "data" / "tables.json"
    known = storage.read_json(file, RunFolderError, missing={})
    for role, digest in (tables or {}).items():
        if known.get(role, digest) == digest:
            continue
        if role != "validation":
            raise RunFolderError(
                f"{file}: ids of the {role} labels must mean the classes that the run began with; "
                f"{role}.class_file or {role}.mapping changed."
            )
        changed.append(role)
        forget_best(run)
    if tables and {**known, **tables} != known:
        storage.write_text(file, storage.as_json({**known, **tables}))
    return list(dict.fromkeys(changed))


def records(run: Path) -> list[dict[str, Any]]:
    """Records of log.jsonl; a line cut short by a kill is left out.

    Raises:
        RunFolderError: the file cannot be read.
    """
    return [record for _, record in _lines(run)]


def _lines(run: Path) -> list[tuple[str, dict[str, Any]]]:
    path = run / "log.jsonl"
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RunFolderError(storage.reason(error)) from None
    found = []
    for line in text.split("\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and type(record.get("step")) is int:
            found.append((line, record))
    return found


def cut_log(run: Path, step: int, unvalidated: bool = False) -> None:
    """Drops the lines of log.jsonl that a resumed run writes again, and a line cut short by a kill.

    Args:
        run: the folder.
        step: that of the snapshot from which the run goes on.
        unvalidated: the step's validation is still to be done.
    """
    if not (run / "log.jsonl").exists():
        return
    kept = [
        line + "\n"
        for line, record in _lines(run)
        if record["step"] < step + (not (unvalidated and "validation" in record))
    ]
    storage.write_text(run / "log.jsonl", "".join(kept))


def snapshots(run: Path) -> dict[int, Path]:
    """Folders of a run's complete snapshots: step -> Path, ascending."""
    folder = run / "snapshots"
    found = {int(m[1]): p for p in folder.glob("step-*") if (m := SNAPSHOT.fullmatch(p.name))}
    return dict(sorted(found.items()))


def state_of(run: Path, which: str = "last") -> tuple[Path, dict[str, Any]]:
    """State of the last or best snapshot.

    Args:
        run: the folder.
        which: "last" or "best" (by validation).

    Returns:
        folder: of the snapshot.
        state: as `checkpoint.save` was given it.

    Raises:
        RunFolderError: there is no such snapshot.
    """
    found = snapshots(run)
    if not found:
        raise RunFolderError(f"{run}: the folder must hold a snapshot. Received: none.")
    step = max(found)
    state = _state(found[step])
    if which == "last":
        return found[step], state
    best = state.get("best")
    if not best:
        raise RunFolderError(f"{run}: no snapshot is the best, since none was scored; take the last, of step {step}.")
    if best["step"] not in found:
        raise RunFolderError(f"{run}: the best snapshot, of step {best['step']}, is gone; the last is of step {step}.")
    return found[best["step"]], _state(found[best["step"]])


def _state(folder: Path) -> dict[str, Any]:
    """state.json of a snapshot, with what everyone relies on."""
    file = folder / "state.json"
    state = storage.read_json(file, RunFolderError)
    best = state.get("best")
    if type(state.get("step")) is not int or not (best is None or (isinstance(best, dict) and "step" in best)):
        raise RunFolderError(f"{file}: must be the state of a snapshot, with its step. Received: something else.")
    return state


def forget_best(run: Path) -> None:
    """Marks the newest snapshot: its best score is of another validation, so that the next one begins anew."""
    if snapshots(run):
        folder, state = state_of(run)
        storage.write_text(folder / "state.json", json.dumps({**state, "rejudged": True}, indent=1))


def keep_result(run: Path) -> None:
    """Gives result.json of a run that is to go on another name, so that it tells no longer that the run has ended."""
    file = run / "result.json"
    if file.exists():
        os.replace(file, run / f"result-{max(snapshots(run), default=0):08d}.json")
