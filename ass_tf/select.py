"""Which photographs to have labelled next: those of which a run is unsure, and that are unlike those that it knows.

    python -m ass_tf.select --run RUN --count 20 --out list.txt [--images DIR]

The list holds the photographs that the run had labels of and then the chosen ones: once these are labelled, too, it is
the next run's `target.labelled_list`. Beside it lie a table, list.csv, and a page, list.html. The run stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ass_tf import config, datasets
from ass_tf.datasets import finding
from ass_tf.runs import trained
from ass_tf.scoring import choices, coverage, uncertainty
from ass_tf.system import option, process, storage, terminal

SUFFIXES = (".html", ".csv")  # of the page and the table
TABLE = ("place", "name", "score", "uncertainty", "distance")


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's, as its help says."""

    run: Path
    count: int
    out: Path
    images: Path | None = None
    snapshot: str = "last"
    network: str | None = None
    measure: str = "margin"
    by: str = "both"


def _files(out: Path) -> dict[str, Path]:
    """The page's and the table's file by their suffixes.

    Raises:
        ValueError: one of them or the list cannot be written, or is there.
    """
    storage.check_file(out, "--out")
    if out.suffix.lower() in SUFFIXES:
        rule = f"--out must not end in {' or '.join(SUFFIXES)}, as the page and the table beside it do"
        raise ValueError(f"{rule}. Received: {out}.")
    files = {suffix: out.with_suffix(suffix) for suffix in SUFFIXES}
    for file in (out, *files.values()):
        storage.check_file(file, "--out")
        if os.path.lexists(file):
            raise ValueError(f"{file}: --out must name a new file. Received: one that is there.")
    return files


def _check_count(count: int, there: int) -> None:
    if count > there:
        rule = f"--count must be at most {there}, the photographs to choose among"
        raise ValueError(f"{rule}. Received: {count}.")


def _known(settings: config.Config, run: Path) -> datasets.Domain:
    """The photographs that the run has labels of: those that its folder names, whatever has got a label since.

    A run that `adabn` wrote names none; then they are drawn as its settings say.

    Raises:
        DataError: they cannot be found.
    """
    names = trained.RunFolder(run).names_of("labelled")
    if not names.exists():
        return datasets.open_roles(settings, ["labelled"])["labelled"]
    photographs = datasets.open_roles(settings, ["unlabelled"])["unlabelled"]
    return dataclasses.replace(photographs, pairs=finding.listed(photographs.pairs, str(names)))


def _domains(settings: config.Config, run: Path, images: Path | None) -> tuple[datasets.Domain, datasets.Domain | None]:
    """The photographs to choose among, and those that the run has labels of; None where it has none or they are gone.

    Raises:
        DataError: the photographs cannot be found, or every one of them has a label already.
    """
    size = trained.judged_size(settings)
    known = None
    if settings.uses_labelled:
        try:
            known = _known(settings, run)
        except datasets.DataError:
            if images is None:
                raise
            print("note: the run's labelled photographs are not there; what they cover is not known.", file=sys.stderr)
    if images:
        pool = datasets.open_photographs(images, size)
    else:
        pool = datasets.open_roles(settings, ["unlabelled"])["unlabelled"]
    if known is not None:
        files = {pair.image.resolve() for pair in known.pairs}
        left = tuple(pair for pair in pool.pairs if pair.image.resolve() not in files)
        if not left:
            raise datasets.DataError(f"{images or settings.target.root}: every photograph has a label already.")
        pool = dataclasses.replace(pool, pairs=left)
        known = dataclasses.replace(
            known, size=size, pairs=tuple(dataclasses.replace(pair, label=None) for pair in known.pairs)
        )
    return dataclasses.replace(pool, size=size), known


def _readings(
    forward: Callable[..., Any], domain: datasets.Domain | None, measure: str, title: str
) -> list[uncertainty.Reading]:
    """What is kept of each photograph of a domain; one that cannot be read is named on stderr."""
    if domain is None:
        return []
    from ass_tf.datasets import pipeline

    def skip(error: datasets.DataError) -> None:
        print(f"skipped: {error}", file=sys.stderr)

    found, total = [], len(domain.pairs)
    with terminal.show_progress(title) as advance:
        for done, (name, image, _) in enumerate(pipeline.evaluation_pairs(domain, skip), 1):
            features, logits = (array.numpy()[0] for array in forward(image[None]))
            found.append(uncertainty.read(name, features, logits, measure))
            advance(done, total)
    return found


def select(options: Options) -> list[str]:
    """Writes the list, the table and the page.

    Returns:
        names: of the chosen photographs, in the order of choice.

    Raises:
        ValueError: the run, the photographs or the files cannot be used; the message is one line.
        OSError: a result cannot be written.
    """
    files = _files(options.out)
    pool, known = _domains(trained.RunFolder(options.run).settings(), options.run, options.images)
    _check_count(options.count, len(pool.pairs))
    process.start_tensorflow()
    import tensorflow as tf

    try:
        return _choose(options, files, pool, known)
    except tf.errors.OpError as error:  # memory, say
        raise ValueError(f"{options.run}: {terminal.reason(error)}") from None


def _choose(
    options: Options, files: Mapping[str, Path], pool: datasets.Domain, known: datasets.Domain | None
) -> list[str]:
    from ass_tf.scoring import predictions

    settings, generator, step = trained.load(options.run, options.snapshot, options.network)
    forward = predictions.build_forward(generator)
    labelled = _readings(forward, known, options.measure, "labelled photographs")
    readings = _readings(forward, pool, options.measure, "photographs")
    _check_count(options.count, len(readings))
    scores = uncertainty.scores(readings)
    features, covered = coverage.standardised(_features(readings), _features(labelled, like=readings))
    chosen, distances = coverage.pick(scores, features, covered, options.count, options.by)
    rows = [(readings[k].name, float(scores[k]), float(readings[k].doubts.sum()), d) for k, d in zip(chosen, distances)]
    kept = [] if options.images or known is None else [pair.name for pair in known.pairs]
    facts = [
        f"Chosen among {len(readings)} photographs by {options.run}, step {step}; {len(labelled)} had labels.",
        f"Measure: {options.measure}. Choice by {options.by}.",
    ]
    if len(rows) > choices.MOST:
        facts.append(f"The first {choices.MOST} of {len(rows)} choices are shown.")
    drawn = _drawn(forward, pool, rows[: choices.MOST], options.measure)
    names = [name for name, *_ in rows]
    page = choices.render(drawn, settings.class_names, "What to label next", facts)
    texts = {files[".html"]: page, files[".csv"]: _table(rows), options.out: "".join(f"{n}\n" for n in [*kept, *names])}
    try:
        for file, text in texts.items():
            storage.write_text(file, text)
    except BaseException:  # else a second try would be refused for what the first has left
        for file in texts:
            file.unlink(missing_ok=True)
        raise
    return names


def _features(readings: Sequence[uncertainty.Reading], like: Sequence[uncertainty.Reading] = ()) -> Any:
    """Features (n, d) of photographs; of none (0, d), with the d of those that are `like` it."""
    import numpy as np

    if not readings:
        return np.zeros((0, like[0].feature.size if like else 0))
    return np.stack([reading.feature for reading in readings])


def _drawn(forward: Callable[..., Any], pool: datasets.Domain, rows: Sequence[tuple], measure: str) -> Any:
    """The page's choices, each predicted once more when it is its turn."""
    import numpy as np

    from ass_tf.datasets import pipeline
    from ass_tf.scoring import predictions

    places = {pair.name: place for place, pair in enumerate(pool.pairs)}
    pairs = pipeline.evaluation_pairs(pool, places=[places[name] for name, *_ in rows])
    for (name, score, mean, distance), (_, image, _) in zip(rows, pairs):
        p = uncertainty.probabilities(predictions.evidence_of(forward, image, image.shape[:2]).numpy())
        prediction, doubt = p.argmax(-1).astype(np.uint8), uncertainty.uncertainty(p, measure)
        pixels = np.rint(image).clip(0, 255).astype(np.uint8)
        yield choices.Choice(name, score, mean, distance, pixels, prediction, doubt)


def _table(rows: Sequence[tuple]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TABLE)
    writer.writerows((place, name, *(f"{x:.4f}" for x in numbers)) for place, (name, *numbers) in enumerate(rows, 1))
    return text.getvalue()


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.select") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=option.path, required=True, metavar="DIR", help="folder that ass_tf.train wrote")
    add("--count", type=option.number(), required=True, metavar="N", help="photographs to choose")
    add("--out", type=option.path, required=True, metavar="FILE", help="the list, a new file, say list.txt")
    text = "folder of photographs (default: the run's own target images that have no label in it)"
    add("--images", type=option.path, metavar="DIR", help=text)
    add("--snapshot", choices=["last", "best"], default="last", help="default: last")
    add("--network", choices=trained.NETWORKS, help=trained.NETWORK_HELP)
    text = "margin between the two likeliest classes, or entropy (default: margin)"
    add("--measure", choices=uncertainty.MEASURES, default="margin", help=text)
    text = "what decides: uncertainty, coverage of the photographs, or both (default)"
    add("--by", choices=coverage.RULES, default="both", help=text)
    options = Options(**vars(parser.parse_args(arguments)))
    try:
        names = select(options)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    print("\n".join(names))
    print(f"{options.out}: {len(names)} chosen; {options.out.with_suffix('.html')} shows them", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
