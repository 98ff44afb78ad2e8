"""Street images through an exported model: label maps, colours, overlays with a legend, and a table of class shares.

    ass-tf-infer MODEL IMAGES... --out DIR                      where the package is installed
    python -m street_inference MODEL IMAGES... --out DIR        in the folder that holds street_inference/
    python infer.pyz MODEL IMAGES... --out DIR                  with the file that `make infer.pyz` packs
    python export/infer_onnx.py MODEL IMAGES... --out DIR       in a checkout

IMAGES are files, folders and patterns. Needs Python 3.10, numpy, pillow 10.1 and onnxruntime.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from street_inference import drawing, flow, images, naming, segmenter


def write_summary(file: Path, photographs: Iterable[flow.Photograph], names: Sequence[str]) -> None:
    """A line for each photograph that was finished or skipped: sizes, seconds, the share of each class.

    By the head of the table, a folder of results is known from one of photographs (`images.holds_results`).
    """
    unfinished = file.with_name(f".{file.name}.part")
    try:
        with open(unfinished, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            table = csv.writer(stream)
            table.writerow([*images.SUMMARY_HEAD, *names, "error"])
            for p in photographs:
                shares = [f"{share:.6f}" for share in p.shares] if p.shares is not None else [""] * len(names)
                seconds = [f"{value:.4f}" for value in (p.read_seconds, p.run_seconds, p.write_seconds)]
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


def _called() -> str:
    """How the command was called, for its usage line."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m street_inference"
    return f"python {program}" if program.suffix in (".py", ".pyz") else program.name


def _parsed(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
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
    add("--outputs", nargs="+", choices=list(drawing.OUTPUTS), default=list(drawing.DEFAULTS),
        help=f"default: {' '.join(drawing.DEFAULTS)}; an overlay takes longer than both")  # fmt: skip
    add("--draft", action="store_true", help="decode JPEGs at a half, a quarter or an eighth of their size where the "
        "model takes at most half of that: faster, but a few labels differ; not with an overlay")  # fmt: skip
    add("--max-pixels", type=_number(1), default=images.MAX_PIXELS, metavar="N",
        help="refuse larger pictures (default: %(default)s)")  # fmt: skip
    given = parser.parse_args(arguments)
    if given.tile and (given.overlap or 0) >= min(given.tile):
        parser.error(f"--overlap must be smaller than the tile. Received: {given.overlap}")
    return given


def _options(given: argparse.Namespace, model: segmenter.Segmenter) -> flow.Options:
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
    return flow.Options(
        out=given.out,
        outputs=given.outputs,
        max_pixels=given.max_pixels,
        max_side=side,
        fixed=(None, None) if given.tile else (size[0], size[1]),
        batch=1 if given.tile else count or given.batch,  # tiles are run one by one
        tile=given.tile,
        overlap=overlap,
        draft=given.draft,
    )


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """The command line, called `prog`; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    given = _parsed(arguments, prog or _called())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: what is done stays, and is listed
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of oddities in photographs that do not matter here
    if given.max_pixels > images.MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit would come first
    try:
        status = _main(given)
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


def _main(given: argparse.Namespace) -> int:
    begun = time.perf_counter()
    model = segmenter.Segmenter(given.model, given.provider, given.threads)
    options = _options(given, model)
    _refuse_out(options.out, given.images)
    paths = images.find(given.images, options.out)
    if not paths:
        raise segmenter.ModelError(f"{' '.join(given.images)}: no image is there (files in --out do not count).")
    options.out.mkdir(parents=True, exist_ok=True)
    summary = options.out / "summary.csv"
    if not summary.exists():  # so that results of a call that is killed are known as such
        write_summary(summary, [], model.names)
    photographs = [flow.Photograph(path, name) for path, name in zip(paths, naming.output_names(paths))]
    progress, finished = flow.Progress(len(photographs)), {}

    def finish(photograph: flow.Photograph) -> None:
        finished[photograph.name] = photograph
        progress.advance(photograph)

    started = time.perf_counter()
    try:
        flow.segment(model, photographs, options, finish)
    finally:
        wall = time.perf_counter() - started
        if finished:
            write_summary(summary, [finished[p.name] for p in photographs if p.name in finished], model.names)
    skipped = sum(1 for photograph in finished.values() if photograph.error)
    print(f"{len(paths) - skipped} images in {options.out}" + (f", {skipped} skipped" if skipped else ""))
    print(
        f"{wall:.2f} s, of which the session ran {model.seconds:.2f} s: ratio {wall / max(model.seconds, 1e-9):.2f} "
        f"(loading took {started - begun:.2f} s; {model.provider})"
    )
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
