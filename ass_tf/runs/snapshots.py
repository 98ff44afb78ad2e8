"""Snapshots of a run: everything that the next step depends on, written so that a kill at any moment loses nothing.

Where they lie is `folder`'s part.
"""

import contextlib
import json
import os
import shutil

import keras
import tensorflow as tf

from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.system import storage, terminal


def _sync(path):
    """Waits until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(run, trackable, state):
    """Writes a snapshot and removes those that are neither the newest nor the best; of one there is, only the state.

    Args:
        run: RunFolder.
        trackable: tf.train.Checkpoint of everything the next step depends on.
        state: dict for state.json. "step" names the snapshot, "best": {"step": ...} an older one to keep.

    Raises:
        OSError: the disk is full, say; what was saved before is still there.
    """
    target = run.snapshot_at(state["step"])
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    if target.exists():
        storage.write_text(target / "state.json", json.dumps(state, indent=1))
        prune(run, state)
        return
    temporary = folder / ".part"
    shutil.rmtree(temporary, ignore_errors=True)  # left by a kill
    temporary.mkdir()
    try:
        trackable.write(str(temporary / "weights"))
        storage.write_text(temporary / "state.json", json.dumps(state, indent=1))
        for path in [*temporary.iterdir(), temporary]:
            _sync(path)
    except (tf.errors.OpError, OSError) as error:
        shutil.rmtree(temporary, ignore_errors=True)  # what is on a full disk is in the way
        reason = terminal.reason(error) if isinstance(error, tf.errors.OpError) else storage.reason(error)
        rule = f"{folder}: the snapshot of step {state['step']} cannot be saved"
        raise OSError(f"{rule}: {reason}") from None
    os.replace(temporary, target)
    _sync(folder)
    prune(run, state)


def prune(run, state):
    """Removes the snapshots that are neither of `state`'s step nor of its best, and what a kill left of such."""
    keep = {state["step"], (state.get("best") or {}).get("step")}
    for step, path in run.snapshots().items():
        if step not in keep:
            os.replace(path, path.with_name(f".old-{step}"))
    for left in run.snapshot_at(0).parent.glob(".old-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _restoring(folder):
    try:
        yield
    except Exception as error:  # TensorFlow raises many kinds here
        reason = _other_keras(RunFolder(folder.parents[1])) or terminal.reason(error)
        raise RunFolderError(f"{folder}: the snapshot cannot be restored: {reason}") from None


def _other_keras(run):
    """Why a snapshot of Keras 2 cannot be restored under Keras 3, or the other way round; empty if that is not it."""
    try:
        written = run.read_sessions()["sessions"][-1]["versions"]["keras"]
        written.partition(".")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    if written.partition(".")[0] == keras.__version__.partition(".")[0]:
        return ""
    return (
        f"it is of Keras {written}, this is Keras {keras.__version__}, and each arranges snapshots its own way; there "
        f"`python -m ass_tf.weights {run} --out FILE` writes the weights so that `model.weights` takes them here."
    )


def restore(run, trackable):
    """Loads the newest snapshot into `trackable`.

    Returns:
        state: dict, or None where there is no snapshot yet.

    Raises:
        RunFolderError: the snapshot cannot be read or is of other networks.
    """
    if not run.snapshots():
        return None
    folder, state = run.state()
    with _restoring(folder), storage.literal_path(folder) as path:
        trackable.read(f"{path}/weights").expect_partial().assert_consumed()
    return state


def restore_generator(run, generator, which="last", network="student"):
    """Loads G's variables of a snapshot, or its teacher's.

    Args:
        run: RunFolder.
        generator: keras.Model as the run's settings build it.
        which: "last" or "best".
        network: "student" or "teacher".

    Returns:
        step: int.

    Raises:
        RunFolderError: there is no such snapshot, or it is of another network.
    """
    folder, state = run.state(which)
    with _restoring(folder), storage.literal_path(folder) as path:
        saved = tf.train.Checkpoint(**{"generator" if network == "student" else network: generator})
        status = saved.read(f"{path}/weights").expect_partial()
        status.assert_existing_objects_matched()
    return state["step"]
