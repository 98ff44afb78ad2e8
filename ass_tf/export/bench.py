"""Latency, images per second and peak memory of models, each in a process of its own, taking turns.

    python export/bench.py MODEL... --size HxW [--threads N ...] [--batch N] [--rounds N] [--xla]

MODEL is an ONNX file, a SavedModel, or a run's folder (Keras itself, as a graph function). Each round runs every model
once, so that a machine's moods meet them all; the ratio is to the first line. Memory is the process's peak, libraries
included.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ass_tf.runs.folder import RunFolder
from ass_tf.system import option, terminal


def kind_of(model: Path) -> str:
    """onnx, saved_model or keras.

    Raises:
        ValueError: it is none of them.
    """
    if model.suffix == ".onnx" and model.is_file():
        return "onnx"
    if version_of(model):
        return "saved_model"
    if RunFolder(model).config.is_file():
        return "keras"
    raise ValueError(f"{model}: must be an ONNX file, a SavedModel or a run's folder.")


def version_of(folder: Path) -> Path | None:
    """The SavedModel in a folder or, of TensorFlow Serving's layout, its newest version."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [p.parent for p in folder.glob("*/saved_model.pb") if p.parent.name.isdecimal()]
    return max(versions, key=lambda path: int(path.name), default=None)


def load(model: Path, kind: str, threads: int, xla: bool) -> Callable[[np.ndarray], Any]:
    """A function from images uint8 (n, h, w, 3) to label maps, on so many threads."""
    if kind == "onnx":
        from street_inference import segmenter

        one = segmenter.Segmenter(model, "cpu", threads)
        return lambda images: one.session.run(["labels"], {"image": images})
    from ass_tf.runs import trained
    from ass_tf.system import process, storage

    process.start_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if kind == "saved_model":
        with storage.literal_path(version_of(model)) as path:
            served = tf.saved_model.load(path).signatures["serving_default"]
        return lambda images: served(image=tf.constant(images))["labels"].numpy()
    from ass_tf.export import serving

    serve = serving.Serving(trained.load(model)[1]).serve
    if xla:
        serve = tf.function(serve.python_function, jit_compile=True)
    return lambda images: serve(tf.constant(images))["labels"].numpy()


def work(model: Path, size: tuple[int, int], threads: int, batch: int, xla: bool) -> None:
    """One model's process: for each line on stdin one run, and its seconds and the peak memory in MB on stdout."""
    call = load(model, kind_of(model), threads, xla)
    images = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    for _ in range(2):  # the first run traces, compiles and takes memory
        call(images)
    print("ready", flush=True)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    for _ in sys.stdin:
        start = time.perf_counter()
        call(images)
        seconds = time.perf_counter() - start
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, flush=True)


def measure(
    cases: Sequence[tuple[Path, int, bool]], size: tuple[int, int], batch: int, rounds: int
) -> list[tuple[float, float]]:
    """Median seconds and peak MB of each case, (model, threads, xla).

    Raises:
        ValueError: a model's process fails; what it had to say is on stderr.
    """
    workers, results = [], [[] for _ in cases]
    try:
        for model, threads, xla in cases:
            words = [model, "--size", f"{size[0]}x{size[1]}", "--threads", threads, "--batch", batch, "--work"]
            words += ["--xla"] if xla else []
            command = [sys.executable, "-m", "ass_tf.export.bench", *map(str, words)]
            paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            workers.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, **pipes))
            if workers[-1].stdout.readline() != "ready\n":
                raise ValueError(f"{model}: cannot be measured.")
        for done in range(rounds):
            for worker, result, (model, *_) in zip(workers, results, cases):
                try:
                    worker.stdin.write("\n")
                    worker.stdin.flush()
                    seconds, memory = map(float, worker.stdout.readline().split())
                except (OSError, ValueError):
                    raise ValueError(f"{model}: its process ended.") from None
                result.append((seconds, memory))
            print(f"round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [(statistics.median(s for s, _ in result), max(m for _, m in result)) for result in results]


def show(cases: Sequence[tuple[Path, int, bool]], measured: Sequence[tuple[float, float]], batch: int) -> None:
    names = [f"{model}{' (XLA)' if xla else ''}" for model, _, xla in cases]
    width = max(map(len, names))
    print(f"{'model':<{width}}{'threads':>9}{'median ms':>11}{'images/s':>10}{'ratio':>8}{'peak MB':>9}")
    first = measured[0][0]
    for name, (_, threads, _), (seconds, memory) in zip(names, cases, measured):
        rate = batch / seconds
        print(f"{name:<{width}}{threads:>9}{1000 * seconds:>11.1f}{rate:>10.2f}{seconds / first:>8.3f}{memory:>9.0f}")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.export.bench") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    number = option.number(most=9999)
    add("models", nargs="+", type=option.path, metavar="MODEL", help="ONNX file, SavedModel or run folder")
    add("--size", type=option.size(), required=True, metavar="HxW", help="of the images")
    add("--threads", nargs="+", type=number, default=[os.cpu_count() or 1], metavar="N", help="default: one per core")
    add("--batch", type=number, default=1, metavar="N", help="images in one run (default: 1)")
    add("--rounds", type=number, default=5, metavar="N", help="runs of each model (default: 5)")
    add("--xla", action="store_true", help="of a run's folder, also Keras compiled by XLA")
    add("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.work:
            work(options.models[0], options.size, options.threads[0], options.batch, options.xla)
            return 0
        kinds = [(model, kind_of(model)) for model in options.models]
        cases = [
            (model, threads, xla)
            for threads in options.threads
            for model, kind in kinds
            for xla in ((False, True) if options.xla and kind == "keras" else (False,))
        ]
        show(cases, measure(cases, options.size, options.batch, options.rounds), options.batch)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    except Exception as error:  # the model's own complaint
        return terminal.complain(terminal.reason(error), 1)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
