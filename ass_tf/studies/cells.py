"""A sweep's folder: the runs, who works on each, what failed, what was printed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ass_tf import config
from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.studies.plan import Cell, listed
from ass_tf.system import locks, process, storage

TRAIN = [sys.executable, "-m", "ass_tf.train"]


class Folder:
    """Where a sweep's runs lie: a run folder for each cell, and notes of who works, what failed, what was printed.

    Args:
        path: the folder; what several processes share.
        command: the words that train a run.
    """

    def __init__(self, path: Path, command: Sequence[str] | None = None) -> None:
        self.path, self.status, self.command = path, path / "status", list(command or TRAIN)

    def run(self, cell: Cell) -> RunFolder:
        return RunFolder(self.path / cell.name)

    def write_list(self, cells: Sequence[Cell]) -> None:
        """sweep.json: what runs there are, for `results`; those of earlier calls stay."""
        file = self.path / "sweep.json"
        self.status.mkdir(parents=True, exist_ok=True)
        with self._patiently_locked():
            found = {cell["name"]: cell for cell in listed(file)}
            for cell in cells:
                found[cell.name] = {"name": cell.name} | {
                    key: getattr(cell, key) for key in ("method", "variant", "labelled", "seed")
                }
            storage.write_text(file, json.dumps(list(found.values()), indent=1) + "\n")

    def _patiently_locked(self) -> locks.Lock:
        """The lock of sweep.json, which others hold for a moment only."""
        for _ in range(600):
            try:
                return locks.Lock(self.status / "sweep.lock")
            except locks.Taken as error:
                taken = error
                time.sleep(0.1)
        raise config.ConfigError(f"{self.path}: sweep.json is locked by another process{taken}.")

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What a finished run arrived at; None of one that is not finished.

        Raises:
            ConfigError: the folder holds a run of other settings, or a damaged one.
        """
        run = self.run(cell)
        try:
            result = run.read_result(missing=None)
        except RunFolderError as error:
            raise config.ConfigError(str(error)) from None
        if result is not None and run.settings() != cell.settings:
            raise config.ConfigError(f"{run}: holds a run of other settings; name another folder by --out.")
        return result

    def is_done(self, cell: Cell) -> bool:
        return self.result(cell) is not None

    def score(self, cell: Cell) -> float | None:
        """mIoU of a finished run's last snapshot; None where there is none.

        Raises:
            ConfigError: result.json is of other make.
        """
        last = (self.result(cell) or {}).get("last")
        score = last.get("miou") if isinstance(last, dict) else last
        if not isinstance(score, float | int | None):
            file = self.run(cell).result
            raise config.ConfigError(f"{file}: last.miou must be a number. Received: {score}.")
        return score

    def outcome(self, cell: Cell) -> str | None:
        """What became of a cell, in words; None where it is still to be run."""
        if self.is_done(cell):
            score = self.score(cell)
            return "done, without a score" if score is None else f"mIoU {score:.2f}"
        reason = self.facts(cell).get("failed")
        return f"failed: {reason}" if reason else None

    @contextmanager
    def claimed(self, cell: Cell) -> Iterator[Any]:
        """The open lock of a cell, or None where another process has it. A run that outlives its sweep keeps it."""
        self.status.mkdir(parents=True, exist_ok=True)
        try:
            lock = locks.Lock(self.status / f"{cell.name}.lock")
        except locks.Taken:
            yield None
            return
        with lock:
            yield lock

    def note(self, cell: Cell, **facts: Any) -> None:
        storage.write_text(self.status / f"{cell.name}.json", json.dumps({**facts, "at": time.time()}) + "\n")

    def facts(self, cell: Cell) -> dict[str, Any]:
        """What was noted of a cell last: minutes, and the reason where it failed."""
        try:
            facts = storage.read_json(self.status / f"{cell.name}.json", missing={})
        except ValueError:  # the run is tried again
            return {}
        return facts if isinstance(facts.get("minutes", 0.0), float | int) else {}

    def train(self, cell: Cell, lock: Any) -> None:
        """Runs a cell, or goes on with it, and notes what became of it.

        Raises:
            SystemExit: this process was asked to stop, and the run has saved.
        """
        start, log = time.monotonic(), self.status / f"{cell.name}.log"
        facts: dict[str, Any] = {}
        before = self.facts(cell).get("minutes", 0.0) if self.run(cell).path.exists() else 0.0
        command = [*self.command, "--config", str(cell.file), "--run", str(self.run(cell)), "--set", *cell.overrides]
        try:
            with open(log, "w", encoding="utf-8") as stream:
                status = process.run_to_end(
                    command, stdout=stream, stderr=stream, pass_fds=[lock.fileno()], preexec_fn=process.end_with_parent
                )
            if not self.is_done(cell):
                facts["failed"] = _reason(status, log.read_text(encoding="utf-8", errors="replace"))
        finally:
            self.note(cell, minutes=before + (time.monotonic() - start) / 60, **facts)


def _reason(status: int, printed: str) -> str:
    """Why a run has failed: its first line of an error, else its last line."""
    if status < 0 or status >= 128:
        return f"ended by signal {status - 128 if status > 0 else -status}"
    lines = [line for line in printed.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines[-1:])[0]
