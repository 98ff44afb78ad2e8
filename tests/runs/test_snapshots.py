"""Snapshots: whole or not there, and what they bring back."""

import errno
import json
import os
import resource
import shutil
import tempfile
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_runs import content

from ass_tf.runs import snapshots
from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.system import storage


def variables(*values):
    return tf.train.Checkpoint(**{f"v{i}": tf.Variable(value) for i, value in enumerate(values)})


@contextmanager
def disk_full_at(size):
    """No file grows beyond `size` bytes, as on a full disk. Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_text_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "a" / "b.txt"
    storage.write_text(file, "old")
    with disk_full_at(1000), pytest.raises(OSError):
        storage.write_text(file, "new" * 1000)
    assert file.read_text() == "old"
    storage.write_text(file, "new")
    assert file.read_text() == "new"
    assert [p.name for p in file.parent.iterdir()] == ["b.txt"]


def test_snapshot_brings_back_every_variable_bit_for_bit_and_the_state(tmp_path):
    values = (np.float32([1 / 3, np.pi, -0.0, 1e-45]), np.int32([-7]), True, np.float32(2.0**100))
    state = {"step": 7, "best": None, "window": {"loss": 1 / 3, "steps": 2}}
    snapshots.save(RunFolder(tmp_path), variables(*values), state)
    back = variables(*(np.zeros_like(value) for value in values))
    assert snapshots.restore(RunFolder(tmp_path), back) == state
    for i, value in enumerate(values):
        assert getattr(back, f"v{i}").numpy().tobytes() == np.asarray(value).tobytes()


def test_network_and_optimiser_go_on_as_if_never_stopped(tmp_path):
    def build():
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
        schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 10)
        optimiser = keras.optimizers.Adam(schedule)
        optimiser.build(network.trainable_variables)
        return network, optimiser, tf.train.Checkpoint(network=network, optimiser=optimiser)

    def steps(network, optimiser, count):
        for _ in range(count):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(network(tf.eye(3), training=True) ** 2)
            weights = network.trainable_variables
            optimiser.apply_gradients(zip(tape.gradient(loss, weights), weights))

    network, optimiser, trackable = build()
    steps(network, optimiser, 2)
    snapshots.save(RunFolder(tmp_path), trackable, {"step": 2})
    steps(network, optimiser, 3)
    other, other_optimiser, trackable = build()
    snapshots.restore(RunFolder(tmp_path), trackable)
    steps(other, other_optimiser, 3)
    for expected, found in zip(network.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(found, expected)


def test_folder_without_snapshot_has_nothing_to_restore(tmp_path):
    assert snapshots.restore(RunFolder(tmp_path), variables(1.0)) is None
    with pytest.raises(RunFolderError, match="the folder must hold a snapshot"):
        RunFolder(tmp_path).state()


def test_newest_and_best_snapshot_are_kept(tmp_path):
    trackable = variables(0.0)
    for step, best in ((1, None), (2, 2), (3, 2), (4, 2), (100_000_000, 2)):
        trackable.v0.assign(step)
        snapshots.save(RunFolder(tmp_path), trackable, {"step": step, "best": best and {"step": best}})
        assert list(RunFolder(tmp_path).snapshots()) == sorted({step, best or step})
    for which, step in (("last", 100_000_000), ("best", 2)):
        folder, state = RunFolder(tmp_path).state(which)
        assert (folder.name, state["step"]) == (f"step-{step:08d}", step)
    snapshots.save(RunFolder(tmp_path), trackable, {"step": 100_000_001, "best": {"step": 100_000_001}})
    assert list(RunFolder(tmp_path).snapshots()) == [100_000_001]


def test_best_of_a_run_that_was_never_validated_is_refused_and_the_last_is_named(tmp_path):
    snapshots.save(RunFolder(tmp_path), variables(0.0), {"step": 3, "best": None})
    with pytest.raises(RunFolderError, match=r"no snapshot is the best, .*; take the last, of step 3"):
        RunFolder(tmp_path).state("best")


def test_best_snapshot_that_is_gone_is_named_and_not_replaced_by_the_last(tmp_path):
    for step in (2, 5):
        snapshots.save(RunFolder(tmp_path), variables(0.0), {"step": step, "best": {"step": 2}})
    shutil.rmtree(tmp_path / "snapshots/step-00000002")
    with pytest.raises(RunFolderError, match=r"the best snapshot, of step 2, is gone; the last is of step 5\."):
        RunFolder(tmp_path).state("best")
    assert RunFolder(tmp_path).state("last")[1]["step"] == 5


@pytest.mark.parametrize("name", ["x[1]", "a*b?", "[", "back\\slash", "{0} %s %(a)s", "für 街 é", " a  b ", "n" * 200])
def test_folder_of_any_name_is_saved_and_restored(tmp_path, name):
    run = tmp_path / name
    snapshots.save(RunFolder(run), variables(7.0), {"step": 3})
    back = variables(0.0)
    assert snapshots.restore(RunFolder(run), back)["step"] == 3
    assert back.v0 == 7.0
    generator = small_generator(3)
    snapshots.save(RunFolder(run), tf.train.Checkpoint(generator=generator), {"step": 4})
    assert snapshots.restore_generator(RunFolder(run), small_generator(3)) == 4


def test_names_that_are_patterns_need_a_temporary_folder_that_is_none(tmp_path, monkeypatch):
    odd = tmp_path / "t[1]"
    snapshots.save(RunFolder(odd), variables(7.0), {"step": 3})
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    assert snapshots.restore(RunFolder(odd), variables(0.0))["step"] == 3  # in /tmp
    monkeypatch.setattr(os, "access", lambda *words: False)
    with pytest.raises(RunFolderError, match="takes this name for a pattern; set TMPDIR to a folder with a plain name"):
        snapshots.restore(RunFolder(odd), variables(0.0))


def test_what_a_kill_leaves_half_written_or_half_removed_is_no_snapshot_and_goes_with_the_next_save(tmp_path):
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    for name in (".part", ".part/weights_temp", ".old-5"):
        folder = tmp_path / "snapshots" / name
        folder.mkdir()
        (folder / "weights.index").write_text("half")
    assert list(RunFolder(tmp_path).snapshots()) == [1]
    assert snapshots.restore(RunFolder(tmp_path), variables(0.0))["step"] == 1
    snapshots.save(RunFolder(tmp_path), variables(2.0), {"step": 2})
    assert [p.name for p in (tmp_path / "snapshots").iterdir()] == ["step-00000002"]


def test_snapshot_that_a_kill_left_beside_the_newest_goes_with_the_next_save(tmp_path):
    for step in (1, 2):
        snapshots.save(RunFolder(tmp_path / str(step)), variables(1.0), {"step": step})
    os.replace(tmp_path / "1/snapshots/step-00000001", tmp_path / "2/snapshots/step-00000001")
    assert snapshots.restore(RunFolder(tmp_path / "2"), variables(0.0))["step"] == 2
    snapshots.save(RunFolder(tmp_path / "2"), variables(1.0), {"step": 3})
    assert list(RunFolder(tmp_path / "2").snapshots()) == [3]


def damage(name, size):
    def apply(folder):
        os.truncate(folder / name, size)

    return apply


@pytest.mark.parametrize(
    "harm",
    [
        damage("weights.data-00000-of-00001", 100),
        damage("weights.data-00000-of-00001", 0),
        damage("weights.index", 20),
        damage("weights.index", 0),
        damage("state.json", 3),
        lambda folder: (folder / "weights.data-00000-of-00001").unlink(),
        lambda folder: (folder / "weights.index").unlink(),
    ],
)
def test_damaged_snapshot_is_named_in_one_line(tmp_path, harm):
    snapshots.save(RunFolder(tmp_path), variables(np.arange(1000.0)), {"step": 1})
    folder = tmp_path / "snapshots" / "step-00000001"
    harm(folder)
    with pytest.raises(RunFolderError) as caught:
        snapshots.restore(RunFolder(tmp_path), variables(np.zeros(1000)))
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", [variables([0.0, 0.0]), variables(0.0, 0.0)])
def test_snapshot_of_other_networks_is_refused_in_one_line(tmp_path, other):
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    with pytest.raises(RunFolderError, match="the snapshot cannot be restored") as caught:
        snapshots.restore(RunFolder(tmp_path), other)
    assert "\n" not in str(caught.value)


def small_generator(width):
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(width, name="head")(inputs))


def test_generator_alone_is_restored_from_the_last_or_the_best_snapshot(tmp_path):
    generator = small_generator(3)
    for step in (1, 2):
        generator.set_weights([np.full((2, 3), step), np.zeros(3)])
        trackable = tf.train.Checkpoint(generator=generator, other=tf.Variable(1.0))
        snapshots.save(RunFolder(tmp_path), trackable, {"step": step, "best": {"step": 1}})
    for which, step in (("last", 2), ("best", 1)):
        fresh = small_generator(3)
        assert snapshots.restore_generator(RunFolder(tmp_path), fresh, which) == step
        np.testing.assert_array_equal(fresh.get_weights()[0], np.full((2, 3), step))
    with pytest.raises(RunFolderError, match="the snapshot cannot be restored"):
        snapshots.restore_generator(RunFolder(tmp_path), small_generator(4))


def test_a_snapshot_of_another_keras_says_what_carries_the_weights_over(tmp_path):
    other = "2.15.0" if keras.__version__ > "3" else "3.0.0"
    snapshots.save(RunFolder(tmp_path), tf.train.Checkpoint(generator=small_generator(3)), {"step": 1})
    storage.write_text(tmp_path / "run.json", json.dumps({"sessions": [{"versions": {"keras": other}}]}))
    with pytest.raises(RunFolderError, match=rf"it is of Keras {other}, .*python -m ass_tf\.weights") as caught:
        snapshots.restore_generator(RunFolder(tmp_path), small_generator(4))
    assert "\n" not in str(caught.value)


def test_full_disk_while_weights_are_written_is_an_error_that_names_the_step_and_keeps_the_older_snapshot(tmp_path):
    trackable = variables(np.arange(100_000, dtype=np.float32))
    snapshots.save(RunFolder(tmp_path), trackable, {"step": 1})
    before = content(tmp_path)
    trackable.v0.assign(-trackable.v0)
    with disk_full_at(100_000), pytest.raises(OSError, match="the snapshot of step 2 cannot be saved") as caught:
        snapshots.save(RunFolder(tmp_path), trackable, {"step": 2})
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert content(tmp_path) == before
    back = variables(np.zeros(100_000, np.float32))
    assert snapshots.restore(RunFolder(tmp_path), back)["step"] == 1
    assert back.v0[7] == 7.0
    snapshots.save(RunFolder(tmp_path), trackable, {"step": 2})
    assert list(RunFolder(tmp_path).snapshots()) == [2]


def test_full_disk_while_the_state_is_written_keeps_the_older_snapshot(tmp_path):
    trackable = variables(1.0)
    snapshots.save(RunFolder(tmp_path), trackable, {"step": 1})
    before = content(tmp_path)
    with (
        disk_full_at(10_000),
        pytest.raises(OSError, match=r"step 2 cannot be saved: .*File too large"),
    ):
        snapshots.save(RunFolder(tmp_path), trackable, {"step": 2, "scores": [0.5] * 10_000})
    assert content(tmp_path) == before  # nothing fills the disk further
    assert snapshots.restore(RunFolder(tmp_path), variables(0.0))["step"] == 1


def test_step_saved_again_gets_the_new_state_and_keeps_its_weights(tmp_path):
    for step, value in ((1, 1.0), (2, 2.0)):
        snapshots.save(RunFolder(tmp_path), variables(value), {"step": step, "best": {"step": 1}})
    weights = {name: content for name, content in content(tmp_path).items() if "weights" in name and "02/" in name}
    snapshots.save(RunFolder(tmp_path), variables(2.0), {"step": 2, "best": {"step": 2}})
    assert RunFolder(tmp_path).state() == (RunFolder(tmp_path).snapshots()[2], {"step": 2, "best": {"step": 2}})
    assert list(RunFolder(tmp_path).snapshots()) == [2]
    assert {name: content for name, content in content(tmp_path).items() if "weights" in name} == weights
