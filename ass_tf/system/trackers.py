"""Trackers of experiments that follow a run beside its own files: MLflow, and Weights & Biases.

Both keep what they get on this machine unless their own environment variables say otherwise: MLFLOW_TRACKING_URI and
MLFLOW_EXPERIMENT_NAME; WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and WANDB_DIR.

    follow      starts those that are asked for; each works in a thread of its own, so that nobody waits for it
    require     whether their packages are there, asked before the work begins
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ass_tf.system import process, storage

PATIENCE = 30.0  # seconds that the end of a run waits for a tracker
LONGEST_NAME, LONGEST_VALUE = 250, 500  # letters that every MLflow server takes
MOST = 100  # parameters that MLflow takes at once
# Nothing is sent home unasked, nothing is printed or asked where a run shows its progress; W&B, which keeps what it
# gets in memory for 15 seconds, loses less when the run is killed.
VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # which MLflow 3 wants to hear
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WANDB__TRANSACTION_LOG_FLUSH_INTERVAL": "0.2",
}


class Sink(Protocol):
    """Where a run's records go."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Takes a record: `step`, and what there is to tell of it."""

    def close(self, error: BaseException | None = None) -> None:
        """No more come, be it for an error."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is followed.

    Attributes:
        name: of the run.
        folder: in which trackers keep what they get, and the ids under which they know the run.
        settings: nested, ready for JSON.
        facts: what else there is to know, such as versions.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    facts: Mapping[str, str]


class Ids:
    """By which ids trackers know a run; kept in a file, so that a later session goes on under the same ones.

    Raises:
        ValueError: the file cannot be read; the message names it.
    """

    def __init__(self, folder: Path) -> None:
        self.file, self.lock = folder / "trackers.json", threading.Lock()
        self.known: dict[str, Any] = storage.read_json(self.file, missing={})

    def put(self, name: str, run: str) -> str:
        with self.lock:
            self.known[name] = run
            storage.write_text(self.file, storage.as_json(self.known))
        return run


def require(names: Sequence[str]) -> None:
    """Imports what trackers need, with variables of theirs where the user has not set them.

    Raises:
        MissingPackage: one is not installed.
    """
    for key, value in VARIABLES.items() if names else ():
        os.environ.setdefault(key, value)
    for name in names:
        process.require(name, name, "train.trackers")


def follow(names: Sequence[str], subject: Subject) -> list[Follower]:
    """Starts trackers, each once.

    Raises:
        ValueError: the ids of an earlier session cannot be read.
    """
    if not names:
        return []
    kinds: dict[str, Callable[[Subject, Ids], Sink]] = {"mlflow": Mlflow, "wandb": Wandb}
    ids = Ids(subject.folder)
    return [Follower(name, functools.partial(kinds[name], subject, ids)) for name in dict.fromkeys(names)]


class Follower:
    """A sink that another one takes its records from in a thread of its own; it is left out once it fails.

    Args:
        name: for messages.
        start: makes the other one, in the thread.
    """

    def __init__(self, name: str, start: Callable[[], Sink]) -> None:
        self.name, self.start = name, start
        self.waiting: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self.failed = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, daemon=True, name=name)
        self.thread.start()

    def write(self, record: Mapping[str, Any]) -> None:
        if not self.failed:
            self.waiting.put(record)

    def close(self, error: BaseException | None = None) -> None:
        self.error = error
        self.waiting.put(None)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            self._give_up(f"it has not taken all within {PATIENCE:.0f} seconds")

    def _work(self) -> None:
        try:
            sink = self.start()
            while (record := self.waiting.get()) is not None:
                sink.write(record)
            sink.close(self.error)
        except BaseException as error:  # a network that is down, a full disk, whatever the package raises
            self._give_up(" ".join(str(error).split()) or type(error).__name__)

    def _give_up(self, reason: str) -> None:
        if self.failed:
            return
        self.failed = True
        print(f"warning: {self.name} follows this run no longer: {storage.shown(reason)}", flush=True)


def metrics_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record but for its step: `loss`, and of nested ones `validation/iou/road`.

    Example:
        >>> metrics_of({"step": 3, "loss": 0.5, "validation": {"miou": None, "iou": {"road": 2}}})
        {'loss': 0.5, 'validation/iou/road': 2.0}
    """
    numbers = {name: value for name, value in flat(record, "/").items() if name != "step"}
    return {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}


def flat(nested: Mapping[str, Any], link: str) -> dict[str, Any]:
    """Nested values by one name each, whose parts are linked."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        below = flat(value, link) if isinstance(value, Mapping) else None
        found |= {name: value} if not below else {f"{name}{link}{key}": inner for key, inner in below.items()}
    return found


class Mlflow:
    """A run of MLflow: settings as parameters, facts as tags, numbers as metrics by step.

    Its store is the folder `mlruns` in that of the subject, unless MLFLOW_TRACKING_URI names another.
    """

    def __init__(self, subject: Subject, ids: Ids) -> None:
        self.mlflow = importlib.import_module("mlflow")
        store = os.environ.get("MLFLOW_TRACKING_URI") or (subject.folder.absolute() / "mlruns").as_uri()
        self.client = self.mlflow.MlflowClient(tracking_uri=store)
        before = self._find(ids.known.get("mlflow"))
        self.run = before.info.run_id if before else ids.put("mlflow", self._begin(subject))
        settings = {_name(key): _text(value) for key, value in flat(subject.settings, ".").items()}
        known = before.data.params if before else {}
        new = [self.mlflow.entities.Param(*item) for item in settings.items() if item[0] not in known]
        for start in range(0, len(new), MOST):
            self.client.log_batch(self.run, params=new[start : start + MOST])
        # Parameters keep their first value in MLflow.
        changed = {f"changed.{key}": text for key, text in settings.items() if known.get(key, text) != text}
        for key, text in {**subject.facts, **changed}.items():
            self.client.set_tag(self.run, key, text)
        self.client.update_run(self.run, status="RUNNING")

    def _find(self, run: str | None) -> Any:
        """An earlier session's run; None if the store has none of that id."""
        try:
            return self.client.get_run(run) if run else None
        except self.mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _begin(self, subject: Subject) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ass_tf"
        if (experiment := self.client.get_experiment_by_name(name)) is None:
            try:
                self.client.create_experiment(name)
            except self.mlflow.exceptions.MlflowException:  # another run has just made it
                if self.client.get_experiment_by_name(name) is None:
                    raise
            experiment = self.client.get_experiment_by_name(name)
        return self.client.create_run(experiment.experiment_id, run_name=subject.name).info.run_id

    def write(self, record: Mapping[str, Any]) -> None:
        metric, now, step = self.mlflow.entities.Metric, round(time.time() * 1000), record["step"]
        numbers = [metric(_name(name), value, now, step) for name, value in metrics_of(record).items()]
        if numbers:
            self.client.log_batch(self.run, metrics=numbers)
        if warning := record.get("warning"):
            self.client.set_tag(self.run, "warning", f"step {step}: {warning}")

    def close(self, error: BaseException | None = None) -> None:
        stopped = isinstance(error, SystemExit | KeyboardInterrupt)
        self.client.set_terminated(self.run, "KILLED" if stopped else "FAILED" if error else "FINISHED")


def _name(text: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w\-. /]", "_", text)[:LONGEST_NAME]


def _text(value: Any) -> str:
    """A setting's value as MLflow takes it."""
    return (value if isinstance(value, str) else json.dumps(value))[:LONGEST_VALUE]


class Wandb:
    """A run of Weights & Biases: settings and facts as its configuration, numbers over `step`.

    It is offline, in the folder `wandb` in that of the subject, unless WANDB_MODE says otherwise. W&B counts the
    records by itself; a resumed run that takes steps again could not write them under its count.
    """

    def __init__(self, subject: Subject, ids: Ids) -> None:
        wandb = importlib.import_module("wandb")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "ass_tf",
            name=subject.name,
            id=ids.known.get("wandb") or ids.put("wandb", secrets.token_hex(4)),
            resume="allow",
            dir=os.environ.get("WANDB_DIR") or str(subject.folder),
            mode=os.environ.get("WANDB_MODE") or "offline",
            config={**flat(subject.settings, "."), **subject.facts},
            allow_val_change=True,
            settings=wandb.Settings(console="off", save_code=False, disable_git=True),
        )
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def write(self, record: Mapping[str, Any]) -> None:
        if numbers := metrics_of(record):
            self.run.log({"step": record["step"], **numbers})
        if warning := record.get("warning"):
            self.run.summary["warning"] = f"step {record['step']}: {warning}"

    def close(self, error: BaseException | None = None) -> None:
        self.run.finish(exit_code=1 if error else 0)
