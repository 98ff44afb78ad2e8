"""The run folder: one run's settings, log, and snapshots, written so that a kill at any moment loses nothing.

    config.json     the resolved settings
    run.json        versions, command, host and start of every session
    data/*.txt      the images that were used, by role
    data/tables.json  digests of the maps from raw ids to classes, by role
    log.jsonl       losses, validations, shares of the gradient and warnings, one line each
    tensorboard/    the same for TensorBoard
    mlruns/, wandb/, trackers.json    the same for trackers, and by which ids they know the run
    pictures/       a few validation images, their truth and the last predictions, train ids
    features/       class means of both domains' features, before the first step and after the last
    snapshots/step-00001000/   weights.*: all variables; state.json: step and scores so far
    result.json     the scores, when the run has ended
    evaluation/, export/   what `evaluate` and the exports write

A snapshot's folder gets its name when everything in it is on the disk. Kept are the newest and the best. What a
snapshot holds is written and read by `snapshots`, which needs TensorFlow; this file does not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ass_tf import config
from ass_tf.config import Config
from ass_tf.system import storage

SNAPSHOT = re.compile(r"step-(\d{8,})")


class RunFolderError(ValueError):
    """The run folder cannot be used; the message is one line that names it."""


class RunFolder(os.PathLike):
    """A run's folder, which need not be there yet.

    Args:
        path: the folder.

    Attributes:
        path: Path.
        config, sessions, result, log, lock, tables: Paths of its files.
        board, data, evaluation, export: Paths of its folders.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path = Path(path)
        self.config, self.sessions, self.result = path / "config.json", path / "run.json", path / "result.json"
        self.log, self.lock, self.data = path / "log.jsonl", path / "lock", path / "data"
        self.board, self.evaluation, self.export = path / "tensorboard", path / "evaluation", path / "export"
        self.tables, self._snapshots = self.data / "tables.json", path / "snapshots"

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def picture(self, index: int, kind: str) -> Path:
        """File of a kept validation image: its `image`, `truth` or `prediction`."""
        return self.path / f"pictures/{index}_{kind}.png"

    def features(self, when: str) -> Path:
        """File of the features' class means, `before` the first step or `after` the last."""
        return self.path / f"features/{when}.npz"

    def names_of(self, role: str) -> Path:
        """File with the names of a role's images."""
        return self.data / f"{role}.txt"

    def settings(self, overrides: Sequence[str] = (), **sections: Any) -> Config:
        """The run's settings, changed as by `config.load_record`.

        Raises:
            ConfigError: config.json is missing or cannot be used.
        """
        return config.load_record(self.config, overrides, **sections)

    def read_result(self, missing: Any = ...) -> dict[str, Any]:
        """What result.json holds; `missing` if there is none, by default an error.

        Raises:
            RunFolderError: it cannot be read.
        """
        return storage.read_json(self.result, RunFolderError, missing=missing)

    def write_result(self, result: Mapping[str, Any]) -> None:
        storage.write_text(self.result, storage.as_json(result))

    def read_sessions(self) -> dict[str, Any]:
        """What run.json says of earlier sessions.

        Raises:
            RunFolderError: it cannot be read.
        """
        record = storage.read_json(self.sessions, RunFolderError, missing={"sessions": []})
        if not isinstance(record.get("sessions"), list):
            received = json.dumps(record.get("sessions"))
            raise RunFolderError(f"{self.sessions}: sessions must be a list. Received: {received}.")
        return record

    def write_sessions(self, record: Mapping[str, Any]) -> None:
        storage.write_text(self.sessions, json.dumps(record, indent=1) + "\n")

    def has_begun(self) -> bool:
        """Whether the run has saved something that is to be kept."""
        return bool(self.snapshots()) or self.result.exists()

    def records(self) -> list[dict[str, Any]]:
        """Records of log.jsonl; a line cut short by a kill is left out.

        Raises:
            RunFolderError: the file cannot be read.
        """
        return [record for _, record in self._lines()]

    def _lines(self) -> list[tuple[str, dict[str, Any]]]:
        if not self.log.exists():
            return []
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
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

    def cut_log(self, step: int, unvalidated: bool = False) -> None:
        """Drops the lines of log.jsonl that a resumed run writes again, and a line cut short by a kill.

        Args:
            step: that of the snapshot from which the run goes on.
            unvalidated: the step's validation is still to be done.
        """
        if not self.log.exists():
            return
        kept = [
            line + "\n"
            for line, record in self._lines()
            if record["step"] < step + (not (unvalidated and "validation" in record))
        ]
        storage.write_text(self.log, "".join(kept))

    def snapshots(self) -> dict[int, Path]:
        """Folders of the complete snapshots: step -> Path, ascending."""
        found = {int(m[1]): p for p in self._snapshots.glob("step-*") if (m := SNAPSHOT.fullmatch(p.name))}
        return dict(sorted(found.items()))

    def snapshot_at(self, step: int) -> Path:
        """Folder of the snapshot of a step, be it there or not."""
        return self._snapshots / f"step-{step:08d}"

    def state(self, which: str = "last") -> tuple[Path, dict[str, Any]]:
        """State of the last or best snapshot.

        Args:
            which: "last" or "best" (by validation).

        Returns:
            folder: of the snapshot.
            state: as `snapshots.save` was given it.

        Raises:
            RunFolderError: there is no such snapshot.
        """
        found = self.snapshots()
        if not found:
            raise RunFolderError(f"{self}: the folder must hold a snapshot. Received: none.")
        step = max(found)
        state = _state(found[step])
        if which == "last":
            return found[step], state
        best = state.get("best")
        if not best:
            rule = f"no snapshot is the best, since none was scored; take the last, of step {step}"
            raise RunFolderError(f"{self}: {rule}.")
        if best["step"] not in found:
            raise RunFolderError(
                f"{self}: the best snapshot, of step {best['step']}, is gone; the last is of step {step}."
            )
        return found[best["step"]], _state(found[best["step"]])

    def forget_best(self) -> None:
        """Marks the newest snapshot: its best score is of another validation, so that the next one begins again."""
        if self.snapshots():
            folder, state = self.state()
            storage.write_text(folder / "state.json", json.dumps({**state, "rejudged": True}, indent=1))

    def keep_result(self) -> None:
        """Renames the result.json of a run that is to go on, since it means that the run has ended."""
        if self.result.exists():
            os.replace(self.result, self.path / f"result-{max(self.snapshots(), default=0):08d}.json")


def _state(folder: Path) -> dict[str, Any]:
    """state.json of a snapshot, with what everyone relies on."""
    file = folder / "state.json"
    state = storage.read_json(file, RunFolderError)
    best = state.get("best")
    if type(state.get("step")) is not int or not (best is None or (isinstance(best, dict) and "step" in best)):
        raise RunFolderError(f"{file}: must be the state of a snapshot, with its step. Received: something else.")
    return state
