"""Street images through an exported model: label maps, colours, overlays with a legend, and a table of class shares.

    ass-tf-infer MODEL IMAGES... --out DIR                      where the package is installed
    python -m street_inference MODEL IMAGES... --out DIR        in the folder that holds street_inference/
    python infer.pyz MODEL IMAGES... --out DIR                  with the file that `make infer.pyz` packs
    python export/infer_onnx.py MODEL IMAGES... --out DIR       in a checkout
    ass-tf-infer join DIR                                       one table of those that shards have left
    ass-tf-infer MODEL VIDEO --out out.mp4                      a video, a URL of one, or a camera by its number

IMAGES are files, folders and patterns. Needs Python 3.10, numpy, pillow 10.1 and onnxruntime; for videos PyAV, too.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from street_inference import flow, images, naming, pseudo, segmenter, summary, video, workers
from street_inference.progress import Progress
from street_inference.words import ask_for_video, files_of, joined, options_of, parsed, refuse_out


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """The command line, called `prog`; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["join"]:
        return _told(_join, joined(arguments[1:], prog))
    given = parsed(arguments, prog, __doc__.splitlines()[0])
    given.words = arguments
    return _told(_main, given)


def _told(action: Callable[[Any], int], given: Any) -> int:
    """The exit status of an action, whose errors get one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: what is done stays, and is listed
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of oddities in photographs that do not matter here
    try:
        status = action(given)
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


def _join(folder: Path) -> int:
    count, skipped = summary.join(folder)
    print(f"{folder / 'summary.csv'}: {count - skipped} images" + (f", {skipped} skipped" if skipped else ""))
    return 0


def _main(given: argparse.Namespace) -> int:
    if ask_for_video(given):
        return video.run(given)
    begun = time.perf_counter()
    _allow_large(given.max_pixels)
    model = segmenter.Segmenter(given.model, given.provider, given.threads)
    options, words = options_of(given, model), files_of(given)
    refuse_out(options.out, words)
    paths = images.find(words, options.out)
    if not paths:
        named = " ".join(words[:10]) or given.images_from
        raise segmenter.ModelError(f"{named}: no image is there (files in --out do not count).")
    if options.sure is not None:
        pseudo.refuse_other(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    alone = given.shard == summary.WHOLE
    settings = summary.settings_of(given.model, _influence(options))
    alike = summary.note_settings(options.out, settings, given.resume or not alone, alone)
    names = naming.folder_names(paths, words) if given.keep_folders else naming.output_names(paths)
    place, count = given.shard
    todo = [(str(path), name) for path, name in zip(paths, names)][place - 1 :: count]
    reuse = given.resume and alike
    known = summary.complete(options.out, functools.partial(flow.results_of, options)) if reuse else {}
    kept = {n: known[path] for n, (path, name) in enumerate(todo) if path in known and known[path][1] == name}
    jobs = [(number, *job) for number, job in enumerate(todo) if number not in kept]
    columns = summary.columns_of(model.names, options.confidence)
    table, progress = summary.Summary(options.out, given.shard, columns, kept), Progress(len(jobs))
    if options.sure is not None:
        pseudo.write_classes(options.out, model.names)
    before, started = len(kept), time.perf_counter()
    del paths, names, todo, known

    def finish(number: int, row: summary.Row) -> None:
        table.add(number, row)
        progress.advance(row[0], row[-1])

    try:
        if given.workers == 1:
            _alone(model, jobs, options, finish, len(columns))
        else:
            model.close()
            workers.Crew(given.workers, given.words, options, finish, len(columns)).segment(jobs)
    finally:
        wall = time.perf_counter() - started
        table.close()
    skipped = f", {table.skipped} skipped" if table.skipped else ""
    earlier = f" ({before} done before)" if before else ""
    print(f"{table.count - table.skipped} images in {options.out}{earlier}{skipped}")
    _tell_speed(model, given.workers, table.count - before, wall, started - begun)
    return 1 if skipped else 0


def _allow_large(max_pixels: int) -> None:
    if max_pixels > images.MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit would come first


def _influence(options: flow.Options) -> dict[str, object]:
    """The options on which the results depend."""
    return {key: getattr(options, key) for key in ("outputs", "max_side", "fixed", "tile", "overlap", "draft", "sure")}


def _alone(
    model: segmenter.Segmenter,
    jobs: Sequence[workers.Job],
    options: flow.Options,
    finish: Callable[[int, summary.Row], None],
    columns: int,
) -> None:
    """This process does all of them."""
    photographs = (flow.Photograph(Path(path), name, number) for number, path, name in jobs)
    flow.segment(model, photographs, options, lambda p: finish(p.number, summary.row_of(p, columns)))


def _tell_speed(model: segmenter.Segmenter, workers: int, count: int, wall: float, loading: float) -> None:
    if workers > 1:
        print(f"{wall:.2f} s, {count / wall:.1f} images a second by {workers} workers ({model.provider})")
        return
    print(
        f"{wall:.2f} s, of which the session ran {model.seconds:.2f} s: ratio {wall / max(model.seconds, 1e-9):.2f} "
        f"(loading took {loading:.2f} s; {model.provider})"
    )


def work() -> int:
    """A worker of another call, which names its place and its words on stdin, and then photographs."""
    place, count, *arguments = json.loads(sys.stdin.readline())
    given = parsed(arguments, None, "")

    def segment(given: argparse.Namespace) -> int:
        _allow_large(given.max_pixels)
        threads = workers.share_cores(place, count)
        model = segmenter.Segmenter(given.model, given.provider, given.threads or threads)
        options = options_of(given, model)
        columns = len(summary.columns_of(model.names, options.confidence))
        answer = functools.partial(workers.answer, sys.stdout, columns=columns)
        with workers.telling(sys.stdout):
            flow.segment(model, workers.photographs_from(sys.stdin), options, answer)
        return 0

    return _told(segment, given)


if __name__ == "__main__":
    sys.exit(main())
