"""The loop around a game that only counts, in this process."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from counting import Counting
from counting import command as command  # a fixture
from small_runs import ROOT, content, log_of, tensors

from ass_tf import config, streets
from ass_tf.datasets import pipeline
from ass_tf.runs import claiming, loop, session
from ass_tf.runs.folder import RunFolder
from ass_tf.system import process


def test_freed_memory_is_kept_again_once_the_data_has_begun_to_flow(command, monkeypatch):
    made, calls = pipeline.training_dataset, []
    monkeypatch.setattr(pipeline, "training_dataset", lambda *words: calls.append("data") or made(*words))
    monkeypatch.setattr(process, "keep_freed", lambda: calls.append("kept"))
    assert command("train.steps=3", at={1: lambda batch: calls.append("step")}).status == 0
    assert calls == ["kept", "data", "kept", "step"]


def send(number, times=1):
    def act(batch):
        for _ in range(times):
            os.kill(os.getpid(), number)

    return act


def counted(run):
    """Step of the newest snapshot, which is what the game has counted."""
    folder, state = RunFolder(run).state()
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


def test_signal_in_a_validation_saves_first_and_the_validation_is_done_when_the_run_goes_on(
    command, scenes, tmp_path, monkeypatch
):
    validation = f"validation.root={scenes / 'cityscapes'}"
    words = ["validation.dataset=cityscapes", "validation.split=val", "validation.size=[32,64]", validation]
    whole = command(*words, run=tmp_path / "whole")
    assert whole.status == 0
    read, left = pipeline.evaluation_pairs, [3, 1]  # of the next two validations, the pair before which a signal comes

    def interrupted(domain, places):
        at = left.pop() if left else None
        for index, pair in enumerate(read(domain, places=places), 1):
            if index == at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield pair

    monkeypatch.setattr(pipeline, "evaluation_pairs", interrupted)
    first = command(*words)
    assert (first.status, first.err, counted(first.run)) == (143, [], 8)
    assert [record for record in log_of(first.run) if "validation" in record] == []
    assert command(*words).status == 0
    assert log_of(first.run) == log_of(whole.run)
    assert (first.run / "result.json").read_bytes() == (whole.run / "result.json").read_bytes()
    assert [p.name for p in (first.run / "snapshots").iterdir()] == [
        p.name for p in (whole.run / "snapshots").iterdir()
    ]


def test_weights_that_are_not_finite_are_not_saved(command):
    done = command(spoilt=8)
    assert (done.status, done.err) == (
        1,
        [
            "error: step 8: generator's kernel:0 must be finite after the step. The last snapshot is from before; a "
            "lower optimiser.lr may help."
        ],
    )
    assert counted(done.run) == 4


def test_start_that_failed_binds_the_folder_to_nothing(command, scenes, tmp_path):
    assert command("source.root=/gone").status == 1
    (tmp_path / "run" / "data").mkdir()
    (tmp_path / "run" / "data" / "source.txt").write_text("another\n")
    assert command().status == 0


def test_handlers_of_signals_are_as_before_after_a_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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
    first = command.resumed
    command(at=look("parts"))
    assert (first, command.resumed) == (False, True)  # the second start asks for no initial weights
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
    with claiming.claim(RunFolder(tmp_path / "run"), config.load(command().run / "config.json")):
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
    with pytest.raises(session.TrainingError) as caught:
        session.build_step(settings, two_replicas)
    assert str(caught.value) == (
        "batch.source must be a multiple of the number of replicas, 2 (CUDA_VISIBLE_DEVICES chooses the GPUs). "
        "Received: 1."
    )
    session.build_step(config.load(file, ["method=oracle", "batch.labelled=2"]), two_replicas)  # source is not read


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


def test_finite_scores_alone_are_the_best():
    state = loop.RunState()
    for state.step, miou in ((1, None), (2, 3.0), (3, None), (4, 2.0), (5, 3.5)):
        state.note({"miou": miou})
        assert state.last["step"] == state.step
    assert state.best["step"] == 5
    state.rejudged, state.step = True, 6
    state.note({"miou": 1.0})
    assert (state.best["step"], "rejudged" in state.to_json()) == (6, False)


def test_step_that_the_loss_scale_skips_goes_on_without_shares(command):
    class Scaled(Counting):
        def take(self, batch, measure_shares, stop=False):
            terms = super().take(batch, measure_shares)
            overflow = float("inf") if int(self.done) == 4 else 1.0
            norms = {"gradient_norm_a": overflow, "gradient_norm_b": 1.0}
            return {**terms, **(norms if measure_shares else {})}

    done = command("train.shares_every=2", "train.steps=6", game=Scaled)
    assert done.status == 0
    assert [record["step"] for record in log_of(done.run) if "gradient_shares" in record] == [2, 6]


@pytest.mark.slow
def test_reader_that_has_gone_ends_training_quietly(file, tmp_path):
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    with process.stderr as stderr:
        told = [line for line in stderr.read().splitlines() if not line.startswith("checking the data")]
    assert (process.wait(60), told) == (141, [])
