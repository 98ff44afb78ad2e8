"""Which processes make a run together, and which of them this one is: from TF_CONFIG, a scheduler, or by hand."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ass_tf.system import storage, terminal

NOTE, PATIENCE = 30, 600  # seconds until missing workers are named, and until they are given up
GONE = 30  # seconds without an answer, after which a worker counts as gone while TensorFlow looks for it
PORT = 23456  # of every pod, where JOB_PORT is not set
ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class ClusterError(ValueError):
    """What is given names no cluster, or not one that can be used here; the message is one line."""


class Missing(ClusterError):
    """Other workers have not come."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
        addresses: HOST:PORT of each; the first is the chief.
        index: of this process among them.
    """

    addresses: tuple[str, ...]
    index: int

    def __str__(self) -> str:
        return self.name(self.index)

    def name(self, index: int) -> str:
        """How messages call a worker."""
        return f"worker {index} ({self.addresses[index]})"

    def to_tf_config(self) -> str:
        """What TF_CONFIG holds for TensorFlow."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": self.addresses}, "task": task})

    def gather(self) -> None:
        """Returns when every worker has been seen: TensorFlow would wait for them, but could not be interrupted.

        Until then this one answers at its own port, where later TensorFlow does.

        Raises:
            Missing: some have not come within PATIENCE seconds.
            ClusterError: the port is taken.
        """
        begun, noted = time.monotonic(), False
        missing = [i for i in range(len(self.addresses)) if i != self.index]
        with self._listen():
            while missing := [i for i in missing if not _answers(self.addresses[i])]:
                waited, names = time.monotonic() - begun, terminal.some([self.name(i) for i in missing])
                if waited > PATIENCE:
                    raise Missing(f"{names}: not there after {PATIENCE} seconds.")
                if waited > NOTE and not noted:
                    noted = True
                    print(f"{self}: waiting for {names}.", flush=True)
                time.sleep(0.2)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Kills this process when another worker has gone within, and says which.

        While TensorFlow looks for the others it lets neither threads nor signals through, and it would wait for ever.
        So the watching is done by a process of its own.
        """
        others = [[self.name(i), self.addresses[i]] for i in range(len(self.addresses)) if i != self.index]
        code = "import sys; from ass_tf.system import cluster; cluster.watch(*sys.argv[1:])"
        watcher = subprocess.Popen([sys.executable, "-c", code, json.dumps(others), str(os.getpid()), str(GONE)])
        try:
            yield
        finally:
            watcher.kill()
            watcher.wait()

    def _listen(self) -> socket.socket:
        both = socket.has_dualstack_ipv6()
        port = int(self.addresses[self.index].rpartition(":")[2])
        try:
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", port), family=family, backlog=1024, dualstack_ipv6=both)
        except OSError as error:
            why = (error.strerror or str(error)).partition(" (")[0]
            raise ClusterError(f"{self}: port {port} cannot be used here: {why}.") from None


def find(
    kind: str | None = None,
    workers: str | None = None,
    worker: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """The cluster that the options or the environment name.

    Args:
        kind: "slurm", "kubernetes" or None.
        workers: HOST:PORT,HOST:PORT,... or None.
        worker: index of this process among `workers`.
        environ: the environment. TF_CONFIG is read where no option is given.

    Returns:
        cluster: Cluster; None where this process is the only one.

    Raises:
        ClusterError: what is given does not name a cluster; the message says which part.
    """
    if (workers is None) != (worker is None):
        raise ClusterError("--workers and --worker must be given together.")
    if kind and workers is not None:
        raise ClusterError("--cluster must be left out with --workers, which names all workers.")
    if workers is not None and worker is not None:
        found = _checked("--workers", workers.split(","), "--worker", worker)
    elif kind:
        found = {"slurm": of_slurm, "kubernetes": of_kubernetes}[kind](environ)
    elif environ.get("TF_CONFIG", "").strip():
        found = of_tf_config(environ["TF_CONFIG"])
    else:
        return None
    return found if len(found.addresses) > 1 else None


def of_tf_config(text: str) -> Cluster:
    """TF_CONFIG: https://www.tensorflow.org/guide/distributed_training#TF_CONFIG."""
    try:
        content: Any = json.loads(text)
        jobs, task = content["cluster"], content.get("task") or {}
        addresses = {job: list(jobs[job]) for job in jobs}
        kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        example = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        raise ClusterError(f"TF_CONFIG must be like {example}. Received: {storage.shown(text)}.") from None
    if other := sorted({*addresses, kind} - {"chief", "worker"}):
        raise ClusterError(f"TF_CONFIG must have chiefs and workers only. Received: {other[0]}.")
    if kind not in addresses or not 0 <= index < len(addresses[kind]):
        raise ClusterError(f"TF_CONFIG: its task must be one of its cluster. Received: {kind} {index}.")
    chiefs = addresses.get("chief", [])
    if len(chiefs) > 1:
        raise ClusterError(f"TF_CONFIG must have at most one chief. Received: {len(chiefs)}.")
    index += len(chiefs) if kind == "worker" else 0
    return _checked("TF_CONFIG", [*chiefs, *addresses.get("worker", [])], "its task", index)


def of_slurm(environ: Mapping[str, str] = os.environ) -> Cluster:
    """One worker for each task of a job step, by the variables that srun sets.

    Source: https://slurm.schedmd.com/srun.html, "Output environment variables".
    """
    nodes = nodes_of(_needed(environ, "SLURM_STEP_NODELIST", "slurm"))
    counts = tasks_of(_needed(environ, "SLURM_STEP_TASKS_PER_NODE", "slurm"))
    index = _number(environ, "SLURM_PROCID", "slurm")
    if len(nodes) != len(counts):
        raise ClusterError(
            f"SLURM_STEP_TASKS_PER_NODE must have a number for each of {len(nodes)} nodes. Received: {len(counts)}."
        )
    if environ.get("SLURM_DISTRIBUTION", "block").split(":")[0].split(",")[0] not in ("block", "pack", "nopack"):
        raise ClusterError("srun must number its tasks node by node: --distribution=block.")
    first = 12000 + _number(environ, "SLURM_JOB_ID", "slurm") % 20000  # two jobs on a machine take other ports
    addresses = [f"{node}:{first + i}" for node, count in zip(nodes, counts) for i in range(count)]
    return _checked("SLURM_STEP_NODELIST", addresses, "SLURM_PROCID", index)


def nodes_of(text: str) -> list[str]:
    """Names of a list as Slurm writes it, such as gpu[01-03,7],login."""
    names, parts = [], re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text)
    for part in parts:
        found = re.fullmatch(r"([^\[\]]+)(?:\[(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)\])?([^\[\]]*)", part)
        if not found or ",".join(parts) != text:
            raise ClusterError(f"SLURM_STEP_NODELIST must be a list of nodes like gpu[01-03]. Received: {text}.")
        stem, ranges, rest = found.groups()
        for piece in ranges.split(",") if ranges else [None]:
            if piece is None:
                names.append(stem + rest)
                continue
            first, _, last = piece.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            names += [f"{stem}{n:0{len(first)}d}{rest}" for n in numbers]
    return names


def tasks_of(text: str) -> list[int]:
    """Tasks of each node as Slurm writes them, such as 2(x3),1."""
    counts: list[int] = []
    for part in text.split(","):
        if not (found := re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)):
            raise ClusterError(f"SLURM_STEP_TASKS_PER_NODE must be like 2(x3),1. Received: {text}.")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def of_kubernetes(environ: Mapping[str, str] = os.environ) -> Cluster:
    """One worker for each pod of an Indexed Job with a headless service.

    Pods are called <job>-<index>; `docs/cluster.md` has a manifest that sets what the Job itself does not say.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode.
    """
    index = _number(environ, "JOB_COMPLETION_INDEX", "kubernetes")
    count = _number(environ, "JOB_COMPLETIONS", "kubernetes")
    service = _needed(environ, "JOB_SERVICE", "kubernetes")
    host = environ.get("HOSTNAME") or socket.gethostname()
    job, dash, last = host.partition(".")[0].rpartition("-")
    if not dash or last != str(index):
        raise ClusterError(f"the pod's host name must be <job>-{index}, as in an Indexed Job. Received: {host}.")
    port = _number(environ, "JOB_PORT", "kubernetes") if environ.get("JOB_PORT") else PORT
    addresses = [f"{job}-{i}.{service}:{port}" for i in range(count)]
    return _checked("JOB_COMPLETIONS", addresses, "JOB_COMPLETION_INDEX", index)


def watch(others: str, process: str, patience: str) -> None:
    """`Cluster.watched`, by a child of the process: until that has ended, or another worker does not answer.

    Args:
        others: JSON of [name, HOST:PORT] of each.
        process: number of the process.
        patience: seconds without an answer.
    """
    peers = json.loads(others)
    seen = dict.fromkeys((name for name, _ in peers), time.monotonic())
    while os.getppid() == int(process):
        for name, address in peers:
            if _answers(address):
                seen[name] = time.monotonic()
            elif time.monotonic() - seen[name] > float(patience) and os.getppid() == int(process):
                line = f"error: {name} has gone before the first step; start all workers again."
                print(line, file=sys.stderr, flush=True)
                os.kill(int(process), signal.SIGKILL)
                return
        time.sleep(1)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
    except OSError:
        return False
    return True


def _needed(environ: Mapping[str, str], name: str, kind: str) -> str:
    if not environ.get(name):
        raise ClusterError(f"--cluster {kind} needs the variable {name}, which is not set; docs/cluster.md shows how.")
    return environ[name]


def _number(environ: Mapping[str, str], name: str, kind: str) -> int:
    text = _needed(environ, name, kind)
    if not text.isdecimal():
        raise ClusterError(f"{name} must be a whole number. Received: {text}.")
    return int(text)


def _checked(source: str, addresses: list[str], place: str, index: int) -> Cluster:
    for address in addresses:
        found = ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not found or not 0 < int(found[2]) < 65536:
            raise ClusterError(f"{source} must have HOST:PORT for each worker. Received: {address}.")
    if double := next((a for i, a in enumerate(addresses) if a in addresses[:i]), None):
        raise ClusterError(f"{source} must name each worker once. Received twice: {double}.")
    if not 0 <= index < len(addresses):
        raise ClusterError(f"{place} must be from 0 to {len(addresses) - 1}. Received: {index}.")
    return Cluster(tuple(addresses), index)
