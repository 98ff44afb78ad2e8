"""Several workers make the run of one machine with as many replicas, whatever happens to one of them."""

import json
import signal

import pytest
from small_runs import assert_identical, draw_scenes, log_of, settings, wait_for
from worker_processes import ends, start_workers

from ass_tf import config
from ass_tf.runs import loop
from ass_tf.runs.folder import RunFolder

pytestmark = pytest.mark.slow
TRAIN = {"steps": 60, "validate_every": 25, "checkpoint_every": 10, "log_every": 2, "shares_every": 7}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with scenes and a settings file for two replicas."""
    root = draw_scenes(tmp_path_factory.mktemp("workers"))
    changes = {"batch": {"source": 2, "labelled": 2, "unlabelled": 2}, "train": TRAIN}
    (root / "small.json").write_text(json.dumps(settings(root, **changes)))
    return root


@pytest.fixture(scope="module")
def whole(place):
    """A run of two workers that nobody disturbs."""
    found = ends(start_workers(place / "small.json", place / "whole", 2))
    assert [status for status, _ in found] == [0, 0], found
    return place / "whole"


def test_two_workers_make_the_run_of_two_replicas(place, whole, two_replicas):
    loop.train(config.load(place / "small.json"), place / "one", two_replicas)
    assert {p.name for p in (place / "one/pictures").iterdir()} == {p.name for p in (whole / "pictures").iterdir()}
    assert_identical(place / "one", whole)
    session = json.loads((whole / "run.json").read_text())["sessions"][0]
    assert (session["replicas"], len(session["workers"])) == (2, 2)


def test_a_run_whose_workers_are_stopped_and_killed_ends_as_the_undisturbed_one(place, whole):
    run = place / "run"

    def begun(step):
        return lambda: run.joinpath("log.jsonl").exists() and any(r["step"] >= step for r in log_of(run))

    workers = start_workers(place / "small.json", run, 2)
    wait_for(begun(6), workers[0])
    workers[1].send_signal(signal.SIGTERM)
    stopped = ends(workers)
    assert [status for status, _ in stopped] == [143, 143], stopped
    step = max(RunFolder(run).snapshots())
    for victim in (1, 0):
        workers = start_workers(place / "small.json", run, 2)
        step += 4
        wait_for(begun(step), workers[0])
        workers[victim].kill()
        workers[victim].communicate()
        left = workers[1 - victim]
        status, line = ends([left], 60)[0]
        assert status == 75, line
        assert f"worker {victim} (127.0.0.1:" in line
        assert line.endswith("has gone; start all workers again.")
        step = max(RunFolder(run).snapshots())
    assert [status for status, _ in ends(start_workers(place / "small.json", run, 2))] == [0, 0]
    assert_identical(run, whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimiser.lr=0.02"], r"optimiser.lr must be 0.01 as on the chief. Received: 0.02."),
        (["target.root={other}"], "the labelled images and labels must be those of the chief."),
    ],
)
def test_workers_that_differ_say_so_and_do_not_begin(place, tmp_path, words, message):
    draw_scenes(tmp_path, count=6)
    words = [word.format(other=tmp_path / "cityscapes") for word in words]
    found = ends(start_workers(place / "small.json", tmp_path / "run", 2, ([], ["--set", *words])))
    assert [status for status, _ in found] == [1, 1]
    assert all("error: worker 1 (" in line and message in line for _, line in found), found
    assert not (tmp_path / "run/snapshots").exists()
