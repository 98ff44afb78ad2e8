"""Seconds from the command to the end of the first step, of this checkout and of an earlier one, in turns.

    python tests/bench/bench_first_step.py --earlier CHECKOUT --config FILE [--rounds 2] [--set KEY=VALUE ...]

FILE's data must be there, by absolute paths; each run goes to a temporary folder and is killed after its first step.
Each checkout checks the data once before, and remembers in a folder of its own what it found.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
ONE = ["train.log_every=1", "train.steps=1", "train.feature_images=0", "train.shares_every=0"]


def seconds(checkout, options, caches):
    """Of one run; what it remembers of the data is under `caches`."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            sys.executable,
            "-u",
            "-m",
            "ass_tf.train",
            "--config",
            str(options.config.resolve()),
            "--run",
            f"{folder}/run",
        ]
        start = time.perf_counter()
        run = subprocess.Popen(
            [*words, "--set", *ONE, *options.set],
            cwd=folder,  # Python finds what lies in the working directory before PYTHONPATH
            env={**os.environ, "PYTHONPATH": str(checkout), "XDG_CACHE_HOME": f"{caches}{checkout}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in run.stdout:
            if line.startswith("step 1/"):
                found = time.perf_counter() - start
                run.kill()
                run.wait()
                return found
    raise SystemExit(f"{checkout}: the run ended before its first step.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--earlier", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings that both know")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as caches:
        for turn in range(options.rounds + 1):
            before, now = (seconds(checkout, options, caches) for checkout in (options.earlier.resolve(), HERE))
            if turn:
                print(f"before {before:.1f} s, now {now:.1f} s, ratio {now / before:.2f}", flush=True)


if __name__ == "__main__":
    main()
