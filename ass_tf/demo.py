"""The whole method in minutes on drawn streets: the oracle and GA+CSA from the same few labels, scored and exported.

    python -m ass_tf.demo [--seed 0] [--out runs/demo] [--images DIR]

Draws the data in GTA5's and Cityscapes' layouts, trains by configs/demo.json through the ordinary command line, puts
the two results side by side in numbers and in a picture, exports GA+CSA to ONNX, and runs that on new street images:
drawn ones, or a folder of the user's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ass_tf import config, labels, process, streets, terminal, trained

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "configs" / "demo.json"
METHODS = {"oracle": "oracle (labelled camera images only)", "csa": "GA+CSA (and game images, and unlabelled ones)"}
DRAWN = (192, 384)  # pixels; the settings resize


def draw(data: Path, seed: int) -> None:
    """Source and target scenes; what is there already is kept."""
    start = time.perf_counter()
    streets.write_gta5(data / "gta5", 300, seed, DRAWN)
    streets.write_cityscapes(data / "cityscapes", {"train": 150, "val": 60}, seed, DRAWN)
    print(f"300 game and 150 + 60 camera scenes in {data} ({time.perf_counter() - start:.0f} s)", flush=True)


def overrides(method: str, data: Path, seed: int) -> list[str]:
    """The words that make configs/demo.json one of the two runs."""
    roots = {"source": "gta5", "target": "cityscapes", "validation": "cityscapes"}
    words = [f"{domain}.root={json.dumps(str(data / folder))}" for domain, folder in roots.items()]
    return [f"method={method}", f"seed={seed}", f"target.labelled_seed={seed}", *words]


def deploy(run: Path, images: Path | None, out: Path, seed: int) -> int:
    """Export a run, compare ONNX with Keras, and segment new images with what was exported; returns the exit status."""
    model = run / "export" / "model.onnx"
    print("\nexport, compared with Keras", flush=True)
    status = process.run_to_end(
        [sys.executable, str(ROOT / "export/to_onnx.py"), "--run", str(run), "--out", str(model)]
    )
    if status:
        return status
    results = out / ("new" if images is None else "yours")
    if images is None:
        streets.write_cityscapes(out / "data/new", {"test": 6}, seed + 1000, DRAWN)
        images = out / "data/new/leftImg8bit"
    print(f"\nthe ONNX model on {images}", flush=True)
    words = [str(ROOT / "export/infer_onnx.py"), str(model), str(images), "--out", str(results)]
    status = process.run_to_end([sys.executable, *words])
    if results.is_dir():
        print(f"\nlook at the overlays in {results}")
    return status


def compare(runs: dict[str, Path], settings: config.Config, out: Path, count: int = 4) -> None:
    """A picture of a few unseen scenes: image, truth, and both predictions."""
    from ass_tf import datasets, scoring, visualise

    names = settings.class_names
    domain = datasets.open_domain(names, **settings.validation.model_dump())
    palette, predictions = labels.colours(names), {}
    for method, run in runs.items():
        _, generator, _ = trained.load(run)
        _, predictions[method] = scoring.score(generator, domain, len(names), keep=count)
    rows = []
    for index, (name, image, truth, _) in enumerate(predictions["oracle"]):
        maps = [truth, *(predictions[method][index][3] for method in runs)]
        titles = [name, "truth", "oracle", "GA+CSA"]
        rows.append(visualise.strip([image, *(visualise.colour(m, palette) for m in maps)], titles))
    rows.append(visualise.legend(names, palette, rows[0].shape[1]))
    visualise.save_png(out, np.asarray(visualise.stack(rows)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the scenes, the labelled subset and the training")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of data, runs and results")
    parser.add_argument("--images", type=Path, metavar="DIR", help="street images for the exported model, yours say")
    options = parser.parse_args(arguments)
    start, out = time.perf_counter(), options.out / f"seed-{options.seed}"
    try:
        if options.images and not options.images.exists():
            raise ValueError(f"{options.images}: --images must be a folder or a file. Received: none.")
        draw(out / "data", options.seed)
        runs = {method: out / method for method in METHODS}
        for method, run in runs.items():
            print(f"\n{METHODS[method]}", flush=True)
            words = overrides(method, out / "data", options.seed)
            command = [sys.executable, "-m", "ass_tf.train", "--config", SETTINGS, "--run", run, "--set", *words]
            status = process.run_to_end([str(part) for part in command])
            if status:
                return status
        process.start_tensorflow()
        compare(runs, config.load(SETTINGS, overrides("csa", out / "data", options.seed)), out / "comparison.png")
        results = {m: json.loads((run / "result.json").read_text())["last"]["miou"] for m, run in runs.items()}
        print("\nmIoU on 60 unseen camera scenes, last snapshot")
        for method, score in results.items():
            print(f"  {METHODS[method]:<48}{score:6.2f}")
        print(f"  {'difference':<48}{results['csa'] - results['oracle']:+6.2f}")
        print(f"look at {out / 'comparison.png'}", flush=True)
        status = deploy(runs["csa"], options.images, out, options.seed)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    print(f"({(time.perf_counter() - start) / 60:.1f} minutes)")
    return status


if __name__ == "__main__":
    sys.exit(terminal.run(main))
