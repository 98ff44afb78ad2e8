"""Photographs through a model: decoded, segmented and written, the three at the same time.

While the model works on one batch, the next ones are decoded and the last ones written. One that fails on the way gets
its `error`, and the rest goes on.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from street_inference import drawing, images, pseudo, segmenter


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


WORKERS = cores()  # threads that decode, and as many that write; Pillow and zlib work without Python's lock
FULL = "does not fit into memory."


@dataclasses.dataclass(frozen=True)
class Options:
    """What is done with each photograph; sizes are (height, width) in pixels."""

    out: Path
    outputs: Sequence[str]  # keys of drawing.OUTPUTS
    max_pixels: int  # of a photograph; larger ones are errors
    max_side: int  # longer pictures are shrunk to it for the model; 0: they are not
    fixed: tuple[int | None, int | None]  # the only size that the model takes
    batch: int = 1  # pictures of one size run together
    tile: tuple[int, int] | None = None
    overlap: int = 0  # pixels that neighbouring tiles share
    confidence: bool = False  # ask the model for it
    sure: int | None = None  # 0 to 255; pixels of less confidence take no part in the pseudo-labels that are written
    draft: bool = False  # decode JPEGs no larger than the model needs, unless an output needs the whole picture


def results_of(options: Options, path: str, name: str) -> list[str]:
    """The files below --out that a photograph gets, from its path and the start of their names."""
    pair = [] if options.sure is None else pseudo.names_of(path, name)
    return [*(f"{name}{drawing.OUTPUTS[kind]}" for kind in options.outputs), *pair]


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A photograph on its way; each step returns the next record, without what is no longer needed."""

    path: Path
    name: str  # start of its results' names
    number: int = 0  # its place in the list
    image: Any = None  # PIL.Image.Image, as large as the file has it; kept for an overlay only
    size: Any = None  # (height, width) of the file, upright
    pixels: Any = None  # uint8 (h, w, 3), as the model takes it
    labels: Any = None  # uint8 (h, w), train ids
    confidence: Any = None  # uint8 (h, w), 255 times the probability of the label; None where nobody asked for it
    shares: np.ndarray | None = None  # of the pixels, by class; known when all is written
    means: np.ndarray | None = None  # of the confidence, 0 to 1, by class; NaN of a class that is not there
    read_seconds: float = 0.0
    run_seconds: float = 0.0
    write_seconds: float = 0.0
    error: str = ""

    def failed(self, error: str) -> Photograph:
        return dataclasses.replace(self, image=None, pixels=None, labels=None, confidence=None, error=error)


def read(photograph: Photograph, options: Options) -> Photograph:
    start = time.perf_counter()
    overlay, model = "overlay" in options.outputs, (options.max_side, options.fixed)
    try:
        if options.draft and not overlay:
            image, size = images.draft(photograph.path, options.max_pixels, *model)
        else:
            image = images.decode(photograph.path, options.max_pixels)
            size = image.size
        pixels = images.shrink(image, *model, whole=size)
        kept = image if overlay else None
        photograph = dataclasses.replace(photograph, image=kept, size=size[::-1], pixels=pixels)
    except images.Unreadable as error:
        photograph = photograph.failed(str(error))
    except MemoryError:
        photograph = photograph.failed(FULL)
    return dataclasses.replace(photograph, read_seconds=time.perf_counter() - start)


def write(photograph: Photograph, model: segmenter.Segmenter, options: Options) -> Photograph:
    start = time.perf_counter()
    try:
        shares = drawing.write(
            options.out,
            photograph.name,
            photograph.image,
            photograph.size,
            photograph.labels,
            model.names,
            model.palette,
            options.outputs,
            photograph.confidence,
        )
        if options.sure is not None:
            pseudo.write(options.out, photograph, options.sure, options.max_pixels)
        means = None if photograph.confidence is None else means_of(photograph, len(model.names))
        photograph = dataclasses.replace(
            photograph, shares=shares, means=means, image=None, labels=None, confidence=None
        )
    except images.Unreadable as error:  # it has gone since
        photograph = photograph.failed(str(error))
    except MemoryError:
        photograph = photograph.failed(FULL)
    return dataclasses.replace(photograph, write_seconds=time.perf_counter() - start)


def means_of(photograph: Photograph, classes: int) -> np.ndarray:
    """Mean confidence of the pixels of each class, 0 to 1, (c,); NaN of a class that is not there."""
    labels = photograph.labels.ravel()
    pixels = np.bincount(labels, minlength=classes)[:classes]
    total = np.bincount(labels, photograph.confidence.ravel(), classes)[:classes]
    return np.divide(total, 255 * pixels, out=np.full(classes, np.nan), where=pixels > 0)


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


def run(model: segmenter.Segmenter, batch: Sequence[Photograph], options: Options) -> list[Photograph]:
    """The photographs with their labels, or the error where the model fails."""
    before = model.seconds
    found: Iterable[np.ndarray]
    try:
        if options.tile:
            found = [model.tiled(p.pixels, options.tile, options.overlap, options.confidence) for p in batch]
        else:
            maps = model.maps(np.stack([photograph.pixels for photograph in batch]), options.confidence)
            found = np.moveaxis(maps, 0, 1)
        done = [
            dataclasses.replace(p, labels=maps[0], confidence=maps[1] if options.confidence else None, pixels=None)
            for p, maps in zip(batch, found)
        ]
    except (segmenter.ModelError, MemoryError) as error:
        done = [photograph.failed(str(error) or FULL) for photograph in batch]
    return [dataclasses.replace(p, run_seconds=(model.seconds - before) / len(batch)) for p in done]


def segment(
    model: segmenter.Segmenter,
    photographs: Iterable[Photograph],
    options: Options,
    finish: Callable[[Photograph], None],
) -> None:
    """Reads, runs and writes them all, the three at the same time.

    Args:
        model: the model.
        photographs: all of them.
        options: what is done with each.
        finish: called with each that is written, or that has an `error`; with one perhaps twice if it is interrupted.

    Raises:
        OSError: a result cannot be written.
    """
    reading: collections.deque[concurrent.futures.Future[Photograph]] = collections.deque()
    writing: collections.deque[concurrent.futures.Future[Photograph]] = collections.deque()
    waiting = iter(photographs)
    ahead = max(WORKERS, options.batch)

    def decoded() -> Iterator[Photograph]:
        while True:
            while len(reading) < ahead and (photograph := next(waiting, None)):
                reading.append(readers.submit(read, photograph, options))
            if not reading:
                return
            photograph = reading.popleft().result()
            if photograph.error:
                finish(photograph)
            yield photograph

    def written(limit: int) -> None:
        while len(writing) > limit:
            finish(writing[0].result())
            writing.popleft()  # not before: what is interrupted here is told below

    readers = concurrent.futures.ThreadPoolExecutor(WORKERS)
    writers = concurrent.futures.ThreadPoolExecutor(WORKERS)
    try:
        for batch in batches(decoded(), options.batch):
            for photograph in run(model, batch, options):
                if photograph.error:
                    finish(photograph)
                else:
                    writing.append(writers.submit(write, photograph, model, options))
            written(ahead)
        written(0)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one would lose what the first has promised
            signal.signal(number, signal.SIG_IGN)
        raise
    finally:
        readers.shutdown(cancel_futures=True)
        writers.shutdown()  # what has been segmented is still written
        for job in writing:
            if job.exception() is None:
                finish(job.result())
