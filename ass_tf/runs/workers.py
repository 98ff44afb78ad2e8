"""What the workers of a run tell one another, by TensorFlow's own collective operations, and whether they fit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ass_tf import config
from ass_tf.config import Config
from ass_tf.datasets import Domain, Facts
from ass_tf.runs import trained
from ass_tf.system import terminal
from ass_tf.system.cluster import Cluster, ClusterError

# What collective operations raise when another worker is gone.
ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


def build_strategy(cluster: Cluster) -> Any:
    """MultiWorkerMirroredStrategy over the GPUs or the CPU of all workers, when all of them are there.

    It must be the first thing that TensorFlow does in the process.

    Raises:
        Missing: some have not come.
        ClusterError: this worker's port is taken, or Keras is an earlier one, whose running statistics the chief could
            not read alone.
    """
    if keras.__version__.startswith("2."):
        raise ClusterError(f"several workers need Keras 3. Received: {keras.__version__}.")
    cluster.gather()
    os.environ["TF_CONFIG"] = cluster.to_tf_config()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with cluster.watched():
            return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # TensorFlow has set a handler of its own


class Workers:
    """This process and the others of its run.

    Args:
        strategy: tf.distribute.Strategy, of all of them.
        cluster: Cluster, or None of the only process.

    Attributes:
        count, index: of the workers, and of this one among them.
    """

    def __init__(self, strategy: Any, cluster: Cluster | None = None) -> None:
        self.strategy, self.cluster = strategy, cluster
        self.count, self.index = (len(cluster.addresses), cluster.index) if cluster else (1, 0)

    def name(self, index: int) -> str:
        """How messages call one of them."""
        return self.cluster.name(index) if self.cluster else "this process"

    @property
    def is_chief(self) -> bool:
        """Whether this one writes; the others only read."""
        return self.index == 0

    @property
    def replicas(self) -> range:
        """This worker's among those of all."""
        local = self.strategy.num_replicas_in_sync // self.count
        return range(self.index * local, (self.index + 1) * local)

    def total(self, values: Any) -> np.ndarray:
        """The sum over all workers of an array of whole numbers, which each of them calls for.

        Args:
            values: int64 array, of one shape in all of them.

        Returns:
            total: int64, of that shape.
        """
        if self.count == 1:
            return np.asarray(values, np.int64)
        ours = tf.constant(values, tf.int64)

        def one(context: Any) -> tf.Tensor:
            return ours if context.replica_id_in_sync_group == self.replicas.start else tf.zeros_like(ours)

        parts = self.strategy.experimental_distribute_values_from_function(one)
        return self.strategy.reduce("SUM", parts, axis=None).numpy()

    def exchange(self, text: str) -> list[str]:
        """The texts of all workers, each of which gives its own."""
        if self.count == 1:
            return [text]
        data = np.frombuffer(text.encode(), np.uint8)
        lengths = np.zeros(self.count, np.int64)
        lengths[self.index] = len(data)
        lengths = self.total(lengths)
        rows = np.zeros((self.count, lengths.max()), np.int64)
        rows[self.index, : len(data)] = data
        return [bytes(row[:n].astype(np.uint8)).decode() for row, n in zip(self.total(rows), lengths)]

    def wait(self) -> None:
        """Returns when all workers have called it."""
        self.total(np.zeros(1, np.int64))

    def lost(self, error: tf.errors.OpError) -> str | None:
        """A line that names the worker whose end an error tells of; None of another error."""
        if self.count == 1 or not isinstance(error, ERRORS):
            return None
        named = [int(n) for n in re.findall(r"/job:\w+/(?:replica:\d+/)?task:(\d+)", str(error))]
        others = [self.name(i) for i in dict.fromkeys(named) if i < self.count and i != self.index]
        return f"{others[0]} has gone" if others else f"another worker has gone or failed: {terminal.reason(error)}"


class UnlikeWorkers(ValueError):
    """Workers differ in what must be the same; the message is one line, the same on each."""


def check_alike(
    workers: Workers, settings: Config, domains: Mapping[str, Domain], facts: Mapping[str, Facts], snapshot: int
) -> None:
    """Compares what every worker has with what the chief has.

    Args:
        workers: those of the run.
        settings: the run's, with `train.precision` as it is computed.
        domains: role -> data.
        facts: role -> what the data check found.
        snapshot: step of the newest, 0 if there is none.

    Raises:
        UnlikeWorkers: they differ; the message names the worker and the first difference.
    """
    ours = {
        "settings": _settings(settings),
        "versions": trained.versions(),
        "data": {role: _digest(domain, facts.get(role)) for role, domain in domains.items()},
        "snapshot": snapshot,
    }
    texts = workers.exchange(json.dumps(ours, sort_keys=True))
    chief = json.loads(texts[0])
    for index, text in enumerate(texts):
        if text != texts[0]:
            raise UnlikeWorkers(f"{workers.name(index)}: {_difference(chief, json.loads(text))}")


def _settings(settings: Config) -> dict[str, Any]:
    """All but where files lie, which may be elsewhere on each machine: of these the contents are compared."""
    record = settings.model_dump(mode="json")
    for section in ("source", "target", "validation"):
        if record.get(section):
            record[section]["root"] = "."
    if (weights := settings.model.weights) and Path(weights).is_file():
        record["model"]["weights"] = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    return record


def _digest(domain: Domain, facts: Facts | None) -> str:
    """Of the files' names, what their labels mean, and how many pixels each class has."""
    digest = hashlib.sha256("\n".join(pair.name for pair in domain.pairs).encode())
    if domain.pairs and domain.pairs[0].label:
        digest.update(domain.meaning)
    if facts is not None and facts.pixels is not None:
        digest.update(np.ascontiguousarray(facts.pixels).tobytes())
    return digest.hexdigest()


def _difference(chief: dict[str, Any], other: dict[str, Any]) -> str:
    """What one worker has otherwise than the chief, in words."""
    if chief["settings"] != other["settings"]:
        theirs, ours = (Config.model_validate_json(json.dumps(of["settings"])) for of in (other, chief))
        key, (value, wanted) = next(iter(config.differences(theirs, ours).items()))
        return f"{key} must be {json.dumps(wanted)} as on the chief. Received: {json.dumps(value)}."
    for name, version in chief["versions"].items():
        if other["versions"][name] != version:
            return f"{name} must be {version} as on the chief. Received: {other['versions'][name]}."
    for role, digest in chief["data"].items():
        if other["data"].get(role) != digest:
            return f"the {role} images and labels must be those of the chief."
    return (
        f"the run folder must be one that all workers share: the chief has the snapshot of step {chief['snapshot']}. "
        f"Received: step {other['snapshot']}."
    )
