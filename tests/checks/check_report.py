"""Writes the report of 60 made-up runs as the command does, and compares its time and size with what it may take.

    python tests/checks/check_report.py

Five methods, four numbers of labels, three seeds, ten classes, pictures of 192 x 256. The exit status is 0 if the page
was written in under 20 s and has less than 15 MB.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import made_runs
from small_runs import ROOT

SECONDS, MEGABYTES = 20, 15


def main():
    with tempfile.TemporaryDirectory() as folder:
        sweep = made_runs.make_sweep(
            Path(folder) / "sweep",
            labelled=(20, 50, 100, "all"),
            seeds=(0, 1, 2),
            classes=[f"class {i}" for i in range(10)],
            size=(192, 256),
            pictures=4,
            steps=16,
        )
        begin = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "ass_tf.report", str(sweep)], cwd=ROOT, check=False)
        seconds = time.monotonic() - begin
        if done.returncode:
            return 1
        runs, size = len(list(sweep.glob("*/result.json"))), (sweep / "report/index.html").stat().st_size / 1e6
    print(f"{runs} runs: {seconds:.1f} s, {size:.1f} MB")
    return 0 if seconds < SECONDS and size < MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
