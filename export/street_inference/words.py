"""The command line's words, and what they mean for a model."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from street_inference import drawing, flow, frames, images, segmenter, summary

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")  # that are written
READ = (*VIDEOS, ".3gp", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".wmv")  # known by name
# Options that say nothing about a video, and what they are where they are not given.
FOR_IMAGES = {
    "images_from": None,
    "keep_folders": False,
    "shard": summary.WHOLE,
    "resume": False,
    "workers": 1,
    "draft": False,
    "confidence": False,
    "pseudo_labels": None,
}


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


def _word(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a name must not be empty")
    return text


def _shard(text: str) -> summary.Shard:
    place, _, count = text.partition("/")
    shard = _number(1)(place), _number(1)(count)
    if shard[0] > shard[1]:
        raise argparse.ArgumentTypeError(f"must be from 1/N to N/N. Received: {text}")
    return shard


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be from 0 to 1. Received: {text}")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return _number(16)(height), _number(16)(width)


def _called() -> str:
    """How the command was called, for its usage line."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m street_inference"
    return f"python {program}" if program.suffix in (".py", ".pyz") else program.name


def parsed(arguments: Sequence[str] | None, prog: str | None, about: str) -> argparse.Namespace:
    """The words as given; the program ends where they are wrong."""
    parser = argparse.ArgumentParser(prog=prog or _called(), description=about)
    add = parser.add_argument
    add("model", type=_path, metavar="MODEL", help="a model of export/to_onnx.py")
    add("images", nargs="*", type=_word, metavar="IMAGES", help="JPEG, PNG, WebP, BMP, TIFF: files, folders, patterns; "
        "or one video: a file, a URL, or a camera's number")  # fmt: skip
    add("--images-from", metavar="FILE", help="take images from a list too, a path on each line; -: from stdin")
    add("--out", type=_path, required=True, metavar="DIR", help="folder of the results; of a video a file: out.mp4")
    add("--keep-folders", action="store_true", help="results lie in --out as the images lie in their folders")
    add("--shard", type=_shard, default=summary.WHOLE, metavar="I/N", help="only the I-th of N shares of the images; "
        "all shards share --out")  # fmt: skip
    add("--resume", action="store_true", help="leave out images whose results are complete")
    add("--workers", type=_number(1, 1024), default=1, metavar="N", help="processes, each with a session and its "
        "share of the cores, or of the GPUs in CUDA_VISIBLE_DEVICES (default: 1)")  # fmt: skip
    add("--max-side", type=_number(0), metavar="N", help="shrink longer pictures to N pixels for the model; 0: do not; "
        "a model of fixed size takes all at its own "
        "(default: what the model was trained on, or 0 with --tile)")  # fmt: skip
    add("--tile", type=_size, metavar="HxW", help="run the model on tiles of this size")
    add("--overlap", type=_number(0), metavar="N", help="pixels that neighbouring tiles share (default: a quarter)")
    add("--batch", type=_number(1), default=1, metavar="N", help="pictures of one size run together (default: 1)")
    add("--threads", type=_number(1, 4096), metavar="N", help="for the model, on the CPU (default: one per core)")
    add("--provider", choices=list(segmenter.PROVIDERS), help="what to run on (default: the first that is there)")
    add("--outputs", nargs="+", choices=list(drawing.OUTPUTS),
        help=f"default: {' '.join(drawing.DEFAULTS)}; an overlay takes longer than both; of a video one of them: "
        "overlay")  # fmt: skip
    add("--confidence", action="store_true", help="write how sure the model is of each label, and its mean by class")
    add("--pseudo-labels", type=_share, metavar="P", help="write a data set to train on: the images, and labels in "
        "which pixels of a confidence below P, 0 to 1, take no part")  # fmt: skip
    add("--draft", action="store_true", help="decode JPEGs at a half, a quarter or an eighth of their size where the "
        "model takes at most half of that: faster, but a few labels differ; not with an overlay")  # fmt: skip
    add("--max-pixels", type=_number(1), default=images.MAX_PIXELS, metavar="N",
        help="refuse larger pictures (default: %(default)s)")  # fmt: skip
    given = parser.parse_args(arguments)
    if not given.images and given.images_from is None:
        parser.error("the following arguments are required: IMAGES or --images-from")
    if given.tile and (given.overlap or 0) >= min(given.tile):
        parser.error(f"--overlap must be smaller than the tile. Received: {given.overlap}")
    return given


def joined(arguments: Sequence[str], prog: str | None) -> Path:
    """The folder that `join` is given."""
    about = "Makes one summary.csv of those that the shards in a folder have left."
    parser = argparse.ArgumentParser(prog=f"{prog or _called()} join", description=about)
    parser.add_argument("out", type=_path, metavar="DIR", help="the --out of the shards")
    return parser.parse_args(arguments).out


def options_of(given: argparse.Namespace, model: segmenter.Segmenter) -> flow.Options:
    """What the words mean for this model.

    Raises:
        ModelError: the model cannot do it.
    """
    count, *size = model.fixed
    if given.tile and any(known and known != wanted for known, wanted in zip(size, given.tile)):
        raise segmenter.ModelError(f"{given.model}: --tile must be {size[0]}x{size[1]}, the only size it takes.")
    if given.tile and count not in (None, 1):
        raise segmenter.ModelError(f"{given.model}: takes {count} images at once, so no tiles of one.")
    side, overlap = given.max_side, given.overlap
    if side is None:
        side = 0 if given.tile else max(model.size)
    if overlap is None:
        overlap = min(given.tile) // 4 if given.tile else 0
    outputs = list(given.outputs or ()) or ([] if given.pseudo_labels is not None else list(drawing.DEFAULTS))
    outputs += ["confidence"] * (given.confidence and "confidence" not in outputs)
    confidence = "confidence" in outputs or given.pseudo_labels is not None
    if confidence and not model.confident:
        rule = "does not give its confidence; export it with `ass-tf export --confidence`"
        raise segmenter.ModelError(f"{given.model}: {rule}.")
    return flow.Options(
        out=given.out,
        outputs=outputs,
        max_pixels=given.max_pixels,
        max_side=side,
        fixed=(None, None) if given.tile else (size[0], size[1]),
        batch=1 if given.tile else count or given.batch,  # tiles are run one by one
        tile=given.tile,
        overlap=overlap,
        draft=given.draft,
        confidence=confidence,
        sure=None if given.pseudo_labels is None else math.ceil(255 * given.pseudo_labels),
    )


def ask_for_video(given: argparse.Namespace) -> bool:
    """Whether the words ask for a video: --out is named like one.

    Raises:
        ModelError: they do not fit together.
    """
    out, words = given.out, given.images
    if out.suffix.lower() not in VIDEOS or out.is_dir():
        if len(words) == 1 and given.images_from is None and _is_video(words[0]):
            rule = f"is a video, so that --out must be one: a name that ends in {', '.join(VIDEOS)}"
            raise segmenter.ModelError(f"{words[0]}: {rule}. Received: {out}.")
        return False
    for name in (name for name, absent in FOR_IMAGES.items() if getattr(given, name) != absent):
        raise segmenter.ModelError(f"--{name.replace('_', '-')} is not for videos, such as {out}.")
    if len(words) > 1:
        raise segmenter.ModelError(f"{out}: a video is made of one file, URL or camera. Received: {len(words)}.")
    if given.outputs and len(given.outputs) > 1:
        raise segmenter.ModelError(f"--outputs must be one of them for a video. Received: {' '.join(given.outputs)}.")
    if given.outputs == ["confidence"]:
        raise segmenter.ModelError(f"{out}: --outputs confidence is not for videos.")
    if given.outputs == ["labels"] and out.suffix.lower() != ".mkv":
        raise segmenter.ModelError(f"{out}: --out must end in .mkv for labels, which need a codec without loss.")
    source = words[0] if os.path.exists(words[0]) else words[0].removeprefix("file:")
    if os.path.exists(source) and os.path.exists(out) and os.path.samefile(source, out):
        raise segmenter.ModelError(f"{out}: --out must be another file than the video.")
    frames.refuse_other(frames.beside(out))
    return True


def _is_video(word: str) -> bool:
    """Whether a word that names no folder looks like a video's."""
    if os.path.isdir(word):
        return False
    return Path(word).suffix.lower() in READ or "://" in word or (word.isdecimal() and not os.path.exists(word))


def refuse_out(out: Path, words: Sequence[str]) -> None:
    """Refuses a folder of results that holds the images, or cannot be made, before the work begins."""
    if any(os.path.realpath(word) == os.path.realpath(out) for word in words):
        raise segmenter.ModelError(f"{out}: --out must be another folder than that of the images.")
    place = out
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise segmenter.ModelError(f"{out}: --out must be a folder that can be written. Received: {place}.")


def files_of(given: argparse.Namespace) -> list[str]:
    """The words that name images, and the lines of the list.

    Raises:
        ModelError: the list is none.
        OSError: it cannot be read.
    """
    if given.images_from is None:
        return given.images
    if given.images_from == "-":
        content = sys.stdin.buffer.read()
    else:
        with open(given.images_from, "rb") as file:
            content = file.read()
    if b"\0" in content:  # of `find -print0`, or of UTF-16
        raise segmenter.ModelError(
            f"--images-from {given.images_from}: must have a path on each line. It has null bytes."
        )
    lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
    return [*given.images, *(os.fsdecode(line) for line in lines if line.strip())]
