"""Who may work in a run folder, and what a run that goes on may change."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ass_tf import config
from ass_tf.config import Config
from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.system import locks, storage

# Settings that change no weight that a run has or will have, up to the steps that both have.
FREE = re.compile(
    r"train\.(steps|log_every|validate_every|checkpoint_every|shares_every|feature_images|trackers)"
    r"|(source|target)\.(root|class_file|mapping|list|labelled_list|licence)"
    r"|validation(\..*)?"
)


def claim(run: RunFolder, settings: Config) -> locks.Lock:
    """Makes or reopens the folder and locks it for this process.

    Args:
        run: the folder.
        settings: of the run that is to be made there, or to go on.

    Returns:
        lock: lasts as long as it is open.

    Raises:
        RunFolderError: another process works there, or the folder belongs to no run, to one whose snapshots are
            gone, or to one with other settings that has saved something.
        OSError: the folder cannot be made.
    """
    path = run.path
    storage.check_folder(path, "--run", RunFolderError)
    there = [p for p in path.iterdir() if p.name[0] != "." and p.name != "lock"] if path.exists() else []
    if there and not run.config.exists():
        rule = "--run must name a new folder or a run's"
        raise RunFolderError(f"{path}: {rule}. Received: a folder without config.json.")
    path.mkdir(parents=True, exist_ok=True)
    try:
        lock = locks.Lock(run.lock)
    except locks.Taken as error:
        raise RunFolderError(f"{path}: another process is training in this folder{error}.") from None
    try:
        if run.has_begun():
            changes(run, settings)
        else:  # nothing is lost: a start may have failed for its settings
            _refuse_lost_snapshots(run)
            storage.write_text(run.config, config.dump(settings))
    except BaseException:
        lock.close()
        raise
    return lock


def _refuse_lost_snapshots(run: RunFolder) -> None:
    """A run that has logged more than comes before its first snapshot has had snapshots, which somebody deleted."""
    if not run.config.exists():
        return
    train = storage.read_json(run.config, RunFolderError).get("train")
    every = train.get("checkpoint_every") if isinstance(train, dict) else None
    logged = max((record["step"] for record in run.records()), default=0)
    if isinstance(every, int) and logged > every:
        raise RunFolderError(
            f"{run}: log.jsonl has come to step {logged}, but snapshots/ holds nothing to go on from. Name "
            "another --run, or delete the folder to train again."
        )


def changes(run: RunFolder, settings: Config) -> dict[str, tuple[Any, Any]]:
    """What a run that goes on changes in its settings: by dotted name the value of the run and the new one.

    Raises:
        RunFolderError: the record cannot be read, or a setting differs that may not.
    """
    try:
        record = run.settings()
    except config.ConfigError as error:
        raise RunFolderError(str(error)) from None
    found = config.differences(record, settings)
    last = max(run.snapshots(), default=record.train.steps)
    for key, (theirs, ours) in found.items():
        if not FREE.fullmatch(key):
            raise RunFolderError(
                f"{run}: {key} must be {json.dumps(theirs)} as in the run begun there; another --run starts "
                f"afresh. Received: {json.dumps(ours)}."
            )
        if key == "train.steps" and ours < last:
            rule = f"train.steps must be at least {last}, which the run has"
            raise RunFolderError(f"{run}: {rule}. Received: {ours}.")
    return found


def write_lists(
    run: RunFolder, names: Mapping[str, Sequence[str]], tables: Mapping[str, str] | None = None
) -> list[str]:
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
    if not run.snapshots():  # of a start that failed
        shutil.rmtree(run.data, ignore_errors=True)
    changed = []
    for role, images in names.items():
        file, text = run.names_of(role), "".join(f"{name}\n" for name in images)
        before = storage.read_text(file, RunFolderError) if file.exists() else None
        if before == text:
            continue
        if before is not None and role != "validation":
            rule = f"the {role} images must be those that the run began with"
            raise RunFolderError(f"{file}: {rule}; the data changed.")
        if before is not None:
            changed.append(role)
            run.forget_best()
        storage.write_text(file, text)
    known = storage.read_json(run.tables, RunFolderError, missing={})
    for role, digest in (tables or {}).items():
        if known.get(role, digest) == digest:
            continue
        if role != "validation":
            raise RunFolderError(
                f"{run.tables}: ids of the {role} labels must mean the classes that the run began with; "
                f"{role}.class_file or {role}.mapping changed."
            )
        changed.append(role)
        run.forget_best()
    if tables and {**known, **tables} != known:
        storage.write_text(run.tables, storage.as_json({**known, **tables}))
    return list(dict.fromkeys(changed))
