"""Compares photographs that `ass-tf select` chose with photographs drawn at random: CARLA to CamVid.

    python tests/checks/check_select.py --carla DIR --camvid DIR [--weights FILE] [--out DIR] [--draws 5] [--seeds 3]

For each draw, a run with 20 random labels chooses 30 more photographs. Runs with these 50 labels and runs with the 20
and 30 random ones then differ in nothing else. Settings: `configs/carla_camvid_better.json`. Finished runs are not made
again, and several calls may share --out. The last call prints mIoU by draw, and the differences of mIoU and of each
class's IoU: the mean over draws and seeds, and the standard deviation over draws of their means over seeds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from ass_tf.system import locks

FIRST, MORE = 20, 30  # photographs
KINDS = ("random", "select")  # of 50 photographs with labels
PATIENCE = 30  # seconds between two looks at what other calls do


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--carla", type=Path, required=True)
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet", help="as model.weights")
    parser.add_argument("--out", type=Path, default=Path("runs/check_select"))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--by", default="both", help="as of ass-tf select")
    parser.add_argument("--set", nargs="*", default=[], help="settings of all runs")
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    waiting = jobs_of(options)
    while waiting:
        left = [job for job in waiting if not done(*job)]
        if len(left) == len(waiting):
            time.sleep(PATIENCE)
        waiting = left
    report(options)


def jobs_of(options):
    """(kind, draw, seed, options) of all runs."""
    jobs = []
    for draw in range(options.draws):
        jobs += [("start", draw, 0, options), ("list", draw, 0, options)]
        jobs += [(kind, draw, seed, options) for seed in range(options.seeds) for kind in ("random", "select")]
    return jobs


def done(kind, draw, seed, options):
    """Does a job that nobody does; whether it is finished."""
    file = list_of(draw, options) if kind == "list" else run_of(kind, draw, seed, options) / "result.json"
    needs = {"list": run_of("start", draw, 0, options) / "result.json", "select": list_of(draw, options)}.get(kind)
    if file.exists():
        return True
    if needs is not None and not needs.exists():
        return False
    try:
        with locks.Lock(options.out / f"{kind}-{draw}-{seed}.lock"):
            if not file.exists():
                (choose if kind == "list" else train)(kind, draw, seed, options)
    except locks.Taken:
        return False
    return True


def run_of(kind, draw, seed, options):
    return options.out / f"{kind}-{draw}-{seed}"


def list_of(draw, options):
    return options.out / f"select-{draw}.txt"


def choose(kind, draw, seed, options):
    words = ["ass_tf.select", "--run", run_of("start", draw, 0, options), "--count", MORE]
    call([*words, "--out", list_of(draw, options), "--by", options.by])


def train(kind, draw, seed, options):
    settings = {
        "seed": seed,
        "target.labelled_seed": draw,
        "target.labelled": FIRST if kind == "start" else FIRST + MORE,
        "source.root": options.carla.resolve(),
        "target.root": options.camvid.resolve(),
        "validation.root": options.camvid.resolve(),
        "model.weights": options.weights,
    }
    if kind == "select":
        settings |= {"target.labelled": "all", "target.labelled_list": list_of(draw, options)}
    words = ["ass_tf.train", "--config", ROOT / "configs/carla_camvid_better.json"]
    words += ["--run", run_of(kind, draw, seed, options), "--set", *(f"{k}={v}" for k, v in settings.items())]
    call([*words, *options.set])
    print(f"{kind}-{draw}-{seed}: {scores(kind, draw, seed, options)['miou']:.2f}", flush=True)


def call(words):
    finished = subprocess.run([sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}:\n{finished.stderr}")


def scores(kind, draw, seed, options):
    return json.loads((run_of(kind, draw, seed, options) / "result.json").read_text())["last"]


def report(options):
    """Prints how much better the chosen photographs are."""
    draws, seeds = range(options.draws), range(options.seeds)
    found = {
        (kind, draw, seed): scores(kind, draw, seed, options) for kind in KINDS for draw in draws for seed in seeds
    }

    def means(value):
        """Of each choice, for each draw."""
        return {
            kind: [statistics.mean(value(found[kind, draw, seed]) for seed in seeds) for draw in draws]
            for kind in KINDS
        }

    miou = means(lambda one: one["miou"])
    for draw in draws:
        first = f"{FIRST} labels {scores('start', draw, 0, options)['miou']:.2f}, one seed"
        then = "  ".join(f"{kind} {values[draw]:.2f}" for kind, values in miou.items())
        print(f"draw {draw}: {first}; {FIRST + MORE} labels {then}")
    print(line("mIoU", miou))
    for name in found["random", 0, 0]["iou"]:
        print(line(name, means(lambda one, name=name: one["iou"][name])))


def line(title, means):
    """A line of the report: the mean over the draws of each choice, and what the chosen photographs change."""
    gains = [chosen - drawn for chosen, drawn in zip(means["select"], means["random"])]
    spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
    both = "  ".join(f"{kind} {statistics.mean(values):6.2f}" for kind, values in means.items())
    each = " ".join(f"{gain:+.2f}" for gain in gains)
    return f"{title:<14} {both}  difference {statistics.mean(gains):+6.2f} ± {spread:.2f} ({each})"


if __name__ == "__main__":
    sys.exit(main())
