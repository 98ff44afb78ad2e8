"""A trained run for other photographs, without labels or training: batch norm's statistics are taken from them.

    python -m ass_tf.adabn --run RUN --out DIR [--images DIR] [--snapshot last|best] [--count N]

The network normalises by running statistics of what it was trained on: of source and target images, unless
`model.batch_norm` says otherwise. Here they become those of photographs alone: of the run's target, or of a folder.
What is written is a run, to be evaluated, exported and reported like the one it came from.

Source: Li et al. 2016, "Revisiting Batch Normalization For Practical Domain Adaptation" (AdaBN), arXiv 1603.04779.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ass_tf import config, datasets
from ass_tf.runs import claiming, trained
from ass_tf.runs.folder import RunFolder
from ass_tf.system import locks, option, process, storage, terminal

COUNT = 200  # photographs


def _batches(domain: datasets.Domain, size: int, used: list[str], advance: Callable[[int, int], Any]) -> Iterable[Any]:
    """All images of a domain, so many at a time; what is left over is dropped unless it is all there is.

    One that cannot be read is named on stderr. The names of those that are in a batch are added to `used`.
    """
    import numpy as np

    from ass_tf.datasets import pipeline

    def skip(error: datasets.DataError) -> None:
        print(f"skipped: {error}", file=sys.stderr)

    total, size = len(domain.pairs), min(size, len(domain.pairs))
    images = ((name, image) for name, image, _ in pipeline.evaluation_pairs(domain, skip))
    done = 0
    while batch := list(itertools.islice(images, size)):
        if len(batch) == size or not done:
            used += [name for name, _ in batch]
            yield np.stack([image for _, image in batch])
        done += len(batch)
        advance(done, total)
    if not done:
        raise datasets.DataError(f"none of the {total} photographs can be read.")


def adapt(run: Path, out: Path, images: Path | None, snapshot: str, count: int) -> tuple[float | None, float | None]:
    """Writes the run that `run` becomes; the command's arguments.

    Returns:
        before, after: mIoU in percent; None where it was not scored.

    Raises:
        ValueError: the run, the images or the folder cannot be used; the message is one line.
    """
    if os.path.lexists(out):
        raise ValueError(f"{out}: --out must name a new folder. Received: one that is there.")
    storage.check_folder(out, "--out")
    origin = RunFolder(run)
    settings = origin.settings()
    result, sessions = origin.read_result(missing={}), origin.read_sessions()
    if images:
        domain = datasets.open_photographs(images, trained.judged_size(settings))
    else:
        domain = datasets.open_roles(settings, ["unlabelled"])["unlabelled"]
    domain = dataclasses.replace(domain, pairs=tuple(datasets.spread(domain.pairs, count)))
    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf.models.batch_norm import take_statistics
    from ass_tf.runs import snapshots

    unfrozen = settings.model.model_copy(update={"batch_norm": "batch"})
    generator = trained.build(settings.model_copy(update={"model": unfrozen}))
    step = snapshots.restore_generator(origin, generator, snapshot, trained.network_of(settings))
    part = _unfinished(out)
    used: list[str] = []
    lock = claiming.claim(part, settings)
    try:
        with lock:
            with terminal.show_progress("statistics") as advance:
                take_statistics(generator, _batches(domain, settings.batch.labelled, used, advance))
            claiming.write_lists(part, {"statistics": used})
            last = _scored(part, generator, settings, step)
            both = {"generator": generator} | ({"teacher": generator} if settings.self_trains else {})
            snapshots.save(part, tf.train.Checkpoint(**both), {"step": step, "best": None, "last": last})
            _write_records(part, result, sessions, last, {"of": str(images or "target"), "images": len(used)})
        os.rename(part, out)
    except tf.errors.OpError as error:  # memory, say
        raise ValueError(f"{run}: {terminal.reason(error)}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _miou_of(result.get(snapshot)), _miou_of(last)


def _unfinished(out: Path) -> RunFolder:
    """The hidden folder beside `out` in which its run is made, without what a kill left in it.

    Raises:
        ValueError: another process makes it.
    """
    digest = hashlib.sha256(os.fsencode(out.name)).hexdigest()[:8]  # long names may begin alike
    part = RunFolder(out.with_name(f".{out.name[:50]}-{digest}.part"))
    if part.path.exists():
        try:
            locks.Lock(part.lock).close()
        except locks.Taken as error:
            raise ValueError(f"{out}: another process is writing this run{error}.") from None
        shutil.rmtree(part)
    return part


def _miou_of(scores: Any) -> float | None:
    """mIoU of a snapshot's scores, if that is what result.json holds."""
    miou = scores.get("miou") if isinstance(scores, dict) else None
    return miou if isinstance(miou, float | int) else None


def _scored(out: RunFolder, generator: Any, settings: config.Config, step: int) -> dict[str, Any] | None:
    """Scores as training notes them, and pictures; None where there is nothing here to score on."""
    from ass_tf.runs import validation
    from ass_tf.scoring import predictions

    if settings.validation is None:
        return None
    try:
        domain = datasets.open_domain(settings.class_names, settings.validation)
    except datasets.DataError as error:
        print(f"not scored: {error}", file=sys.stderr)
        return None
    forward = predictions.build_forward(generator)
    scores, _ = validation.validate(out, forward, domain, settings.class_names)
    return {"step": step, **scores.to_json()}


def _write_records(
    out: RunFolder,
    result: dict[str, Any],
    sessions: dict[str, Any],
    last: dict[str, Any] | None,
    statistics: dict[str, Any],
) -> None:
    """result.json and run.json of the run, with the new scores and where the statistics are from."""
    out.write_result({**result, "last": last, "best": None, "statistics": statistics})
    out.write_sessions({**sessions, "statistics": statistics})


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.adabn") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=option.path, required=True, metavar="DIR", help="folder that ass_tf.train wrote")
    add("--out", type=option.path, required=True, metavar="DIR", help="folder of the new run")
    add(
        "--images",
        type=option.path,
        metavar="DIR",
        help="folder of photographs (default: the run's own target images)",
    )
    add("--snapshot", choices=["last", "best"], default="last", help="default: last")
    add("--count", type=option.number(), default=COUNT, metavar="N", help=f"photographs to use (default: {COUNT})")
    options = parser.parse_args(arguments)
    try:
        before, after = adapt(**vars(options))
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    scores = ["not scored" if score is None else terminal.percent(score) for score in (before, after)]
    print(f"{options.out}: mIoU {scores[0]} before, {scores[1]} after")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
