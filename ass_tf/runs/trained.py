"""A run found again: its settings, and its generator as a snapshot left it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import ass_tf
from ass_tf import config
from ass_tf.runs.folder import RunFolder

if TYPE_CHECKING:
    import keras


NETWORKS = ("student", "teacher")  # G, and the moving average of it that self-training has; runs are judged by this

NETWORK_HELP = "of a run with self-training (default: teacher)"


def newest_finished(root: str | Path = "runs") -> Path:
    """The run under a folder, at any depth, whose result.json was written last; hidden ones are not finished yet.

    Raises:
        ValueError: there is none.
    """
    finished = []
    for folder, subfolders, _ in os.walk(root):
        run = RunFolder(folder)
        subfolders[:] = [name for name in subfolders if name[0] != "."]
        if run.config.is_file():  # what lies inside belongs to it
            subfolders.clear()
            if run.result.is_file():
                finished.append(run)
    if not finished:
        raise ValueError(f"{root}: no finished run is there; name one by --run DIR.")
    return max(finished, key=lambda run: run.result.stat().st_mtime_ns).path


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Networks that are built in the context compute by this policy of Keras, whatever the process is set to."""
    import keras

    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def build(settings: config.Config) -> keras.Model:
    """The generator of a run's settings, float32, with weights yet to be restored; imports TensorFlow."""
    from ass_tf.models.generator import build_generator

    with precision("float32"):
        return build_generator(len(settings.class_names), settings.model)


def network_of(settings: config.Config, wanted: str | None = None) -> str:
    """One of NETWORKS: the wanted one, or the one that a run is judged by.

    Raises:
        ValueError: the run has no teacher.
    """
    if wanted == "teacher" and not settings.self_trains:
        raise ValueError("--network must be student for a run without self-training. Received: teacher.")
    return wanted or ("teacher" if settings.self_trains else "student")


def load(run: str | Path, which: str = "last", network: str | None = None) -> tuple[config.Config, keras.Model, int]:
    """A run's settings, its generator, and the step of the snapshot.

    Args:
        run: folder of the run.
        which: last or best.
        network: of NETWORKS; default: the one that the run is judged by.

    Returns:
        settings: Config.
        generator: keras.Model, float32.
        step: int.

    Raises:
        ValueError: the settings or the snapshot cannot be read; the message is one line.
    """
    from ass_tf.runs import snapshots

    folder = RunFolder(run)
    settings = folder.settings()
    folder.state(which)  # an error should come before the long work
    generator = build(settings)
    network = network_of(settings, network)
    return settings, generator, snapshots.restore_generator(folder, generator, which, network)


def judged_size(settings: config.Config) -> tuple[int, int]:
    """(height, width) of the images that a run is validated on, or that its target is trained on."""
    return (settings.validation or settings.target).size


def versions() -> dict[str, str]:
    """Of this package and of those on which results depend; imports TensorFlow."""
    import keras
    import numpy as np
    import PIL
    import tensorflow as tf

    return {
        "ass_tf": ass_tf.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
