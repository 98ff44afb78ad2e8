"""A run found again: its settings, its generator as a snapshot left it, and what who gets the model alone must know.

Training is left to `train`, scores to `evaluate`, files that leave the laboratory to the commands in `export/`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import ass_tf
from ass_tf import config, datasets, labels
from ass_tf.datasets import files
from ass_tf.runs import folder as run_folder

if TYPE_CHECKING:
    import keras


def newest_finished(root: str | Path = "runs") -> Path:
    """The run under a folder, at any depth, whose result.json was written last.

    Raises:
        ValueError: there is none.
    """
    finished = []
    for folder, subfolders, names in os.walk(root):
        if "config.json" in names:  # a run: what lies inside belongs to it
            subfolders.clear()
            if "result.json" in names:
                finished.append(Path(folder))
    if not finished:
        raise ValueError(f"{root}: no finished run is there; name one by --run DIR.")
    return max(finished, key=lambda run: (run / "result.json").stat().st_mtime_ns)


def settings_of(run: str | Path) -> config.Config:
    """The settings that a run was trained with.

    Raises:
        ConfigError: config.json is missing or cannot be used.
    """
    return config.load_record(Path(run) / "config.json")


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
    from ass_tf.models import deeplab

    model = {**settings.model.model_dump(), "weights": None}  # the snapshot brings them all
    with precision("float32"):
        return deeplab.build_generator(len(settings.class_names), **model)


def load(run: str | Path, which: str = "last") -> tuple[config.Config, keras.Model, int]:
    """A run's settings, its generator, and the step of the snapshot.

    Args:
        run: folder of the run.
        which: last or best.

    Returns:
        settings: Config.
        generator: keras.Model as `deeplab.build_generator` returns it, float32.
        step: int.

    Raises:
        ValueError: the settings or the snapshot cannot be read; the message is one line.
    """
    from ass_tf.runs import snapshots

    settings = settings_of(run)
    run_folder.state_of(Path(run), which)  # a folder without snapshots is told at once
    generator = build(settings)
    return settings, generator, snapshots.restore_generator(Path(run), generator, which)


def unlabelled(settings: config.Config) -> files.Domain:
    """All target images of a run.

    Raises:
        DataError: they are not here.
    """
    target = settings.target.model_dump()
    return datasets.open_roles(settings.class_names, None, target, None, False, True)["unlabelled"]


def judged_size(settings: config.Config) -> tuple[int, int]:
    """(height, width) of the images that a run is validated on, or that its target is trained on."""
    return (settings.validation or settings.target).size


def description(run: str | Path, settings: config.Config, which: str, step: int) -> dict[str, str]:
    """What an exported model carries with it, as text; lists and settings are JSON.

    Returns:
        entries: `class_names`, `train_ids` and `colours` ([red, green, blue] each) in one order; `ignore`, the id of
            pixels that take no part; `size`, [height, width] of the images that the model was judged on; `settings`,
            the whole config.json; `run`, `snapshot`, `step`; `ass_tf_version`.
    """
    names = settings.class_names
    return {
        "class_names": json.dumps(list(names)),
        "train_ids": json.dumps(list(range(len(names)))),
        "colours": json.dumps(labels.colours(names)[: len(names)].tolist()),
        "ignore": str(labels.IGNORE),
        "size": json.dumps(judged_size(settings)),
        "settings": json.dumps(settings.model_dump(mode="json")),
        "run": Path(run).resolve().name,
        "snapshot": which,
        "step": str(step),
        "ass_tf_version": ass_tf.__version__,
    }
