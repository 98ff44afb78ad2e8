"""The run folder: one run's settings, log, and snapshots, written so that a kill at any moment loses nothing.

    config.json     the resolved settings
    run.json        versions, command, host and start of every session
    data/*.txt      the images that were used, by role
    log.jsonl       losses, validations, shares of the gradient and warnings, one line each
    pictures/       a few validation images, their truth and the last predictions, train ids
    features/       class means of both domains' features, before the first step and after the last
    snapshots/step-00001000/   weights.*: all variables; state.json: step and scores so far
    result.json     the scores, when the run has ended

A snapshot's folder gets its name when everything in it is on the disk. Kept are the newest and the best.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil

import keras
import tensorflow as tf

from ass_tf import terminal
from ass_tf.files import write_text

SNAPSHOT = re.compile(r"step-(\d{8,})")


class RunFolderError(ValueError):
    """The run folder cannot be used; the message is one line that names it."""


def _sync(path):
    """Waits until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path}: no valid JSON: {error}.") from None


def claim(run, settings):
    """Makes or reopens a run folder and locks it for this process.

    Args:
        run: Path.
        settings: str, the text of config.json.

    Returns:
        lock: an open file; the lock lasts as long as it does.

    Raises:
        RunFolderError: another process works there, or the folder belongs to no run or to one with other settings that
            has saved something.
    """
    record = run / "config.json"
    if run.exists() and not record.exists() and any(p.name != "lock" for p in run.iterdir() if p.name[0] != "."):
        raise RunFolderError(f"{run}: --run must name a new folder or a run's. Received: a folder without config.json.")
    run.mkdir(parents=True, exist_ok=True)
    lock = open(run / "lock", "a")  # noqa: SIM115 (held until the process ends)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not snapshots(run):  # nothing is lost: a start may have failed for its settings
            write_text(record, settings)
        difference = _first_difference(_read_json(record), json.loads(settings))
        if difference:
            key, theirs, ours = difference
            raise RunFolderError(
                f"{run}: {key} must be {json.dumps(theirs)} as in the run begun there; another --run starts afresh. "
                f"Received: {json.dumps(ours)}."
            )
    except BlockingIOError:
        lock.close()
        raise RunFolderError(f"{run}: another process is training in this folder.") from None
    except BaseException:
        lock.close()
        raise
    return lock


def write_lists(run, names):
    """data/<role>.txt: the images used. A run that goes on must find the same ones.

    Args:
        run: Path.
        names: dict of role -> list of str.

    Raises:
        RunFolderError: a run that has saved something began with others.
    """
    if not snapshots(run):  # of a start that failed
        shutil.rmtree(run / "data", ignore_errors=True)
    for role, images in names.items():
        file, text = run / "data" / f"{role}.txt", "".join(f"{name}\n" for name in images)
        if not file.exists():
            write_text(file, text)
        elif file.read_text(encoding="utf-8") != text:
            raise RunFolderError(f"{file}: the {role} images must be those that the run began with; the data changed.")


def _first_difference(theirs, ours, path=""):
    """(key, their value, our value) of the first setting that differs, or None."""
    if not (isinstance(theirs, dict) and isinstance(ours, dict)):
        return None if theirs == ours else (path, theirs, ours)
    for key in [*theirs, *(k for k in ours if k not in theirs)]:
        difference = _first_difference(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
        if difference:
            return difference
    return None


def cut_log(run, step, unvalidated=False):
    """Drops the lines of log.jsonl that a resumed run writes again, and a line cut short by a kill.

    Args:
        run: Path.
        step: int, that of the snapshot from which the run goes on.
        unvalidated: bool. The step's validation is still to be done.
    """
    path = run / "log.jsonl"
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
            if record["step"] < step + (not (unvalidated and "validation" in record)):
                kept.append(line + "\n")
        except ValueError:
            continue
    write_text(path, "".join(kept))


def snapshots(run):
    """Folders of a run's complete snapshots: {step: Path}, ascending."""
    folder = run / "snapshots"
    found = {int(m[1]): p for p in folder.glob("step-*") if (m := SNAPSHOT.fullmatch(p.name))}
    return dict(sorted(found.items()))


def state_of(run, which="last"):
    """State of the last or best snapshot.

    Args:
        run: Path.
        which: "last" or "best" (by validation; of an unvalidated run: the last).

    Returns:
        folder: Path of the snapshot.
        state: dict, as `save` was given it.

    Raises:
        RunFolderError: there is none.
    """
    found = snapshots(run)
    if not found:
        raise RunFolderError(f"{run}: the folder must hold a snapshot. Received: none.")
    folder = list(found.values())[-1]
    state = _read_json(folder / "state.json")
    if which == "best" and state.get("best"):
        folder = found.get(state["best"]["step"], folder)
        state = _read_json(folder / "state.json")
    return folder, state


def save(run, trackable, state):
    """Writes a snapshot and removes those that are neither the newest nor the best; of one there is, only the state.

    Args:
        run: Path.
        trackable: tf.train.Checkpoint of everything the next step depends on.
        state: dict for state.json. "step" names the snapshot, "best": {"step": ...} an older one to keep.

    Raises:
        OSError: the disk is full, say; what was saved before is still there.
    """
    folder = run / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    if state["step"] in snapshots(run):
        write_text(snapshots(run)[state["step"]] / "state.json", json.dumps(state, indent=1))
        prune(run, state)
        return
    temporary = folder / ".part"
    shutil.rmtree(temporary, ignore_errors=True)  # left by a kill
    temporary.mkdir()
    try:
        trackable.write(str(temporary / "weights"))
    except tf.errors.OpError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        rule = f"{folder}: the snapshot of step {state['step']} cannot be saved"
        raise OSError(f"{rule}: {terminal.reason(error)}") from None
    write_text(temporary / "state.json", json.dumps(state, indent=1))
    for path in [*temporary.iterdir(), temporary]:
        _sync(path)
    os.replace(temporary, folder / f"step-{state['step']:08d}")
    _sync(folder)
    prune(run, state)


def prune(run, state):
    """Removes the snapshots that are neither of `state`'s step nor of its best, and what a kill left of such."""
    keep = {state["step"], (state.get("best") or {}).get("step")}
    for step, path in snapshots(run).items():
        if step not in keep:
            os.replace(path, path.with_name(f".old-{step}"))
    for left in (run / "snapshots").glob(".old-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _restoring(folder):
    try:
        yield
    except Exception as error:  # TensorFlow raises many kinds here
        reason = _other_keras(folder.parents[1]) or terminal.reason(error)
        raise RunFolderError(f"{folder}: the snapshot cannot be restored: {reason}") from None


def _other_keras(run):
    """Why a snapshot of Keras 2 cannot be restored under Keras 3, or the other way round; empty if that is not it."""
    try:
        written = _read_json(run / "run.json")["sessions"][-1]["versions"]["keras"]
    except (OSError, RunFolderError, LookupError, TypeError):
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
    if not snapshots(run):
        return None
    folder, state = state_of(run)
    with _restoring(folder):
        trackable.read(str(folder / "weights")).expect_partial().assert_consumed()
    return state


def restore_generator(run, generator, which="last"):
    """Loads G's variables of a snapshot.

    Args:
        run: Path.
        generator: keras.Model as the run's settings build it.
        which: "last" or "best".

    Returns:
        step: int.

    Raises:
        RunFolderError: there is no such snapshot, or it is of another network.
    """
    folder, state = state_of(run, which)
    with _restoring(folder):
        status = tf.train.Checkpoint(generator=generator).read(str(folder / "weights")).expect_partial()
        status.assert_existing_objects_matched()
    return state["step"]
