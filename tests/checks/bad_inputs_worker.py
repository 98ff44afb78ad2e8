"""Commands run in this process as `python -m` runs them, for `check_inputs`: importing TensorFlow takes seconds.

What goes to the file descriptors 1 and 2 is kept, from Python or not, and what a command changes of the process is
taken back, as far as it is known.
"""

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bad_inputs_judge import TEMPORARY, Outcome, digests
from PIL import Image

ROOT = Path(__file__).parents[2]
LIMIT = 60  # seconds
MAX_PIXELS = Image.MAX_IMAGE_PIXELS
MEMORY = 8 * 2**30  # bytes that a worker and its children may take each
MODULES = {  # command -> module, how it is started
    "datasets": ("ass_tf.datasets.__main__", ["-m", "ass_tf.datasets"]),
    "train": ("ass_tf.train", ["-m", "ass_tf.train"]),
    "evaluate": ("ass_tf.evaluate", ["-m", "ass_tf.evaluate"]),
    "sweep": ("ass_tf.sweep", ["-m", "ass_tf.sweep"]),
    "report": ("ass_tf.report", ["-m", "ass_tf.report"]),
    "weights": ("ass_tf.weights.__main__", ["-m", "ass_tf.weights"]),
    "to_onnx": ("ass_tf.export.to_onnx", [str(ROOT / "export/to_onnx.py")]),
    "infer_onnx": ("infer_onnx", [str(ROOT / "export/infer_onnx.py")]),
}


def main_of(command):
    """The command as a function of its words, within the wrapper that it has as a process."""
    sys.path[:] = dict.fromkeys([*sys.path, str(ROOT / "export")])
    main = importlib.import_module(MODULES[command][0]).main
    if command == "infer_onnx":  # knows nothing of the package
        return main
    from ass_tf.system import terminal

    return lambda words: terminal.run(lambda: main(words))


def surroundings(place):
    """Environment of a command that works in `place`/work."""
    for name in ("tmp", "cache"):
        (place / name).mkdir(exist_ok=True)
    return {"TMPDIR": str(place / "tmp"), "XDG_CACHE_HOME": str(place / "cache")}


def state_of(place):
    """Digests of all that a command may touch."""
    found = digests(place / "work")
    for name, start in (("tmp", TEMPORARY), ("cache", "CACHE/")):
        found |= {start + path: digest for path, digest in digests(place / name).items()}
    return found


def run_here(command, words, place):
    """The Outcome of a command in this process.

    Args:
        command: key of MODULES.
        words: what follows its name.
        place: Path whose folder `work` it works in; `out` and `err` beside it keep what it prints.
    """
    environment = surroundings(place)
    before, begin, raised = state_of(place), time.monotonic(), ""
    with _captured(place), _at(place, environment, [MODULES[command][1][-1], *words]):
        try:
            status = main_of(command)(list(words))
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
        except BaseException:
            status, raised = 1, traceback.format_exc()
    seconds = time.monotonic() - begin
    _tidy()
    return Outcome(status or 0, *printed(place), raised, before, state_of(place), seconds)


def run_there(command, words, place):
    """The same in a process of its own; the status is None if it was killed for taking too long."""
    environment = {**os.environ, **surroundings(place)}
    before, begin = state_of(place), time.monotonic()
    with open(place / "out", "wb") as out, open(place / "err", "wb") as err:
        process = subprocess.Popen(
            [sys.executable, *MODULES[command][1], *words], cwd=place / "work", env=environment, stdout=out, stderr=err
        )
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = None
    return Outcome(status, *printed(place), "", before, state_of(place), time.monotonic() - begin)


def printed(place):
    """What a command has written to stdout and stderr."""
    files = place / "out", place / "err"
    return tuple(f.read_text(encoding="utf-8", errors="replace") if f.exists() else "" for f in files)


@contextlib.contextmanager
def _captured(place):
    kept = os.dup(1), os.dup(2)
    sys.stdout.flush(), sys.stderr.flush()
    for name, number in (("out", 1), ("err", 2)):
        with open(place / name, "wb") as file:
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
            os.close(copy)


@contextlib.contextmanager
def _at(place, environment, words):
    numbers = signal.SIGINT, signal.SIGTERM
    handlers, before, path = [signal.getsignal(n) for n in numbers], dict(os.environ), sys.argv
    os.environ.update(environment)
    os.chdir(place / "work")
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # which --max-pixels changes
    sys.argv, tempfile.tempdir = words, None
    try:
        yield
    finally:
        os.chdir("/")
        os.environ.clear()
        os.environ.update(before)
        sys.argv, tempfile.tempdir = path, None
        for number, handler in zip(numbers, handlers):
            signal.signal(number, handler)


def _tidy():
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
