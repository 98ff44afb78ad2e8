"""Wall time of the inference command over the session's own, and its images per second over those of a plain loop.

    python tests/bench/bench_inference.py MODEL PHOTOGRAPHS [--rounds 5] [--count 48] [--earlier CHECKOUT]

PHOTOGRAPHS is a folder. Its files are copied under new names until there are `--count` of them. Every contender is a
process of its own, once a round, and they take turns. The medians' ratios count. Seconds run from the first photograph
to the last written file. Imports and loading the model are not counted.

At --max-side 0 and 640, the command's seconds are divided twice: by the session's share of the same run, as the
command prints it, and by the seconds of a session of onnxruntime's defaults that runs alone on pictures that are ready.

At the size of the model, the command and a loop write labels and colours. The loop decodes, resizes and saves in one
thread with Pillow's defaults, and its session has onnxruntime's. The last line says how many labels --draft leaves.
"""

import argparse
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "export")]
SIDES = (0, 640)
PRINTED = re.compile(r"^([\d.]+) s, of which the session ran ([\d.]+) s", re.MULTILINE)
MOST, LEAST = 1.15, 1.6  # targets


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=48, help="photographs in a round, at least")
    parser.add_argument("--earlier", type=Path, metavar="CHECKOUT", help="another checkout, for comparison")
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "SIDE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        kind, side = given.worker
        return print({"session": session_alone, "loop": plain_loop}[kind](given.model, given.photographs, int(side)))

    from ass_tf.system import machine

    print(machine.describe())
    with tempfile.TemporaryDirectory() as root:
        photographs = copies(given.photographs, Path(root) / "photographs", given.count)
        print(f"{len(list(photographs.iterdir()))} photographs, {given.rounds} rounds")
        for side in SIDES:
            compare_with_session(given, photographs, side)
        compare_with_loop(given, photographs)
    tell_agreement(given)


def copies(folder, target, count):
    """A folder with the files of another under as many names as make `count` of them."""
    target.mkdir()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        raise SystemExit(f"{folder}: no photograph is there.")
    for number in range(-(-count // len(files))):
        for file in files:
            shutil.copyfile(file, target / f"{number}_{file.name}")
    return target


def take_turns(contenders, rounds):
    """Medians of what each contender returns, by its name; a first round is left out."""
    found = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            result = contender()
            if turn:
                found[name].append(result)
    return {name: [statistics.median(values) for values in zip(*results)] for name, results in found.items()}


def compare_with_session(given, photographs, side):
    contenders = commands(given, photographs, "--max-side", str(side))
    contenders["session"] = worker(given, photographs, "session", side)
    results = take_turns(contenders, given.rounds)
    (alone,) = results.pop("session")
    for name, (wall, inside) in results.items():
        print(
            f"--max-side {side:<4} {name:24} {wall:7.2f} s, over the session's share {wall / inside:.2f}, "
            f"over a session alone {wall / alone:.2f} (target: at most {MOST})"
        )


def compare_with_loop(given, photographs):
    contenders = commands(given, photographs)
    contenders["command --draft"] = command(ROOT, given.model, photographs, "--draft")
    contenders["loop"] = worker(given, photographs, "loop", 0)
    results = take_turns(contenders, given.rounds)
    (loop,), count = results.pop("loop"), len(list(photographs.iterdir()))
    print(f"default size    {'loop':24} {count / loop:7.2f} images/s")
    for name, (wall, _) in results.items():
        speed = f"{count / wall:7.2f} images/s"
        print(f"default size    {name:24} {speed}, over the loop {loop / wall:.2f} (target: at least {LEAST})")


def tell_agreement(given):
    """Prints how many labels stay the same with --draft."""
    with tempfile.TemporaryDirectory() as out:
        maps = []
        for name, words in (("exact", []), ("draft", ["--draft"])):
            command(ROOT, given.model, given.photographs, *words, out=f"{out}/{name}")()
            maps.append([np.asarray(Image.open(path)) for path in sorted(Path(out, name).glob("*_labels.png"))])
        same = [np.mean(exact == draft) for exact, draft in zip(*maps)]
    print(f"--draft leaves {np.mean(same):.2%} of the labels as they are, {min(same):.2%} on the worst photograph")


def commands(given, photographs, *words):
    """The command of this checkout, and of another one, as contenders."""
    roots = {"command": ROOT, **({"earlier": given.earlier.resolve()} if given.earlier else {})}
    return {name: command(root, given.model, photographs, *words) for name, root in roots.items()}


def command(root, model, photographs, *words, out=None):
    """A contender that returns the command's seconds, and those that its session ran."""

    def contend():
        with tempfile.TemporaryDirectory() as folder:
            start = [sys.executable, "-m", "street_inference", str(model), str(photographs), "--out", out or folder]
            printed = run([*start, "--outputs", "labels", "colour", *words], str(root / "export"))
        return [float(value) for value in PRINTED.search(printed).groups()]

    return contend


def worker(given, photographs, kind, side):
    """A contender that returns the seconds of this file's own way."""
    words = [sys.executable, __file__, str(given.model), str(photographs), "--worker", kind, str(side)]
    return lambda: [float(run(words, "").splitlines()[-1])]


def run(words, path):
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stderr}")
    return done.stdout


def session_alone(model, photographs, side):
    """Seconds of a session of onnxruntime's defaults on pictures that are decoded and resized beforehand."""
    import onnxruntime

    from street_inference import images

    session = onnxruntime.InferenceSession(str(model))
    paths = sorted(photographs.iterdir())
    originals = paths[: len({path.name.partition("_")[2] for path in paths})]  # the rest are copies of these
    ready = [images.shrink(images.decode(path), side, (None, None))[None] for path in originals]
    start = time.perf_counter()
    for image, _ in zip(itertools.cycle(ready), paths):
        session.run(["labels"], {"image": image})
    return time.perf_counter() - start


def plain_loop(model, photographs, _):
    """Seconds of what the command does at the size of the model, one step after the other."""
    import json

    import onnxruntime

    session = onnxruntime.InferenceSession(str(model))
    about = session.get_modelmeta().custom_metadata_map
    side = max(json.loads(about["size"]))
    palette = np.ravel(json.loads(about["colours"])).tolist()
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        for path in sorted(photographs.iterdir()):
            image = Image.open(path).convert("RGB")
            scale = min(1, side / max(image.size))
            size = (round(image.width * scale), round(image.height * scale))
            pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
            (labels,) = session.run(["labels"], {"image": pixels[None]})
            picture = Image.fromarray(labels[0]).resize(image.size, Image.Resampling.NEAREST)
            picture.save(f"{out}/{path.stem}_labels.png")
            picture.putpalette(palette)
            picture.save(f"{out}/{path.stem}_colour.png")
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
