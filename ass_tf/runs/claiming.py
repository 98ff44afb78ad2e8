"""Who may work in a run folder, and what a run that goes on may change."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ass_tf import config
from ass_tf.config import Config
from ass_tf.datasets import ROLES
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
    locked = (run.lock.name, f"{run.lock.name}.held")
    there = [p for p in path.iterdir() if p.name[0] != "." and p.name not in locked] if path.exists() else []
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
            run.cut_log(0)  # else its steps might be taken for those of a run with other settings
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
    texts = {role: "".join(f"{name}\n" for name in images) for role, images in names.items()}
    files = {role: run.names_of(role) for role in {**dict.fromkeys(ROLES), **names}}
    before = {role: storage.read_text(file, RunFolderError) for role, file in files.items() if file.exists()}
    known, tables = storage.read_json(run.tables, RunFolderError, missing={}), tables or {}
    # A validation may come and go; every other role is there from the beginning, or never.
    compared = [role for role in files if role != "validation" or role in before.keys() & texts.keys()]
    changed = [role for role in compared if before and before.get(role) != texts.get(role)]
    changed_tables = [role for role, digest in tables.items() if known.get(role, digest) != digest]
    for role in changed:
        if role != "validation":
            rule = f"the {role} images must be those that the run began with"
            raise RunFolderError(f"{files[role]}: {rule}; the data changed.")
    for role in changed_tables:
        if role != "validation":
            raise RunFolderError(
                f"{run.tables}: ids of the {role} labels must mean the classes that the run began with; "
                f"{role}.class_file or {role}.mapping changed."
            )
    if changed or changed_tables:
        run.forget_best()
    for role, text in texts.items():
        if before.get(role) != text:
            storage.write_text(files[role], text)
    if {**known, **tables} != known:
        storage.write_text(run.tables, storage.as_json({**known, **tables}))
    return list(dict.fromkeys([*changed, *changed_tables]))
