import json
import os
import resource
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from ass_tf import checkpoint, config, journal, streets, train

ROOT = Path(__file__).parents[1]
MEASURED = ("images_per_second", "waiting_share", "memory_mb")  # what differs between equal runs
LOSSES = {
    *(f"segmentation_loss_{role}" for role in ("source", "labelled")),
    "global_adversarial_loss",
    *(f"global_discriminator_loss_{role}" for role in ("source", "unlabelled")),
    "csa_adversarial_loss",
    *(f"csa_discriminator_loss_{role}" for role in ("source", "labelled")),
}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    streets.write_gta5(root / "gta5", 4, 0, (64, 128))
    streets.write_cityscapes(root / "cityscapes", {"train": 4, "val": 2}, 1, (64, 128))
    return root


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """What is remembered of checked files stays out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def settings(scenes, **changes):
    domain = {"size": [32, 64], "root": str(scenes / "cityscapes"), "dataset": "cityscapes"}
    return {
        "method": "csa",
        "source": {**domain, "root": str(scenes / "gta5"), "dataset": "gta5"},
        "target": {**domain, "labelled": 2},
        "validation": {**domain, "split": "val"},
        "augmentation": {"flip": True, "scale": 1.5, "colour": 0.5},
        "model": {"backbone": "tiny", "rates": [1], "weights": None},
        "discriminators": {"global_width": 8, "semantic_width": 16},
        "optimiser": {"lr": 0.01, "head_multiplier": 1.0, "decay_steps": 100},
        "train": {"steps": 14, "validate_every": 8, "checkpoint_every": 4, "log_every": 3},
        "seed": 5,
        **changes,
    }


@pytest.fixture(scope="session")
def file(scenes):
    path = scenes / "small.json"
    path.write_text(json.dumps(settings(scenes)))
    return path


def start(file, run):
    """The command as a user types it."""
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(run)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail(f"the run ended too early or hangs: {process.communicate(timeout=9)}")
        time.sleep(0.005)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def log_of(run):
    """Records of log.jsonl without what is measured by the clock."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in MEASURED} for record in records]


def tensors(folder):
    reader = tf.train.load_checkpoint(str(folder / "weights"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def assert_identical(run, other):
    """Two runs have the same snapshots bit by bit, the same log and the same results."""
    assert list(checkpoint.snapshots(run)) == list(checkpoint.snapshots(other))
    for folder, expected in zip(checkpoint.snapshots(run).values(), checkpoint.snapshots(other).values()):
        found, expected = tensors(folder), tensors(expected)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name].tobytes() != expected[name].tobytes()] == []
    assert log_of(run) == log_of(other)
    for name in ("config.json", "result.json", *(f"data/{p.name}" for p in (other / "data").iterdir())):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


# A run as a user makes it, as processes.


@pytest.fixture(scope="session")
def runs(file, tmp_path_factory):
    """Two runs of the same settings at the same time.

    One is undisturbed. The other is stopped by SIGTERM after the first record, then by kill -9 after another snapshot,
    then let go on.
    """
    whole, run = tmp_path_factory.mktemp("whole") / "run", tmp_path_factory.mktemp("parts") / "run"
    undisturbed = start(file, whole)
    first = start(file, run)
    wait_for(lambda: (run / "log.jsonl").exists() and (run / "log.jsonl").stat().st_size, first)
    first.terminate()
    out, err = first.communicate()
    saved = list(checkpoint.snapshots(run))
    second = start(file, run)
    wait_for(lambda: list(checkpoint.snapshots(run)) != saved, second)
    second.kill()
    second.communicate()
    killed = not (run / "result.json").exists()
    third = start(file, run)
    rest = third.communicate()
    stopped = SimpleNamespace(status=first.returncode, out=out, err=err, saved=saved)
    interrupted = SimpleNamespace(run=run, stopped=stopped, killed=killed, status=third.returncode, rest=rest)
    out, err = undisturbed.communicate()
    finished = SimpleNamespace(run=whole, status=undisturbed.returncode, out=out, err=err)
    return SimpleNamespace(finished=finished, interrupted=interrupted)


@pytest.fixture(scope="session")
def finished(runs):
    return runs.finished


@pytest.fixture(scope="session")
def interrupted(runs):
    return runs.interrupted


def test_run_ends_with_status_0_and_tells_losses_speed_time_left_and_scores_in_plain_lines(finished):
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    assert lines[0] == f"run folder: {finished.run}"
    assert [line.split()[1] for line in lines if " images/s " in line] == ["3/14", "6/14", "9/14", "12/14", "14/14"]
    assert all("seg_source" in line and line.endswith(" left") for line in lines if " images/s " in line)
    assert [line for line in lines if line.startswith("step 8: mIoU ")]
    assert lines[-1] == f"results: {finished.run / 'result.json'}"
    assert "\x1b" not in finished.out
    assert "Traceback" not in finished.err


def test_run_folder_holds_settings_versions_data_lists_log_snapshots_and_results(finished, file):
    run = finished.run
    assert config.load(run / "config.json") == config.load(file)
    record = json.loads((run / "run.json").read_text())
    assert record["initial_weights"] == "random"
    assert len(record["sessions"]) == 1
    session = record["sessions"][0]
    assert set(session["versions"]) == {"ass_tf", "python", "tensorflow", "keras", "numpy"}
    assert session["command"][1:] == ["--config", str(file), "--run", str(run)]
    assert session["replicas"] == 1
    lists = {p.stem: p.read_text().splitlines() for p in (run / "data").iterdir()}
    assert {role: len(names) for role, names in lists.items()} == {
        "source": 4,
        "labelled": 2,
        "unlabelled": 4,
        "validation": 2,
    }
    assert set(lists["labelled"]) < set(lists["unlabelled"])
    result = json.loads((run / "result.json").read_text())
    assert (result["method"], result["labelled_images"], result["last"]["step"]) == ("csa", 2, 14)
    assert result["best"]["step"] in (8, 14)
    assert list(checkpoint.snapshots(run)) == sorted({result["best"]["step"], 14})


def test_log_has_the_mean_of_every_loss_each_n_steps_and_the_validations(finished):
    records = log_of(finished.run)
    assert [record["step"] for record in records] == [3, 6, 8, 9, 12, 14, 14]
    for record in records:
        if "validation" in record:
            assert record["step"] in (8, 14)
            assert len(record["validation"]["iou"]) == 19
        else:
            assert set(record) == {"step", *LOSSES}
    last = json.loads((finished.run / "log.jsonl").read_text().splitlines()[0])
    assert last["images_per_second"] > 0
    assert 0 <= last["waiting_share"] <= 1
    assert last["memory_mb"] > 50


def test_tensorboard_has_scalars_of_every_loss_and_an_image_of_every_validation(finished):
    shown = {"scalars": {}, "images": {}}
    for events in (finished.run / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(events)):
            for value in event.summary.value:
                kind = value.metadata.plugin_data.plugin_name
                shown[kind].setdefault(value.tag, []).append(event.step)
                if kind == "images":
                    height, width = (int(side) for side in value.tensor.string_val[1::-1])
                    picture = tf.image.decode_png(value.tensor.string_val[2])
                    assert picture.shape == (height, width, 3)
    assert shown["images"] == {"validation": [8, 14]}
    for name in LOSSES:
        assert shown["scalars"][name] == [3, 6, 9, 12, 14]
    assert shown["scalars"]["validation/miou"] == [8, 14]


def test_same_command_on_a_finished_run_says_so_and_changes_nothing(finished, file, capsys):
    before = content(finished.run)
    assert train.main(["--config", str(file), "--run", str(finished.run)]) == 0
    assert content(finished.run) == before
    out = capsys.readouterr().out.splitlines()
    assert out[1] == f"{finished.run}: finished before; nothing is left to do."
    assert out[2].startswith("last: step 14, mIoU ")


def test_sigterm_saves_first_and_exits_with_143(interrupted):
    stopped = interrupted.stopped
    assert stopped.status == 143, stopped.err
    assert len(stopped.saved) == 1
    assert 3 <= stopped.saved[0] < 14
    assert stopped.out.splitlines()[-1] == (
        f"{interrupted.run}: saved step {stopped.saved[0]}; the same command goes on from there."
    )
    assert "Traceback" not in stopped.err


def test_run_stopped_by_sigterm_and_kill_9_arrives_at_the_undisturbed_runs_weights_log_and_results(
    interrupted, finished
):
    assert interrupted.killed
    assert interrupted.status == 0, interrupted.rest
    assert f"{interrupted.run}: going on after step " in interrupted.rest[0]
    assert len(json.loads((interrupted.run / "run.json").read_text())["sessions"]) == 3
    assert_identical(interrupted.run, finished.run)


def test_evaluate_scores_the_run(finished, interrupted):
    words = [
        sys.executable,
        "-m",
        "ass_tf.evaluate",
        "--run",
        str(interrupted.run),
        "--out",
        str(interrupted.run / "e"),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trained = json.loads((finished.run / "result.json").read_text())
    scored = json.loads((interrupted.run / "e" / "result.json").read_text())
    for which in ("last", "best"):
        assert scored[which]["step"] == trained[which]["step"]
        assert scored[which]["miou"] == pytest.approx(trained[which]["miou"], abs=1e-6)
    assert scored["labelled_images"] == 2


def test_loss_that_is_not_finite_stops_the_run_with_the_step_and_the_term(file, tmp_path, capsys):
    words = ["method=joint", "optimiser.lr=1e30", "train.deterministic=false"]
    assert train.main(["--config", str(file), "--run", str(tmp_path / "run"), "--set", *words]) == 1
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if not line.startswith("checking the data")] == err[-1:]
    assert err[-1].startswith("error: step ")
    assert "segmentation_loss_source must be finite. Received: " in err[-1]
    assert not (tmp_path / "run" / "result.json").exists()


# The loop around a game that only counts, in this process.


class Counting:
    """Stands in for a Game: its weight is the number of steps done, and so is its loss."""

    def __init__(self, before_step):
        self.strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        self.networks = SimpleNamespace(generator=lambda images, training: (images, images))
        self.done, self.before_step = tf.Variable(0), before_step

    def step(self, batch):
        self.before_step(int(self.done) + 1, batch)
        self.done.assign_add(1)
        return {"count_loss": tf.cast(self.done, tf.float32)}


@pytest.fixture
def command(file, tmp_path, monkeypatch, capsys):
    """Runs the command line with a game that counts; `at` maps a step to what happens in it."""

    def call(*words, at=None, run=tmp_path / "run"):
        def before_step(step, batch):
            (at or {}).get(step, lambda batch: None)(batch)

        def build_game(config, strategy):
            game = Counting(before_step)
            return game, tf.train.Checkpoint(done=game.done, ballast=tf.Variable(tf.zeros([50_000])))

        monkeypatch.setattr(train, "build_game", build_game)
        words = ["method=joint", "validation=null", "train.deterministic=false", *words]
        try:
            status = train.main(["--config", str(file), *(["--run", str(run)] if run else []), "--set", *words])
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if not line.startswith("checking the data")]
        return SimpleNamespace(status=status, out=out, err=errors, run=run)

    return call


def send(number, times=1):
    def act(batch):
        for _ in range(times):
            os.kill(os.getpid(), number)

    return act


def counted(run):
    """Step of the newest snapshot, which is what the game has counted."""
    folder, state = checkpoint.state_of(run)
    assert tensors(folder)["done/.ATTRIBUTES/VARIABLE_VALUE"] == state["step"]
    return state["step"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_the_step_and_the_same_command_goes_on_to_the_same_log(command, tmp_path, number, status):
    whole = command(run=tmp_path / "whole")
    assert whole.status == 0
    first = command(at={5: send(number)})
    assert (first.status, first.err) == (status, [])
    assert counted(first.run) == 5
    assert command().status == 0
    assert counted(first.run) == 14
    assert log_of(first.run) == log_of(whole.run)


def test_ctrl_c_twice_ends_at_once_in_one_line(command):
    done = command(at={6: send(signal.SIGINT, 2)})
    assert (done.status, done.err) == (
        130,
        ["error: interrupted; the same command goes on from the last snapshot, if there is one."],
    )
    assert counted(done.run) == 4


def test_sigterm_twice_still_saves(command):
    assert command(at={6: send(signal.SIGTERM, 2)}).status == 143
    assert counted(command(at={7: send(signal.SIGTERM)}).run) == 7


def test_signal_in_the_last_step_ends_the_run_normally(command):
    done = command(at={14: send(signal.SIGTERM)})
    assert done.status == 0
    assert (done.run / "result.json").exists()


def test_handlers_of_signals_are_as_before_after_a_run(command):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    command("train.steps=1")
    command("train.steps=2", at={1: send(signal.SIGINT)}, run=None)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_crash_between_records_loses_nothing_of_their_means(command, tmp_path):
    """Snapshots at 4, 8, 12 and records at 3, 6, 9, 12: each window of means is cut by a snapshot."""

    def crash(batch):
        raise OSError("power cut")

    for step in (2, 5, 6, 7, 9, 11, 13):
        assert command(at={step: crash}).status == 1
    done = command()
    assert done.status == 0
    assert log_of(done.run) == [
        {"step": step, "count_loss": mean} for step, mean in ((3, 2), (6, 5), (9, 8), (12, 11), (14, 13.5))
    ]


def test_resumed_run_reads_the_images_that_it_would_have_read(command, tmp_path):
    seen = {}

    def look(name):
        def note(step):
            def act(batch):
                seen.setdefault(name, {})[step] = [np.asarray(t).tobytes() for t in tf.nest.flatten(batch)]

            return act

        return {step: note(step) for step in range(1, 15)}

    command(at=look("whole"), run=tmp_path / "whole")
    command(at={**look("parts"), 6: send(signal.SIGTERM)})
    command(at=look("parts"))
    del seen["whole"][6]
    assert seen["parts"] == seen["whole"]


@pytest.mark.parametrize("size", [100, 2_000, 100_000])
def test_full_disk_is_one_line_and_the_same_command_goes_on_when_there_is_room(command, size):
    """Files cannot grow beyond 100 bytes: the log fails; 2 kB: the events do, or a snapshot."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(batch):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    try:
        done = command(at={6: fill})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.status == 1
    assert len(done.err) == 1
    assert "File too large" in done.err[0]
    assert str(done.run) in done.err[0]
    assert counted(done.run) == 4
    done = command()
    assert done.status == 0
    assert counted(done.run) == 14
    assert [record["step"] for record in log_of(done.run)] == [3, 6, 9, 12, 14]


def test_image_that_becomes_unreadable_is_named_in_one_line(command, file, scenes, tmp_path):
    streets.write_gta5(tmp_path / "gta5", 20, 0, (64, 128))

    def harm(batch):
        for image in (tmp_path / "gta5" / "images").iterdir():
            os.truncate(image, 100)

    done = command(f"source.root={tmp_path / 'gta5'}", at={1: harm})
    assert done.status == 1
    assert len(done.err) == 1
    assert str(tmp_path / "gta5" / "images") in done.err[0]
    assert "cannot be decoded" in done.err[0]


def test_second_process_on_the_same_folder_is_refused(command, tmp_path):
    with checkpoint.claim(tmp_path / "run", config.dump(config.load(command().run / "config.json"))):
        done = command()
    assert (done.status, done.err) == (1, [f"error: {done.run}: another process is training in this folder."])


def test_other_settings_in_the_same_folder_are_refused(command):
    command("train.steps=1")
    before = content(command("train.steps=1").run)
    done = command("train.steps=1", "optimiser.lr=0.02")
    assert (done.status, len(done.err)) == (1, 1)
    assert "optimiser.lr must be 0.01 as in the run begun there" in done.err[0]
    assert content(done.run) == before


def test_other_images_than_the_run_began_with_are_refused(command, tmp_path):
    streets.write_gta5(tmp_path / "gta5", 2, 0, (64, 128))
    words = [f"source.root={tmp_path / 'gta5'}"]
    command(*words, at={3: send(signal.SIGTERM)})
    streets.write_gta5(tmp_path / "gta5", 3, 0, (64, 128))
    done = command(*words)
    assert (done.status, len(done.err)) == (1, 1)
    assert done.err[0].startswith(f"error: {done.run / 'data' / 'source.txt'}: the source images must be those")


def test_missing_data_folder_is_one_line(command, tmp_path):
    done = command(f"source.root={tmp_path / 'nowhere'}")
    assert (done.status, done.err) == (1, [f"error: {tmp_path / 'nowhere'}: no such folder."])


def test_wrong_settings_are_one_line_with_status_2_and_make_no_folder(command):
    done = command("lr=1")
    assert (done.status, len(done.err)) == (2, 1)
    assert "lr is no setting; the nearest is optimiser.lr. Received: 1." in done.err[0]
    assert not done.run.exists()


def test_batch_that_does_not_divide_among_replicas_is_one_line(file, tmp_path, capsys, two_replicas):
    settings = config.load(file, ["batch.labelled=3"])
    with pytest.raises(train.TrainingError) as caught:
        train.build_game(settings, two_replicas)
    assert str(caught.value) == "batch.source must be a multiple of the 2 replicas. Received: 1."


def test_run_folder_is_named_by_file_and_settings_if_not_given(command, file, scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = command("train.steps=1", run=None)
    again = command("train.steps=1", run=None)
    other = command("train.steps=2", run=None)
    assert {first.status, again.status, other.status} == {0}
    assert "nothing is left to do" in again.out
    names = [p.name for p in (tmp_path / "runs").iterdir()]
    assert len(names) == 2
    assert all(name.startswith("small-") for name in names)


# What a person sees of it.


def test_terminal_shows_a_bar_with_losses_speed_and_time_left(tmp_path, monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(journal, "Console", lambda: Console(file=screen, force_terminal=True, width=150))
    with journal.Journal(tmp_path, 4, 0, 2, 2, {}) as log:
        for step in range(1, 5):
            log.step(step, {"segmentation_loss_source": 0.25, "csa_adversarial_loss": 0.5}, 0.0)
            log.say("hello") if step == 1 else None
    text = screen.getvalue()
    for part in ("4/4", "seg_source 0.250", "csa_adv 0.500", "images/s", "left", "hello"):
        assert part in text


def test_time_of_validations_and_snapshots_is_not_in_the_speed(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(journal.time, "perf_counter", lambda: now[0])
    with journal.Journal(tmp_path, 4, 0, 3, 2, {}) as log:
        for step in range(1, 5):
            now[0] += 1.0
            log.step(step, {"loss": 1.0}, 0.5)
            now[0] += 10.0
            log.pause(10.0)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["images_per_second"] for record in records] == [3.0, 3.0]
    assert [record["waiting_share"] for record in records] == [0.5, 0.5]
