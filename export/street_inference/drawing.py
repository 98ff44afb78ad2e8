"""Label maps as files: train ids, class colours, and the photograph with the colours over it and a legend.

Needs Pillow and NumPy only, and for videos PyAV, which `video` imports.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

OUTPUTS = {"labels": "_labels.png", "colour": "_colour.png", "overlay": "_overlay.jpg", "confidence": "_confidence.png"}
DEFAULTS = ("labels", "colour")  # an overlay costs more than both
PAPER, INK = (255, 255, 255), (32, 32, 32)
NARROWEST = 320  # pixels, of a legend
LONGEST = 32000  # pixels, of an overlay's side; a JPEG holds 65535
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {  # of a video, by what it shows, else by the end of its name
    "labels": ("ffv1", "gray", {"level": "3"}),
    ".webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "30", "b": "0"}),
    "": ("libx264", "yuv420p", {"preset": "superfast", "crf": "22"}),
}
BT709, LIMITED = 1, 1  # FFmpeg's numbers of the colours in which a video is written


def overlay(image: Image.Image, labels: Image.Image, palette: np.ndarray, alpha: float = 0.5) -> Image.Image:
    """The photograph with the colours of its classes laid over it.

    Args:
        image: RGB.
        labels: mode L, train ids, of the same size.
        palette: uint8 (256, 3).
        alpha: share of the colours, 0 to 1.
    """
    return Image.blend(image, in_colours(labels, palette), alpha)


def in_colours(labels: Image.Image, palette: np.ndarray) -> Image.Image:
    """The colours of the classes, RGB; arguments as of `overlay`."""
    picture = labels.copy()
    picture.putpalette(palette.tobytes())
    return picture.convert("RGB")


def plan_frame(size: tuple[int, int], names: Sequence[str], palette: np.ndarray) -> tuple[Image.Image, tuple[int, int]]:
    """An empty frame of a video for a photograph, what was found in it, and a legend of all classes below.

    Args:
        size: (w, h) of the photograph, which goes to the upper left.
        names: of the classes, c of them.
        palette: uint8 (256, 3).

    Returns:
        empty: RGB, with the legend; its sides are even, as most codecs ask for.
        place: (x, y) of the second picture: on the right, or below where the frame is nearer to 16:9 so.
    """
    width, height = size
    right, below = (abs(math.log(w / h * 9 / 16)) for w, h in ((2 * width, height), (width, 2 * height)))
    place = (width, 0) if right <= below + 1e-6 else (0, height)
    pictures = Image.new("RGB", (width + place[0], height + place[1]))
    sheet = with_legend(pictures, None, names, palette)
    empty = Image.new("RGB", (sheet.width + sheet.width % 2, sheet.height + sheet.height % 2), PAPER)
    empty.paste(sheet)
    return empty, place


def with_legend(
    picture: Image.Image, shares: np.ndarray | None, names: Sequence[str], palette: np.ndarray
) -> Image.Image:
    """The picture above the names, colours and shares of the classes in it.

    Args:
        picture: RGB.
        shares: float (c,). Share of the pixels of each class; 0 leaves it out. None: all names without shares.
        names: of the classes, c of them.
        palette: uint8 (256, 3).
    """
    text = min(max(round(min(picture.height / 45, picture.width / 25)), 12), 40)
    font = ImageFont.load_default(text)
    entries = list(enumerate(names))
    if shares is not None:
        entries = [(i, f"{name} {_percent(shares[i])}") for i, name in entries if shares[i] > 0]
    width = max(picture.width, NARROWEST)
    column = max([round(font.getlength(entry)) for _, entry in entries], default=1) + 3 * text
    columns = max(1, min(width // column, len(entries)))
    line = round(1.7 * text)
    sheet = Image.new("RGB", (width, picture.height + line * -(-len(entries) // columns) + text // 2), PAPER)
    sheet.paste(picture)
    draw = ImageDraw.Draw(sheet)
    for place, (index, entry) in enumerate(entries):
        left, top = place % columns * column + text // 2, picture.height + place // columns * line + text // 2
        draw.rectangle((left, top, left + text, top + text), tuple(palette[index].tolist()), INK)
        draw.text((left + 1.5 * text, top + text / 2), entry, INK, font, anchor="lm")
    return sheet


def _percent(share: float) -> str:
    return "<1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def write(
    folder: Path,
    name: str,
    image: Image.Image | None,
    size: tuple[int, int],
    labels: np.ndarray,
    names: Sequence[str],
    palette: np.ndarray,
    outputs: Sequence[str],
    confidence: np.ndarray | None = None,
) -> np.ndarray:
    """Write the results of one photograph, each file whole or not at all.

    Args:
        folder: where to.
        name: start of the files' names, "/" between folders; OUTPUTS has their ends.
        image: the photograph, RGB; only an overlay needs it.
        size: (h, w) of the photograph.
        labels: uint8 (h', w'), train ids; brought to the photograph's size by the nearest pixel.
        names: of the classes, c of them.
        palette: uint8 (256, 3).
        outputs: keys of OUTPUTS.
        confidence: uint8 (h', w'); brought to the photograph's size as the labels are.

    Returns:
        shares: float (c,). Share of the pixels of each class.

    Raises:
        OSError: a file cannot be written.
    """
    shares = np.bincount(labels.ravel(), minlength=len(names))[: len(names)] / labels.size
    whole = Image.fromarray(labels)
    whole = whole if whole.size == size[::-1] else whole.resize(size[::-1], Image.Resampling.NEAREST)
    if "labels" in outputs:
        save(folder / f"{name}{OUTPUTS['labels']}", whole)
    if "confidence" in outputs and confidence is not None:
        sure = Image.fromarray(confidence)
        save(folder / f"{name}{OUTPUTS['confidence']}", sure.resize(size[::-1], Image.Resampling.NEAREST))
    if "colour" in outputs:
        coloured = whole.copy()
        coloured.putpalette(palette.tobytes())
        save(folder / f"{name}{OUTPUTS['colour']}", coloured)
    if "overlay" in outputs and image is not None:
        scale = min(1.0, LONGEST / max(image.size))
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image, whole = image.resize(size), whole.resize(size, Image.Resampling.NEAREST)
        drawn = with_legend(overlay(image, whole, palette), shares, names, palette)
        save(folder / f"{name}{OUTPUTS['overlay']}", drawn)
    return shares


def save(path: Path, picture: Image.Image) -> None:
    settings: Mapping[str, Mapping[str, int]] = {
        ".png": {"compress_level": 1, "compress_type": 3},  # run lengths
        ".jpg": {"quality": 90},
    }
    formats = {".png": "PNG", ".jpg": "JPEG"}
    with replacing(path) as unfinished:
        picture.save(unfinished, formats[path.suffix], **settings[path.suffix])


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name in the folder of `path`, which is made, that is renamed to it when the context ends well.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    unfinished = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:  # where the disk is full, it names nothing
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        unfinished.unlink(missing_ok=True)


class Film:
    """A video that is made; it gets its name when it is closed.

    Args:
        source: `video.Source`, whose times and sound it takes.
        out: the file.
        shown: key of OUTPUTS. `labels` shows the train ids alone; the others the photograph with it beside it.
        names: of the classes, c of them.
        palette: uint8 (256, 3).

    Every method raises PyAV's errors where the file cannot be written.
    """

    def __init__(self, source: Any, out: Path, shown: str, names: Sequence[str], palette: np.ndarray) -> None:
        self.source, self.out, self.shown, self.names, self.palette = source, out, shown, names, palette
        self.part = out.with_name(f".{out.stem}.part{out.suffix}")
        self.convert = source.av.video.reformatter.VideoReformatter().reformat  # faster than anew for each frame
        self.container: Any = None
        self.early: list[Any] = []  # packets of sound that came before the first frame
        self.sound: dict[int, Any] = {}  # our streams by the numbers of the source's
        self.heard: dict[int, int] = {}  # times of their last packets
        self.last = -1

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.container is not None:
            with contextlib.suppress(self.source.av.FFmpegError):
                self.container.close()
        self.part.unlink(missing_ok=True)

    def _begin(self, size: tuple[int, int], ratio: Any) -> None:
        av, source = self.source.av, self.source
        codec, pixels, settings = CODECS.get(self.shown) or CODECS.get(self.out.suffix.lower()) or CODECS[""]
        self.empty, self.place = plan_frame(size, self.names, self.palette)
        self.container = av.open(f"file:{self.part}", "w")
        stream = self.stream = self.container.add_stream(codec, rate=source.rate, options=settings)
        stream.width, stream.height = size if self.shown == "labels" else self.empty.size
        stream.pix_fmt, stream.codec_context.time_base = pixels, source.tick
        if ratio:
            stream.sample_aspect_ratio = ratio
        stream.thread_count = max(1, (os.cpu_count() or 1) // 2)  # the model needs cores, too
        if self.shown != "labels":
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = LIMITED
        for theirs in source.sound:
            if theirs.codec_context.name in self.container.supported_codecs:
                self.sound[theirs.index] = self.container.add_stream_from_template(theirs)
            else:
                kind = f"{self.out.suffix} holds no sound of kind {theirs.codec_context.name}"
                print(f"note: {kind}, which is left out; .mkv may hold it.", file=sys.stderr)

    def add(self, photograph: Any, ticks: int, ratio: Any) -> None:
        """Draws a frame with its labels.

        Args:
            photograph: `flow.Photograph`.
            ticks: of the source, the time from which it is seen.
            ratio: width over height of its pixels, the first one's of all; None: not known.
        """
        image, labels = photograph.image, Image.fromarray(photograph.labels)
        if self.container is None:
            self._begin(image.size, ratio)
        labels = labels if labels.size == image.size else labels.resize(image.size, Image.Resampling.NEAREST)
        make = self.source.av.VideoFrame.from_ndarray
        if self.shown == "labels":
            frame = make(np.asarray(labels), format="gray")
        else:
            sheet = self.empty.copy()
            sheet.paste(image)
            drawn = in_colours(labels, self.palette)
            sheet.paste(Image.blend(image, drawn, 0.5) if self.shown == "overlay" else drawn, self.place)
            frame = make(np.asarray(sheet), format="rgb24")
            frame = self.convert(frame, format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        self.last = max(ticks, self.last + 1)  # a damaged source may go back in time
        frame.pts, frame.time_base = self.last, self.source.tick
        self.container.mux(self.stream.encode(frame))
        early, self.early = self.early, []
        for packet in early:
            self.add_sound(packet)

    def add_sound(self, packet: Any) -> None:
        """Takes a packet of the source over as it is."""
        if self.container is None:
            return self.early.append(packet)
        number = packet.stream.index
        if number in self.sound and packet.dts > self.heard.get(number, packet.dts - 1):
            self.heard[number] = packet.dts
            shift = round((self.source.start or 0) / packet.time_base)
            packet.stream, packet.dts = self.sound[number], packet.dts - shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            self.container.mux(packet)

    def close(self) -> None:
        self.container.mux(self.stream.encode(None))
        self.container.close()
        os.replace(self.part, self.out)
