"""A video through a model: beside each picture what was found in it, the sound as it was, and a table of class shares.

    ass-tf-infer MODEL in.mp4 --out out.mp4
    ass-tf-infer MODEL 0 --out out.mp4                     the first camera, until Ctrl-C
    ass-tf-infer MODEL rtsp://HOST/PATH --out out.mkv      a stream, likewise

Needs PyAV too, which is imported for a video only. While the model works on one frame, threads decode the next ones
and draw and encode the last ones.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fractions
import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from street_inference import drawing, flow, frames, images, segmenter
from street_inference.progress import FrameProgress
from street_inference.segmenter import ModelError
from street_inference.words import options_of, refuse_out

TELLING = {"mov", "matroska", "avi"}  # formats whose head tells how long a file is
AHEAD = 4  # frames that wait between two threads
PATIENCE = 10.0  # seconds without data after which a stream has ended
MISSING = 1.0  # seconds that a whole file may be shorter than its head tells
Items = Generator[Any, None, None]  # Frames, and packets of sound between them


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame on its way."""

    photograph: flow.Photograph
    ticks: int  # its time
    ratio: fractions.Fraction | None  # width over height of a pixel; None where nobody says so


def run(given: argparse.Namespace) -> int:
    """The command for words that ask for a video; returns the exit status.

    Raises:
        ModelError: the video or the model cannot be used.
        OSError: the result cannot be written.
    """
    try:
        av = importlib.import_module("av")
    except ImportError:
        raise ModelError('a video needs PyAV: pip install "ass_tf[video]", or pip install av.') from None
    begun, stop = time.perf_counter(), threading.Event()
    model = segmenter.Segmenter(given.model, given.provider, given.threads)
    options = dataclasses.replace(options_of(given, model), outputs=given.outputs or ["overlay"])
    refuse_out(options.out.parent, [])

    def ask(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    source = Source(av, given.images[0], options)
    started = time.perf_counter()
    for number in (signal.SIGINT, signal.SIGTERM):  # what has been read is still drawn; a second one ends at once
        signal.signal(number, ask)
    try:
        count = _write(source, source.read(stop), model, options)
        if not count and stop.is_set():
            raise KeyboardInterrupt
        if not count:
            raise ModelError(f"{source.word}: {source.fault or 'holds no picture that can be decoded'}.")
    except (av.FFmpegError, OSError) as error:
        named = None if isinstance(error, av.FFmpegError) else error.filename
        raise OSError(None, _reason(error), str(named or options.out)) from None
    finally:
        source.container.close()
    wall = time.perf_counter() - started
    print(f"{count} frames in {options.out}, their class shares in {frames.beside(options.out)}")
    print(
        f"{wall:.2f} s, {count / wall:.1f} frames a second, of which the session ran {model.seconds:.2f} s: "
        f"ratio {wall / max(model.seconds, 1e-9):.2f} (loading took {started - begun:.2f} s; {model.provider})"
    )
    if stop.is_set() and not source.is_live:
        print(f"error: interrupted; {options.out} holds the frames up to there.", file=sys.stderr)
        return 130
    if source.fault:
        print(f"error: {source.word}: {source.fault}; {options.out} holds the {count} frames read.", file=sys.stderr)
    return 1 if source.fault else 0


def _write(source: Source, items: Items, model: segmenter.Segmenter, options: flow.Options) -> int:
    """Writes the video and its table from what is read, but nothing without a frame; returns the number of frames."""
    count, progress = 0, FrameProgress(source.count)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with (
        drawing.Film(source, options.out, options.outputs[0], model.names, model.palette) as film,
        frames.FrameTable(options.out, model.names) as table,
        contextlib.closing(_ahead(_segmented(model, _ahead(items), options))) as found,
    ):
        try:
            for item in found:
                if isinstance(item, Frame):
                    film.add(item.photograph, item.ticks, item.ratio)
                    table.add(count, float(item.ticks * source.tick), item.photograph.labels)
                    count += 1
                    progress.show(count)
                else:
                    film.add_sound(item)
        except ModelError as error:  # of the model, on one of the frames
            source.fault = str(error).rstrip(".")
        progress.end()
        if count:
            film.close()
            table.close()
    return count


def _ahead(items: Items) -> Items:
    """The same items, which a thread makes up to AHEAD of them before they are asked for."""
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(AHEAD)
    gone = threading.Event()

    def put(is_item: bool, value: Any) -> bool:
        while not gone.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((is_item, value), timeout=0.1)
                return True
        return False

    def make() -> None:
        end = None
        try:
            with contextlib.closing(items):
                for item in items:
                    if not put(True, item):
                        break
        except BaseException as error:  # raised again where the items are used
            end = error
        put(False, end)

    thread = threading.Thread(target=make)
    thread.start()
    try:
        while (entry := waiting.get())[0]:
            yield entry[1]
        if entry[1] is not None:
            raise entry[1]
    finally:
        gone.set()
        thread.join()


def _segmented(model: segmenter.Segmenter, items: Items, options: flow.Options) -> Items:
    """The same items in their order, the frames with their labels."""

    def done(held: list[Any]) -> Items:
        found = iter(flow.run(model, photographs, options) if (photographs := _photographs(held)) else [])
        for item in held:
            if isinstance(item, Frame) and (photograph := next(found)).error:
                raise ModelError(photograph.error)
            yield dataclasses.replace(item, photograph=photograph) if isinstance(item, Frame) else item

    held: list[Any] = []
    with contextlib.closing(items):
        for item in items:
            held.append(item)
            if len(_photographs(held)) == options.batch:
                yield from done(held)
                held = []
        yield from done(held)


def _photographs(items: list[Any]) -> list[flow.Photograph]:
    return [item.photograph for item in items if isinstance(item, Frame)]


class Source:
    """A video that is read.

    Args:
        av: PyAV's module.
        word: a file, a URL or the number of a camera.
        options: what is done with each frame.

    Attributes:
        container: PyAV's.
        tick: seconds, the unit of its frames' times.
        count: its frames; 0 where it does not tell.
        is_live: whether it has no end of its own.
        fault: what was wrong with it, "" if nothing.

    Raises:
        ModelError: it cannot be opened.
    """

    def __init__(self, av: Any, word: str, options: flow.Options) -> None:
        self.av, self.word, self.options, self.fault = av, word, options, ""
        self.convert = av.video.reformatter.VideoReformatter().reformat
        there, camera = os.path.exists(word), f"/dev/video{word}" if word.isdecimal() else ""
        remote = not there and not word.startswith("file:")
        try:
            self.container = av.open(
                f"file:{word}" if there else camera or word,
                format="v4l2" if camera and not there else None,
                options={"rtsp_transport": "tcp"} if word.startswith("rtsp:") else {},
                timeout=PATIENCE if remote else None,
            )
        except (av.FFmpegError, OSError) as error:
            raise ModelError(f"{word}: no video can be read there: {_reason(error)}.") from None
        streams, duration = self.container.streams, self.container.duration
        pixels = streams.video[0].width * streams.video[0].height if streams.video else 0
        if not 0 < pixels <= options.max_pixels:
            self.container.close()
            limit = f"claims {pixels} pixels a frame, more than the {options.max_pixels} that are allowed"
            raise ModelError(f"{word}: {limit if pixels else 'holds no picture'}.")
        self.video, self.sound = streams.video[0], tuple(streams.audio)
        self.size, self.tick = (self.video.width, self.video.height), self.video.time_base
        self.count = self.video.frames
        self.rate = self.video.average_rate or self.video.guessed_rate or fractions.Fraction(25)
        self.is_live = remote and duration is None
        tells = TELLING & set(self.container.format.name.split(",")) and duration
        self.length = duration / av.time_base if tells else 0.0  # seconds
        # Seconds that times are counted from; recordings of a transport stream begin late on a clock.
        first = fractions.Fraction(max(self.container.start_time or 0, 0), av.time_base)
        self.start = None if self.is_live else first

    def read(self, stop: threading.Event) -> Items:
        """Its frames, and packets of sound between them, until its end or the event."""
        number, damaged, reached = 0, 0, fractions.Fraction(0)
        try:
            for packet in self.container.demux():  # of all streams: the head tells how long the longest is
                if stop.is_set():
                    return
                if packet.pts is not None and packet.stream.type != "data":  # a time code may last as long as all
                    reached = max(reached, (packet.pts + (packet.duration or 0)) * packet.time_base)
                if packet.stream not in (self.video, *self.sound):
                    continue
                if packet.pts is not None and self.start is None:
                    self.start = packet.pts * packet.time_base
                if packet.stream.type == "audio":
                    if packet.dts is not None:  # else it only says that the stream ends
                        yield packet
                    continue
                try:
                    decoded = packet.decode()
                except self.av.FFmpegError:
                    damaged += 1
                    continue
                for frame in decoded:
                    yield self._taken(frame, number)
                    number += 1
        except self.av.FFmpegError as error:
            self.fault = f"cannot be read on: {_reason(error)}"
        short = self.length - float(reached) + (self.container.start_time or 0) / 1e6
        if not self.fault and self.length and short > MISSING:
            self.fault = f"is cut short after {float(reached):.1f} of {self.length:.1f} seconds"
        elif not self.fault and damaged and not self.is_live:  # a stream may begin between key frames
            left = "1 of its packets was" if damaged == 1 else f"{damaged} of its packets were"
            self.fault = f"is damaged, so that {left} left out"

    def _taken(self, frame: Any, number: int) -> Frame:
        pixels = self.convert(frame, *self.size, "rgb24").to_ndarray()
        upright, across = _upright(pixels, frame.side_data.get("DISPLAYMATRIX"))
        image, ratio = Image.fromarray(upright), self.video.sample_aspect_ratio
        taken = images.shrink(image, self.options.max_side, self.options.fixed)
        photograph = flow.Photograph(Path(self.word), "", number, image=image, size=image.size[::-1], pixels=taken)
        seconds = number / self.rate if frame.pts is None else frame.pts * frame.time_base - (self.start or 0)
        return Frame(photograph, round(seconds / self.tick), 1 / ratio if ratio and across else ratio)


def _upright(pixels: np.ndarray, matrix: Any) -> tuple[np.ndarray, bool]:
    """A frame turned and mirrored as its display matrix says, and whether its sides are exchanged by that.

    The matrix maps (x, y) to (a x + c y, b x + d y).
    """
    if matrix is None:
        return pixels, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if across := abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]), across


def _reason(error: Exception) -> str:
    """What an error of PyAV or of the system says, as one line without a full stop."""
    text = getattr(error, "strerror", None) or str(error) or repr(error)
    return " ".join(text.split()).rstrip(".")
