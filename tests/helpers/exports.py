"""A finished run to export, and the inference command as who has neither TensorFlow nor this package would call it."""

import json
import os
import subprocess
import sys

import numpy as np
import small_runs
import tensorflow as tf

from ass_tf import config
from ass_tf.runs import snapshots, trained
from ass_tf.runs.folder import RunFolder

EXPORT = small_runs.ROOT / "export"
EVERY = ("labels", "colour", "overlay")  # what any model can give
ABSENT = ("tensorflow", "keras", "ass_tf", "onnx", "tf2onnx", "rich", "pydantic")


def finished_run(run, scenes, **changes):
    """A run folder whose only snapshot holds weights drawn so that every class wins somewhere."""
    settings = config.from_dict(small_runs.settings(scenes, **changes))
    run.mkdir(parents=True)
    (run / "config.json").write_text(config.dump(settings))
    generator, rng = trained.build(settings), np.random.default_rng(0)
    for variable in generator.variables:
        name, shape = getattr(variable, "path", variable.name), variable.shape
        if "variance" in name:
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 4:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape)
        else:
            value = rng.normal("gamma" in name, 0.1, shape)
        variable.assign(value.astype(np.float32))
    snapshots.save(RunFolder(run), tf.train.Checkpoint(generator=generator), {"step": 7})
    (run / "result.json").write_text("{}")
    return run


def uncounted():
    """The environment of a process whose branches are not counted: with a full disk, coverage cannot write, either."""
    return {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}


def infer(*words, cwd=None, program=EXPORT / "infer_onnx.py", path=EXPORT):
    """The finished process of infer_onnx.py, or of another file, where only its own libraries can be imported.

    Args:
        words: of the command line.
        cwd: working directory.
        program: the file.
        path: folder in which it finds its modules; None if it needs none.
    """
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); "
        # The package may be installed from a checkout, which is not what is tried here.
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]; "
        f"sys.path[:0] = {[str(path)] if path else []!r}; sys.argv = {[str(word) for word in (program, *words)]!r}; "
        f"runpy.run_path({str(program)!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)


def metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def described(model):
    """The metadata with its lists read."""
    return {k: json.loads(v) if k in ("class_names", "train_ids", "colours", "size") else v for k, v in model.items()}
