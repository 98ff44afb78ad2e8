"""The whole package in minutes on drawn streets: the oracle, GA+CSA and a better model from the same few labels.

    python -m ass_tf.demo [--seed 0] [--out runs/demo] [--images DIR] [--scenes 300] [--set KEY=VALUE ...]

Draws the data in GTA5's and Cityscapes' layouts, trains by configs/demo.json and demo_better.json through the ordinary
command line, puts the results side by side in numbers and in a picture, exports the better model to ONNX, and runs that
on new street images: drawn ones, or a folder of the user's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ass_tf import config, labels, streets
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder
from ass_tf.system import option, process, storage, terminal

COMMAND = [sys.executable, "-m", "ass_tf"]
DRAWN = (192, 384)  # pixels; the settings resize
SCENES = 300  # of the game


class Contender(NamedTuple):
    """A model that the demo trains: its name in numbers and in the picture, its settings file and method."""

    title: str
    short: str
    file: Path
    method: str


PAPERS, BETTER = config.SHIPPED / "demo.json", config.SHIPPED / "demo_better.json"
CONTENDERS = {  # by the folder of the run
    "oracle": Contender("oracle: the labelled camera images only", "oracle", PAPERS, "oracle"),
    "csa": Contender("GA+CSA, the paper's: also game and unlabelled images", "GA+CSA", PAPERS, "csa"),
    "better": Contender("better: the same images, our own settings", "better", BETTER, "joint"),
}
BEST = "better"  # is exported


def counts(scenes: int) -> tuple[int, int]:
    """Camera scenes to train and to validate on that go with a number of game scenes."""
    return max(scenes // 2, 1), max(scenes // 5, 1)


def draw(data: Path, scenes: int, seed: int) -> None:
    """Source and target scenes; what is there already is kept."""
    start, (train, val) = time.perf_counter(), counts(scenes)
    streets.write_gta5(data / "gta5", scenes, seed, DRAWN)
    streets.write_cityscapes(data / "cityscapes", {"train": train, "val": val}, seed, DRAWN)
    seconds = time.perf_counter() - start
    print(f"{scenes} game and {train} + {val} camera scenes in {data} ({seconds:.0f} s)", flush=True)


def overrides(method: str, data: Path, seed: int, given: Sequence[str] = ()) -> list[str]:
    """The words that make a settings file one of the runs, after those that the user has given for all."""
    roots = {"source": "gta5", "target": "cityscapes", "validation": "cityscapes"}
    words = [f"{domain}.root={json.dumps(str(data / folder))}" for domain, folder in roots.items()]
    return [*given, f"method={method}", f"seed={seed}", f"target.labelled_seed={seed}", *words]


def deploy(run: Path, images: Path | None, out: Path, seed: int) -> int:
    """Export a run, compare ONNX with Keras, and segment new images with what was exported; returns the exit status."""
    model = run / "export" / "model.onnx"
    print("\nexport, compared with Keras", flush=True)
    status = process.run_to_end([*COMMAND, "export", "--run", str(run), "--out", str(model)])
    if status:
        return status
    results = out / ("new" if images is None else "yours")
    if images is None:
        streets.write_cityscapes(out / "data/new", {"test": 6}, seed + 1000, DRAWN)
        images = out / "data/new/leftImg8bit"
    print(f"\nthe ONNX model on {images}", flush=True)
    words = ["infer", str(model), str(images), "--out", str(results), "--outputs", "labels", "colour", "overlay"]
    status = process.run_to_end([*COMMAND, *words])
    if results.is_dir():
        print(f"\nlook at the overlays in {results}")
    return status


def compare(runs: dict[str, Path], settings: config.Config, out: Path, count: int = 4) -> None:
    """A picture of a few unseen scenes: image, truth, and all predictions."""
    from ass_tf import datasets
    from ass_tf.scoring import pictures, predictions

    names = settings.class_names
    domain = datasets.open_domain(names, settings.validation)
    palette, drawn = labels.colours(names), {}
    for name, run in runs.items():
        _, generator, _ = trained.load(run)
        forward = predictions.build_forward(generator)
        _, drawn[name] = predictions.score(forward, domain, len(names), keep=count)
    rows = []
    for index, (name, image, truth, _) in enumerate(drawn["oracle"]):
        maps = [truth, *(drawn[run][index][3] for run in runs)]
        titles = [name, "truth", *(CONTENDERS[run].short for run in runs)]
        rows.append(pictures.strip([image, *(pictures.colour(m, palette) for m in maps)], titles))
    rows.append(pictures.legend(names, palette, rows[0].shape[1]))
    pictures.save_png(out, np.asarray(pictures.stack(rows)))


def summary(scores: dict[str, float | None], count: int) -> str:
    """The runs' mIoU, and what they gain over the first, for the terminal."""
    first, lines = next(iter(scores.values())), []
    for name, score in scores.items():
        gain = "" if name == next(iter(scores)) or None in (score, first) else f"{score - first:+.2f}"
        lines.append(f"  {CONTENDERS[name].title:<54}{terminal.percent(score):>6}{gain:>8}".rstrip())
    return "\n".join([f"mIoU on {count} unseen camera scenes, last snapshot", *lines])


def run_all(options: argparse.Namespace, out: Path) -> int:
    """Draws, trains, compares, exports and infers; returns the exit status."""
    data, seed = out / "data", options.seed
    words = {name: overrides(one.method, data, seed, options.set) for name, one in CONTENDERS.items()}
    # Complains before the work.
    settings = {name: config.load(CONTENDERS[name].file, given) for name, given in words.items()}
    draw(data, options.scenes, seed)
    runs = {name: out / name for name in CONTENDERS}
    for name, run in runs.items():
        print(f"\n{CONTENDERS[name].title}", flush=True)
        command = [*COMMAND, "train", "--config", CONTENDERS[name].file, "--run", run, "--set", *words[name]]
        status = process.run_to_end([str(part) for part in command])
        if status:
            return status
    process.start_tensorflow()
    compare(runs, settings[BEST], out / "comparison.png")
    scores = {name: (RunFolder(run).read_result()["last"] or {}).get("miou") for name, run in runs.items()}
    print(f"\n{summary(scores, counts(options.scenes)[1])}\nlook at {out / 'comparison.png'}", flush=True)
    return deploy(runs[BEST], options.images, out, seed)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.demo") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--seed",
        type=option.number(0),
        default=0,
        help="of the scenes, the labelled subset and the training (default: 0)",
    )
    add(
        "--out",
        type=option.path,
        default=Path("runs/demo"),
        help="folder of data, runs and results (default: runs/demo)",
    )
    add("--images", type=option.path, metavar="DIR", help="street images for the exported model, yours say")
    add("--scenes", type=option.number(), default=SCENES, metavar="N",
        help=f"game scenes; with them come N/2 camera scenes to train and N/5 to validate on (default: {SCENES})",
    )  # fmt: skip
    add("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    out = options.out / (f"seed-{options.seed}" + f"-scenes-{options.scenes}" * (options.scenes != SCENES))
    try:
        storage.check_folder(out, "--out", config.ConfigError)
        if options.images and not options.images.exists():
            raise ValueError(f"{options.images}: --images must be a folder or a file. Received: none.")
        status = run_all(options, out)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    print(f"({(time.perf_counter() - start) / 60:.1f} minutes)")
    return status


if __name__ == "__main__":
    sys.exit(terminal.run(main))
