"""A run's snapshots scored on a labelled set, with strips of image, truth and prediction.

All scores are percent. G computes in float32, whatever precision it was trained in: so the scores are those of
training's validations and of the exported model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ass_tf import config, datasets, labels
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder
from ass_tf.system import process, storage, terminal

SNAPSHOTS = ("last", "best")


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
    folder = RunFolder(run)
    settings = folder.settings()
    words: list[str] = []
    section: dict[str, Any] = {}
    for word in data:
        if "=" in word and not Path(word).is_file():
            words.append(f"validation.{word}")
        else:
            words, section = [], {"validation": _section(word)}
    try:
        if data:
            settings = folder.settings(words, **section)
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
    return Path(out or RunFolder(run).evaluation)


def evaluate_run(
    run: str | Path,
    *,
    snapshot: str | None = None,
    network: str | None = None,
    data: Sequence[str] = (),
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    strips: int = 8,
    worst: int = 8,
    out: str | Path | None = None,
    progress: Callable[[str], Any] | None = None,
    told: Callable[[Mapping[str, Any]], Any] | None = None,
) -> dict[str, Any]:
    """Scores a run's snapshots and writes result.json, images.csv, strips/ and a reliability diagram of each.

    The last and the best snapshot are both scored. The best one was chosen on the validation set, so its score there
    flatters.

    Args:
        run: folder of the run.
        snapshot: last, best or both; default: both, or the last alone of a run that has no best one.
        network: student or teacher; default: the teacher of a run that has one.
        data: see `settings_of`.
        flip: average with the mirrored images.
        scales: average over these multiples of the images' size.
        strips: number of images to draw, evenly spread.
        worst: number of images to draw, those of the lowest mIoU.
        out: folder of result.json and strips/; default `run`/evaluation.
        progress: makes, from a snapshot's name, a context whose value takes (images done, images in all).
        told: called with the result, even if it cannot be written.

    Returns:
        result: what result.json holds: a dict per snapshot, `initial_weights`, `versions`, and what training noted.

    Raises:
        ValueError: settings, data or snapshots that cannot be used; the message is one line.
        OSError: the results cannot be written.
    """
    folder, out = RunFolder(run), folder_of(run, out)
    settings = settings_of(run, data)
    storage.check_folder(out, "--out")
    domain = datasets.open_domain(settings.class_names, settings.validation)
    wanted, network = _wanted(folder, snapshot), trained.network_of(settings, network)
    noted = {key: value for key, value in folder.read_result(missing={}).items() if key not in SNAPSHOTS}
    process.start_tensorflow()
    options = {"flip": flip, "scales": list(scales)}
    scored, kept, examined = _score_all(
        folder, wanted, network, settings, domain, options, strips=strips, worst=worst, progress=progress
    )
    result = {**noted, **scored, "initial_weights": settings.model.weights or "random", "versions": _versions()}
    try:
        for which, drawn in kept.items():
            scored[which]["strips"] = _draw(out, which, drawn, settings.class_names)
            scored[which] |= examined[which].write(out, which)
        storage.write_text(out / "result.json", storage.as_json(result))
        _write_table(out / "images.csv", examined)
    finally:
        if told:
            told(result)
    return result


def _wanted(run: RunFolder, snapshot: str | None) -> Sequence[str]:
    """The snapshots to score; each of them is there."""
    if snapshot is None:
        best = (run.state()[1].get("best") or {}).get("step")
        if best is not None and best not in run.snapshots():
            print(f"note: the best snapshot, of step {best}, is gone; only the last is scored.", file=sys.stderr)
            best = None
        snapshot = "last" if best is None else "both"
    wanted = SNAPSHOTS if snapshot == "both" else (snapshot,)
    for which in wanted:
        run.state(which)
    return wanted


def _score_all(
    run: RunFolder,
    wanted: Sequence[str],
    network: str,
    settings: config.Config,
    domain: datasets.Domain,
    options: Mapping[str, Any],
    *,
    strips: int,
    worst: int,
    progress: Callable[[str], Any] | None,
) -> tuple[dict[str, dict[str, Any]], dict[str, list[Any]], dict[str, Any]]:
    """What result.json holds of each snapshot; of each that differs from the one before it the images to draw, and its
    `examination.Examination`."""
    import numpy as np
    import tensorflow as tf

    from ass_tf.runs import snapshots
    from ass_tf.scoring import examination, metrics, predictions

    generator, names = trained.build(settings), settings.class_names
    forward = predictions.build_forward(generator)
    of_data = [names[i] for i in np.unique(domain.table) if i < len(names)]
    scored: dict[str, dict[str, Any]] = {}
    kept: dict[str, list[Any]] = {}
    examined: dict[str, Any] = {}
    noted = {**options, "network": network} if settings.self_trains else options
    for which in wanted:
        step = int(snapshots.restore_generator(run, generator, which, network))
        if which == "best" and scored.get("last", {}).get("step") == step:
            scored[which] = scored["last"]
            continue
        examined[which] = examination.Examination(names, len(domain.pairs), worst)
        try:
            with progress(which) if progress else nullcontext() as advance:
                confusion, kept[which] = predictions.score(
                    forward, domain, len(names), keep=strips, progress=advance, each=examined[which].add, **options
                )
        except tf.errors.OpError as error:  # memory, say
            raise ValueError(f"{run}: {terminal.reason(error)}") from None
        scores = metrics.scores_of(confusion, names, {"data": of_data}).to_json()
        data = settings.validation.model_dump(mode="json")
        facts = {"step": step, "images": len(domain.pairs), "settings": {**noted, "data": data}, "strips": []}
        scored[which] = {**facts, **scores}
    return scored, kept, examined


def _versions() -> dict[str, str]:
    found = trained.versions()
    return {name: found[name] for name in ("ass_tf", "tensorflow", "keras", "numpy")}


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
        rows.append(pictures.strip(panels, [name, "truth", "prediction"], pictures.SHEET_HEIGHT))
        files.append(file)
    rows.append(pictures.legend(names, palette, rows[0].shape[1]))
    pictures.save_png(out / f"strips/{which}.png", pictures.stack(rows))
    return [f"strips/{which}.png", *files]


def _write_table(file: Path, examined: Mapping[str, Any]) -> None:
    from ass_tf.scoring import examination

    storage.write_text(file, examination.table_of(examined))


def _stems(names: Sequence[str]) -> list[str]:
    """A part of a file's name for each image's: its end, without folders, and told apart by a number if need be."""
    stems = ["worst"]  # taken by the sheet of the worst
    for place, name in enumerate(names):
        stem = re.sub(r"[^\w.-]", "_", name).encode()[-150:].decode(errors="ignore")
        while stem in stems:
            stem = f"{place}_{stem}"
        stems.append(stem)
    return stems[1:]
