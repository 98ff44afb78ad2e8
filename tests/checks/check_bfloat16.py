"""Trains CARLA to CamVid in float32 and in bfloat16 and compares the mIoU over seeds.

    python tests/checks/check_bfloat16.py --carla DIR --camvid DIR [--weights FILE] [--out DIR] [--seeds 3]

Joint training and GA+CSA with 50 labels, as `configs/carla_camvid_*.json` have them. Runs that are finished are not
made again. The exit status is 0 if the means lie within one standard deviation of float32's, and if every running
statistic in the snapshots is float32. On a CPU that cannot multiply bfloat16 a step takes ten times as long.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
METHODS, PRECISIONS = ("joint", "csa"), ("float32", "mixed_bfloat16")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--carla", type=Path, required=True)
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet", help="as model.weights")
    parser.add_argument("--out", type=Path, default=Path("runs/check_bfloat16"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    sound = True
    for method in METHODS:
        scores = {p: [train(method, p, seed, options) for seed in range(options.seeds)] for p in PRECISIONS}
        means = {p: statistics.mean(values) for p, values in scores.items()}
        spread = {p: statistics.stdev(values) if len(values) > 1 else 0.0 for p, values in scores.items()}
        for p, values in scores.items():
            each = ", ".join(f"{value:.2f}" for value in values)
            print(f"{method:<6}{p:<15} mIoU {means[p]:.2f}, standard deviation {spread[p]:.2f} ({each})")
        sound &= abs(means[PRECISIONS[1]] - means[PRECISIONS[0]]) <= spread[PRECISIONS[0]]
    print("within one standard deviation" if sound else "NOT within one standard deviation")
    return 0 if sound else 1


def train(method, precision, seed, options):
    """mIoU of the last snapshot of one run."""
    run = options.out / f"{method}-{precision}-{seed}"
    words = [sys.executable, "-m", "ass_tf.train", "--config", f"configs/carla_camvid_{method}.json"]
    words += ["--run", run.resolve(), "--set", f"train.precision={precision}", f"seed={seed}"]
    words += [f"source.root={options.carla.resolve()}", f"target.root={options.camvid.resolve()}"]
    words += [f"validation.root={options.camvid.resolve()}", f"model.weights={options.weights}"]
    words += [f"train.steps={options.steps}", f"optimiser.decay_steps={options.steps}"]
    done = subprocess.run(list(map(str, words)), cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{run}: training failed with exit status {done.returncode}.")
    refuse_low_statistics(run)
    miou = json.loads((run / "result.json").read_text())["last"]["miou"]
    print(f"{run.name}: {miou:.2f}", flush=True)
    return miou


def refuse_low_statistics(run):
    """Ends the check if a variable of the last snapshot holds 16-bit numbers."""
    import tensorflow as tf

    from ass_tf.runs.folder import RunFolder

    snapshots = RunFolder(run).snapshots()
    (index,) = Path(snapshots[max(snapshots)]).glob("*.index")
    kinds = tf.train.load_checkpoint(str(index.with_suffix(""))).get_variable_to_dtype_map()
    low = sorted(name for name, kind in kinds.items() if kind in (tf.bfloat16, tf.float16))
    if low:
        raise SystemExit(f"{run}: {low[0]} is of 16 bits.")


if __name__ == "__main__":
    sys.exit(main())
