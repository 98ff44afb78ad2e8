"""Photographs through a model: decoded, segmented and written, the three at the same time.

While the model works on one batch, the next ones are decoded and the last ones written. One that fails on the way gets
its `error`, and the rest goes on.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from street_inference import drawing, images, segmenter

WORKERS = 2  # threads that decode, and as many that write
FULL = "does not fit into memory."


@dataclasses.dataclass
class Photograph:
    path: Path
    name: str  # start of its results' names
    image: Any = None  # PIL.Image.Image, as large as the file has it; each of the three is dropped when it is used
    size: tuple[int, int] | None = None  # (height, width) of the same
    pixels: Any = None  # uint8 (h, w, 3), as the model takes it
    labels: Any = None  # uint8 (h, w), train ids
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
    found: Iterable[np.ndarray]
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
    """Read, run and write them all, the three at the same time; what fails on the way gets its `error`.

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
