"""Street images through an exported model: label maps, colours, overlays with a legend, and a table of class shares.

    python -m street_inference MODEL IMAGES... --out DIR        in the folder that holds street_inference/
    python export/infer_onnx.py MODEL IMAGES... --out DIR       in a checkout

IMAGES are files, folders and patterns. Needs Python 3.10, numpy, pillow 10.1 and onnxruntime. While the model works on
one batch, the next ones are decoded and the last ones written.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import csv
import dataclasses
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from street_inference import drawing, images, segmenter

WORKERS = 2  # threads that decode, and as many that write
FULL = "does not fit into memory."


@dataclasses.dataclass
class Photograph:
    path: Path
    name: str  # start of its results' names
    image: Image.Image | None = None  # as large as the file has it
    size: tuple[int, int] | None = None  # (height, width) of the same
    pixels: np.ndarray | None = None  # uint8 (h, w, 3), as the model takes it
    labels: np.ndarray | None = None
    shares: np.ndarray | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(("read", "run", "write"), 0.0))
    error: str = ""


def read(photograph: Photograph, max_pixels: int, max_side: int, fixed: tuple[int | None, int | None]) -> Photograph:
    start = time.perf_counter()
    try:
        photograph.image = images.decode(photograph.path, max_pixels)
        photograph.size = photograph.image.size[::-1]
        photograph.pixels = images.shrink(photograph.image, max_side, fixed)
    except images.Unreadable as error:
        photograph.error = str(error)
    except MemoryError:
        photograph.image, photograph.error = None, FULL
    photograph.seconds["read"] = time.perf_counter() - start
    return photograph


def write(photograph: Photograph, model: segmenter.Segmenter, out: Path, outputs: Sequence[str]) -> None:
    start = time.perf_counter()
    drawn = photograph.image, photograph.labels, model.names, model.palette, outputs
    try:
        photograph.shares = drawing.write(out, photograph.name, *drawn)
    except MemoryError:
        photograph.error = FULL
    photograph.image = photograph.labels = None
    photograph.seconds["write"] = time.perf_counter() - start


def batches(photographs: Iterator[Photograph], count: int) -> Iterator[list[Photograph]]:
    """Neighbours of one size together, at most `count`; those that cannot be read are left out."""
    batch: list[Photograph] = []
    for photograph in photographs:
        if photograph.error:
            continue
        if batch and (len(batch) == count or batch[0].pixels.shape != photograph.pixels.shape):
            yield batch
            batch = []
        batch.append(photograph)
    if batch:
        yield batch


def run(model: segmenter.Segmenter, batch: list[Photograph], tile: tuple[int, int] | None, overlap: int) -> None:
    """Fill in the labels, or the error where the model fails."""
    before = model.seconds
    try:
        if tile:
            found = [model.tiled(photograph.pixels, tile, overlap) for photograph in batch]
        else:
            found = model.labels(np.stack([photograph.pixels for photograph in batch]))
        for photograph, labels in zip(batch, found):
            photograph.labels = labels
    except (segmenter.ModelError, MemoryError) as error:
        for photograph in batch:
            photograph.image, photograph.error = None, str(error) or FULL
    for photograph in batch:
        photograph.pixels = None
        photograph.seconds["run"] = (model.seconds - before) / len(batch)


class Progress:
    """A bar where stderr is a terminal, else a line at every tenth of the way."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.perf_counter()
        self.live = sys.stderr.isatty()

    def advance(self, photograph: Photograph) -> None:
        before, self.done = self.done, self.done + 1
        if photograph.error:
            clear = "\r\033[K" if self.live else ""
            print(f"{clear}skipped: {photograph.path}: {photograph.error}", file=sys.stderr)
        left = round((time.perf_counter() - self.start) / self.done * (self.total - self.done))
        line = f"{self.done} of {self.total} images, {left // 60}:{left % 60:02} left"
        if self.live:
            bar = ("#" * (20 * self.done // self.total)).ljust(20, ".")
            print(f"\r[{bar}] {line}\033[K", end="\n" if self.done == self.total else "", file=sys.stderr, flush=True)
        elif 10 * self.done // self.total > 10 * before // self.total:
            print(line, file=sys.stderr, flush=True)


def segment(
    model: segmenter.Segmenter, photographs: Sequence[Photograph], options: argparse.Namespace, progress: Progress
) -> None:
    """Read, run and write them all, the three beside each other; what fails on the way gets its `error`.

    Raises:
        OSError: a result cannot be written.
    """
    given = options.max_pixels, options.max_side, (None, None) if options.tile else model.fixed[1:]
    reading: collections.deque = collections.deque()
    writing: collections.deque = collections.deque()
    waiting = iter(photographs)
    ahead = max(WORKERS, options.batch)

    def decoded() -> Iterator[Photograph]:
        while True:
            while len(reading) < ahead and (photograph := next(waiting, None)):
                reading.append(readers.submit(read, photograph, *given))
            if not reading:
                return
            photograph = reading.popleft().result()
            if photograph.error:
                progress.advance(photograph)
            yield photograph

    def written(limit: int) -> None:
        while len(writing) > limit:
            photograph, result = writing.popleft()
            result.result()
            progress.advance(photograph)

    readers = concurrent.futures.ThreadPoolExecutor(WORKERS)
    writers = concurrent.futures.ThreadPoolExecutor(WORKERS)
    try:
        for batch in batches(decoded(), options.batch):
            run(model, batch, options.tile, options.overlap)
            for photograph in batch:
                if photograph.error:
                    progress.advance(photograph)
                else:
                    job = writers.submit(write, photograph, model, options.out, options.outputs)
                    writing.append((photograph, job))
            written(ahead)
        written(0)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one would lose what the first has promised
            signal.signal(number, signal.SIG_IGN)
        raise
    finally:
        readers.shutdown(cancel_futures=True)
        writers.shutdown()  # what has been segmented is still written


def write_summary(file: Path, photographs: Sequence[Photograph], names: Sequence[str]) -> None:
    """A line for each photograph that was finished or refused: sizes, seconds, the share of each class.

    The head of the table is also what tells a folder of results from one of photographs (`images.holds_results`).
    """
    unfinished = file.with_name(f".{file.name}.part")
    try:
        with open(unfinished, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            table = csv.writer(stream)
            table.writerow([*images.SUMMARY_HEAD, *names, "error"])
            for p in photographs:
                if p.shares is None and not p.error:  # interrupted before it was its turn
                    continue
                shares = [f"{share:.6f}" for share in p.shares] if p.shares is not None else [""] * len(names)
                seconds = [f"{value:.4f}" for value in p.seconds.values()]
                table.writerow([p.path, p.name, *(p.size or ("", "")), *seconds, *shares, p.error])
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def _number(least: int, most: float = math.inf):
    def number(text: str) -> int:
        if not (text.isdecimal() and least <= int(text) <= most):
            limit = "on" if most == math.inf else f"to {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} {limit}. Received: {text}")
        return int(text)

    return number


def _path(text: str) -> Path:
    if not text or any(letter < " " for letter in text):
        raise argparse.ArgumentTypeError(f"a name must not be empty or hold control characters. Received: {text!r}.")
    return Path(text)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return _number(16)(height), _number(16)(width)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python export/infer_onnx.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=_path, metavar="MODEL", help="a model of export/to_onnx.py")
    add("images", nargs="+", metavar="IMAGES", help="JPEG, PNG, WebP, BMP, TIFF: files, folders, patterns")
    add("--out", type=_path, required=True, metavar="DIR", help="folder of the results")
    add("--max-side", type=_number(0), metavar="N", help="shrink longer pictures to N pixels for the model; 0: do not; "
        "a model of fixed size takes all at its own "
        "(default: what the model was trained on, or 0 with --tile)")  # fmt: skip
    add("--tile", type=_size, metavar="HxW", help="run the model on tiles of this size")
    add("--overlap", type=_number(0), metavar="N", help="pixels that neighbouring tiles share (default: a quarter)")
    add("--batch", type=_number(1), default=1, metavar="N", help="pictures of one size run together (default: 1)")
    add("--threads", type=_number(1, 4096), metavar="N", help="for the model, on the CPU (default: one per core)")
    add("--provider", choices=list(segmenter.PROVIDERS), help="what to run on (default: the first that is there)")
    add("--outputs", nargs="+", choices=list(drawing.OUTPUTS), default=list(drawing.OUTPUTS), help="default: all")
    add("--max-pixels", type=_number(1), default=images.MAX_PIXELS, metavar="N",
        help="refuse larger pictures (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.overlap is None:
        options.overlap = min(options.tile) // 4 if options.tile else 0
    if options.tile and options.overlap >= min(options.tile):
        parser.error(f"--overlap must be smaller than the tile. Received: {options.overlap}")
    return options


def _prepare(options: argparse.Namespace) -> segmenter.Segmenter:
    """The model, with the options that depend on it filled in."""
    model = segmenter.Segmenter(options.model, options.provider, options.threads)
    count, *size = model.fixed
    if options.tile and any(known and known != wanted for known, wanted in zip(size, options.tile)):
        raise segmenter.ModelError(f"{options.model}: --tile must be {size[0]}x{size[1]}, the only size it takes.")
    if options.tile:
        options.batch = 1  # tiles are run one by one
    elif count:
        options.batch = count
    if options.tile and count not in (None, 1):
        raise segmenter.ModelError(f"{options.model}: takes {count} images at once, so no tiles of one.")
    if options.max_side is None:
        options.max_side = 0 if options.tile else max(model.size)
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: what is done stays, and is listed
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of oddities in photographs that do not matter here
    if options.max_pixels > images.MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit would come first
    try:
        status = _main(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a process that SIGPIPE ends
    except segmenter.ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        print(f"error: {place}{error.strerror or error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        return 130


def _refuse_out(out: Path, words: Sequence[str]) -> None:
    """Refuses a folder of results that holds the images, or cannot be made, before the work begins."""
    if any(os.path.realpath(word) == os.path.realpath(out) for word in words):
        raise segmenter.ModelError(f"{out}: --out must be another folder than that of the images.")
    place = out
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise segmenter.ModelError(f"{out}: --out must be a folder that can be written. Received: {place}.")


def _main(options: argparse.Namespace) -> int:
    begun = time.perf_counter()
    model = _prepare(options)
    _refuse_out(options.out, options.images)
    paths = images.find(options.images, options.out)
    if not paths:
        raise segmenter.ModelError(f"{' '.join(options.images)}: no image is there (files in --out do not count).")
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / "summary.csv").exists():  # so that results of a call that is killed are known as such
        write_summary(options.out / "summary.csv", [], model.names)
    photographs = [Photograph(path, name) for path, name in zip(paths, images.output_names(paths))]
    started = time.perf_counter()
    try:
        segment(model, photographs, options, Progress(len(photographs)))
    finally:
        wall = time.perf_counter() - started
        if any(photograph.shares is not None or photograph.error for photograph in photographs):
            write_summary(options.out / "summary.csv", photographs, model.names)
    skipped = sum(1 for photograph in photographs if photograph.error)
    print(f"{len(paths) - skipped} images in {options.out}" + (f", {skipped} skipped" if skipped else ""))
    print(
        f"{wall:.2f} s, of which the session ran {model.seconds:.2f} s: ratio {wall / max(model.seconds, 1e-9):.2f} "
        f"(loading took {started - begun:.2f} s; {model.provider})"
    )
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
