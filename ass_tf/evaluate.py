"""A run scored on a labelled set: a table on the terminal, result.json, and strips of image, truth and prediction.

    python -m ass_tf.evaluate --run DIR [--snapshot last|best|both] [--data KEY=VALUE ...] [--flip] [--scales S ...]

All scores are percent. The last and the best snapshot are both reported; the best one was chosen on the validation set,
so its score there flatters. Counting is left to `scoring` and `metrics`, the pictures' making to `visualise`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import ass_tf
from ass_tf import config, datasets, labels
from ass_tf.runs import folder as run_folder
from ass_tf.runs import trained
from ass_tf.system import process, storage, terminal

SNAPSHOTS = ("last", "best")
SHEET_HEIGHT = 192  # pixels of one panel on the contact sheet


def settings_of(run: str | Path, data: Sequence[str] = ()) -> config.Config:
    """Settings of a run, with another set to score on if `data` says so.

    Args:
        run: folder with the run's config.json.
        data: words. KEY=VALUE replaces one setting of the run's validation section; the name of a JSON file with such a
            section replaces it as a whole.

    Returns:
        settings: Config whose `validation` is the set to score on.

    Raises:
        ConfigError: the run has no readable settings, `data` is wrong, or there is no set to score on.
    """
    settings = trained.settings_of(run)
    words: list[str] = []
    section: dict[str, Any] = {}
    for word in data:
        if "=" in word and not Path(word).is_file():
            words.append(f"validation.{word}")
        else:
            words, section = [], {"validation": _section(word)}
    try:
        if data:
            settings = config.load_record(Path(run) / "config.json", words, **section)
    except config.ConfigError as error:
        raise config.ConfigError(f"--data: {error}") from None
    if settings.validation is None:
        raise config.ConfigError(f"{run} has no validation set: name one by --data KEY=VALUE ... or --data FILE.")
    return settings


def _section(word: str) -> dict[str, Any]:
    """A validation section from a JSON file."""
    if not Path(word).exists():
        raise config.ConfigError(f"--data must be KEY=VALUE or a JSON file. {word}: No such file or directory.")
    return config.with_paths(Path(word), storage.read_json(word, config.ConfigError))


def folder_of(run: str | Path, out: str | Path | None) -> Path:
    """Where result.json and strips/ go."""
    return Path(out or Path(run) / "evaluation")


def evaluate_run(
    run: str | Path,
    *,
    snapshot: str | None = None,
    data: Sequence[str] = (),
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    strips: int = 8,
    out: str | Path | None = None,
    progress: Callable[[str], Any] | None = None,
    told: Callable[[Mapping[str, Any]], Any] | None = None,
) -> dict[str, Any]:
    """Score a run's snapshots and write result.json and strips/.

    G computes in float32, whatever precision it was trained in: so the scores are those of training's validations and
    of the exported model.

    Args:
        run: folder of the run.
        snapshot: last, best or both; default: both, or the last alone of a run that has no best one.
        data: see `settings_of`.
        flip: average with the mirrored images.
        scales: average over these multiples of the images' size.
        strips: number of images to draw.
        out: folder of result.json and strips/; default `run`/evaluation.
        progress: makes, from a snapshot's name, a context whose value takes (images done, images in all).
        told: called with the scores, even if they cannot be written.

    Returns:
        result: what result.json holds: a dict per snapshot, `initial_weights`, `versions`, and what training noted.

    Raises:
        ValueError: settings, data or snapshots that cannot be used; the message is one line.
        OSError: the results cannot be written.
    """
    run = Path(run)
    out = folder_of(run, out)
    settings = settings_of(run, data)
    storage.check_folder(out, "--out")
    domain = datasets.open_domain(settings.class_names, **settings.validation.model_dump())
    wanted = _wanted(run, snapshot)
    result = _facts(run)
    process.start_tensorflow()

    generator, kept = trained.build(settings), {}
    for which in wanted:
        given = {"flip": flip, "scales": list(scales), "strips": strips}
        _score(run, which, generator, settings, domain, result, kept, progress, **given)
    result["initial_weights"] = settings.model.weights or "random"
    result["versions"] = _versions()
    try:
        for which, pictures in kept.items():
            result[which]["strips"] = _draw(out, which, pictures, settings.class_names)
        storage.write_text(out / "result.json", storage.as_json(result))
    finally:
        if told:
            told(result)
    return result


def _wanted(run: Path, snapshot: str | None) -> Sequence[str]:
    """The snapshots to score; each of them is there."""
    if snapshot is None:
        state = run_folder.state_of(run)[1]
        best = (state.get("best") or {}).get("step")
        if best is not None and best not in run_folder.snapshots(run):
            print(f"note: the best snapshot, of step {best}, is gone; only the last is scored.", file=sys.stderr)
            best = None
        snapshot = "last" if best is None else "both"
    wanted = SNAPSHOTS if snapshot == "both" else (snapshot,)
    for which in wanted:
        run_folder.state_of(run, which)
    return wanted


def _score(run, which, generator, settings, domain, result, kept, progress, *, flip, scales, strips) -> None:
    """Scores one snapshot into `result`, and the images to draw into `kept`."""
    import numpy as np
    import tensorflow as tf

    from ass_tf.runs import snapshots
    from ass_tf.scoring import metrics, predictions

    names = settings.class_names
    step = snapshots.restore_generator(run, generator, which)
    if which == "best" and "last" in result and result["last"]["step"] == step:
        result[which] = result["last"]
        return
    given = {"flip": flip, "scales": scales, "keep": strips}
    try:
        with progress(which) if progress else nullcontext() as advance:
            confusion, kept[which] = predictions.score(generator, domain, len(names), **given, progress=advance)
    except tf.errors.OpError as error:  # memory, say
        raise ValueError(f"{run}: {terminal.reason(error)}") from None
    members = {"data": [names[i] for i in np.unique(domain.table) if i < len(names)]}
    result[which] = {
        "step": int(step),
        "images": len(domain.pairs),
        **metrics.summary(confusion, names, members),
        "settings": {"flip": flip, "scales": scales, "data": settings.validation.model_dump(mode="json")},
        "strips": [],
        "confusion": confusion.tolist(),
    }


def _versions() -> dict[str, str]:
    import keras
    import numpy as np
    import tensorflow as tf

    modules = {"ass_tf": ass_tf, "tensorflow": tf, "keras": keras, "numpy": np}
    return {name: module.__version__ for name, module in modules.items()}


def _facts(run: Path) -> dict[str, Any]:
    """What training noted in result.json beside the scores."""
    noted = storage.read_json(run / "result.json", missing={})
    return {key: value for key, value in noted.items() if key not in SNAPSHOTS}


def _draw(out: Path, which: str, kept: Sequence[tuple], names: Sequence[str]) -> list[str]:
    """Strips of the kept images and a contact sheet of them all; returns their names, relative to `out`."""
    from ass_tf.scoring import pictures

    if not kept:
        return []
    palette = labels.colours(names)
    rows, files = [], []
    for (name, image, truth, prediction), stem in zip(kept, _stems([name for name, *_ in kept])):
        panels = [image, pictures.colour(truth, palette), pictures.colour(prediction, palette)]
        file = f"strips/{which}_{stem}.png"
        pictures.save_png(out / file, pictures.strip(panels, [name, "truth", "prediction"]))
        rows.append(pictures.strip(panels, [name, "truth", "prediction"], SHEET_HEIGHT))
        files.append(file)
    rows.append(pictures.legend(names, palette, rows[0].shape[1]))
    pictures.save_png(out / f"strips/{which}.png", pictures.stack(rows))
    return [f"strips/{which}.png", *files]


def _stems(names: Sequence[str]) -> list[str]:
    """A part of a file's name for each image's: its end, without folders, and told apart by a number if need be."""
    stems: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.-]", "_", name).encode()[-150:].decode(errors="ignore")
        stems.append(f"{len(stems)}_{stem}" if stem in stems else stem)
    return stems


def table_of(result: Mapping[str, Any]) -> Table:
    """The scores of `evaluate_run` as a table, one column for each snapshot."""
    scores = {which: result[which] for which in SNAPSHOTS if which in result}
    if len({value["step"] for value in scores.values()}) < len(scores):
        scores = {"last and best": result["last"]}
    first = next(iter(scores.values()))

    def row(title: str, *keys: str) -> None:
        values = []
        for value in scores.values():
            for key in keys:
                value = value[key]
            values.append(terminal.percent(value))
        table.add_row(Text(title), *values)

    table = Table(title=f"IoU in %, {first['images']} images", title_justify="left")
    table.add_column("class")
    for which, value in scores.items():
        table.add_column(f"{which}, step {value['step']}", justify="right")
    for name in first["iou"]:
        row(name, "iou", name)
    table.add_section()
    total = len(first["iou"])
    absent = [name for name in first["iou"] if all(value["iou"][name] is None for value in scores.values())]
    without = f", without {terminal.some(absent)}" if absent else ""
    row(f"mean of {total - len(absent)} of {total} classes{without}" if absent else f"mean of {total} classes", "miou")
    for key, subset in first["subsets"].items():
        if subset["classes"] < total:
            title = "the data's classes" if key == "data" else key
            scored = max(value["subsets"][key]["scored"] for value in scores.values())
            few = f"{scored} of " if scored < subset["classes"] else ""
            row(f"mean of {few}{subset['classes']} classes ({title})", "subsets", key, "miou")
    row("pixel accuracy", "pixel_accuracy")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    def scale(text: str) -> float:
        if not 0 < float(text) <= 16:
            raise ValueError
        return float(text)

    parser = argparse.ArgumentParser(
        prog="python -m ass_tf.evaluate",
        description="Score a run on labelled images: a table, result.json, and strips of image, truth and prediction.",
    )
    parser.add_argument(
        "--run", type=terminal.path, required=True, metavar="DIR", help="folder that ass_tf.train wrote"
    )
    parser.add_argument("--snapshot", choices=[*SNAPSHOTS, "both"], help="default: both, or last if never validated")
    parser.add_argument(
        "--data",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings that replace those of the run's validation set, or a JSON file with all of them",
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored images")
    parser.add_argument("--scales", type=scale, nargs="+", default=[1.0], metavar="S", help="average over these scales")
    parser.add_argument("--strips", type=int, default=8, metavar="N", help="images to draw (default 8)")
    parser.add_argument(
        "--out", type=terminal.path, metavar="DIR", help="folder of result.json and strips/ (default: DIR/evaluation)"
    )
    options = parser.parse_args(arguments)
    try:
        evaluate_run(
            progress=terminal.show_progress, told=lambda result: Console().print(table_of(result)), **vars(options)
        )
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    print(f"Written: {folder_of(options.run, options.out) / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
