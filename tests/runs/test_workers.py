"""Several workers make the run of one machine with as many replicas, whatever happens to one of them."""

import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_runs import assert_identical, draw_scenes, log_of, settings, tensors, wait_for
from worker_processes import ends, start_workers, train_mirrored

from ass_tf import config, datasets
from ass_tf.runs import workers
from ass_tf.runs.folder import RunFolder
from ass_tf.system.cluster import Cluster, ClusterError

needs_keras_3 = pytest.mark.skipif(keras.__version__.startswith("2."), reason="several workers need Keras 3")
TRAIN = {"steps": 60, "validate_every": 25, "checkpoint_every": 10, "log_every": 2, "shares_every": 7}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with scenes and settings files for two replicas: small.json, and ten.json of ten steps."""
    root = draw_scenes(tmp_path_factory.mktemp("workers"), count=8)
    for name, train in (("small", TRAIN), ("ten", {**TRAIN, "steps": 10, "validate_every": 5})):
        plain = settings(root, batch={"source": 4, "labelled": 4, "unlabelled": 4}, train=train)
        plain["target"]["labelled"] = 4
        (root / f"{name}.json").write_text(json.dumps(plain))
    return root


@pytest.mark.slow
@needs_keras_3
def test_two_workers_make_the_run_of_two_replicas(place):
    one, both = place / "one", place / "both"
    found = ends(start_workers(place / "ten.json", both, 2))
    assert [status for status, _ in found] == [0, 0], found
    train_mirrored(place / "ten.json", one, 2)
    for ours, theirs in zip(log_of(both), log_of(one)):
        assert ours.get("validation") == theirs.get("validation")
        for key, value in theirs.items():
            if isinstance(value, float):
                assert ours[key] == pytest.approx(value, rel=1e-6), key
    ours, theirs = (tensors(RunFolder(run).snapshots()[10]) for run in (both, one))
    for name, value in theirs.items():
        if getattr(value, "dtype", None) == np.float32:
            assert np.linalg.norm(ours[name] - value) <= 1e-5 * np.linalg.norm(value), name
    assert {p.name for p in (one / "pictures").iterdir()} == {p.name for p in (both / "pictures").iterdir()}
    session = json.loads((both / "run.json").read_text())["sessions"][0]
    assert (session["replicas"], len(session["workers"])) == (2, 2)


@pytest.mark.slow
@needs_keras_3
def test_a_run_whose_workers_are_stopped_and_killed_ends_as_the_undisturbed_one(place):
    run, whole = place / "run", place / "whole"
    assert [status for status, _ in ends(start_workers(place / "small.json", whole, 2))] == [0, 0]

    def begun(step):
        return lambda: run.joinpath("log.jsonl").exists() and any(r["step"] >= step for r in log_of(run))

    started = start_workers(place / "small.json", run, 2)
    wait_for(begun(6), started[0])
    started[1].send_signal(signal.SIGTERM)
    stopped = ends(started)
    assert [status for status, _ in stopped] == [143, 143], stopped
    step = max(RunFolder(run).snapshots())
    started = start_workers(place / "small.json", run, 2)
    wait_for(begun(step + 4), started[0])
    started[1].kill()
    started[1].communicate()
    status, line = ends(started[:1], 60)[0]
    assert status == 75, line
    assert "worker 1 (127.0.0.1:" in line
    assert line.endswith("has gone; start all workers again.")
    assert [status for status, _ in ends(start_workers(place / "small.json", run, 2))] == [0, 0]
    assert_identical(run, whole)


class Told(workers.Workers):
    """Two workers, of which the second tells what it is given."""

    def __init__(self, other):
        super().__init__(None, Cluster(("a:1", "b:1"), 0))
        self.other = other

    def exchange(self, text):
        return [text, self.other(json.loads(text))]


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (("settings", "optimiser"), {"lr": 0.02}, r"optimiser\.lr must be 0\.01 as on the chief\. Received: 0\.02\."),
        (("versions",), {"numpy": "1.0"}, r"numpy must be .* as on the chief\. Received: 1\.0\."),
        (("data",), {"source": "x"}, "the source images and labels must be those of the chief"),
        ((), {"snapshot": 0}, r"has the snapshot of step 8\. Received: step 0\."),
    ],
)
def test_workers_that_differ_are_named_with_the_difference(scenes, section, changes, message):
    plain = config.from_dict(settings(scenes))
    domains = datasets.open_roles(plain)

    def other(told):
        part = told
        for key in section:
            part = part[key]
        part.update(changes)
        return json.dumps(told, sort_keys=True)

    with pytest.raises(workers.UnlikeWorkers, match=rf"^worker 1 \(b:1\): .*{message}"):
        workers.check_alike(Told(other), plain, domains, datasets.check(domains), 8)
    workers.check_alike(Told(lambda told: json.dumps(told, sort_keys=True)), plain, domains, datasets.check(domains), 8)


def test_roots_of_the_data_may_differ(scenes, tmp_path):
    plain = config.from_dict(settings(scenes))
    moved = plain.model_copy(update={"source": plain.source.model_copy(update={"root": str(tmp_path)})})
    assert workers._settings(plain) == workers._settings(moved)


def test_earlier_keras_is_refused_before_anybody_is_waited_for(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "2.15.0")
    with pytest.raises(ClusterError, match=r"several workers need Keras 3\. Received: 2\.15\.0"):
        workers.build_strategy(Cluster(("a:1", "b:1"), 0))


WAITING = """
import time
import tensorflow as tf
from ass_tf.runs import workers
from ass_tf.system import cluster
cluster.Cluster.gather, cluster.GONE = lambda self: None, 1
tf.distribute.MultiWorkerMirroredStrategy = lambda: time.sleep(60)
workers.keras.__version__ = "3"
workers.build_strategy(cluster.Cluster(("127.0.0.1:1", "127.0.0.1:2"), 1))
"""


def test_worker_that_goes_while_tensorflow_looks_for_it_ends_the_others():
    done = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True, timeout=50)
    assert done.returncode == -signal.SIGKILL
    line = "error: worker 0 (127.0.0.1:1) has gone before the first step; start all workers again."
    assert done.stderr.splitlines()[-1] == line
