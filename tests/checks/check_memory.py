"""Trains on drawn scenes and compares the resident memory after step 500 with that after step 100.

    python tests/checks/check_memory.py

The run has snapshots and validations on the way. The exit status is 0 if the memory has grown by no more than 2 %.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from small_runs import ROOT, prepare_check

EARLY, LATE, MOST = 100, 500, 1.02
# The step that measures the terms' shares has a graph of its own, which is there before the first figure.
TRAIN = {"steps": LATE, "checkpoint_every": 50, "validate_every": 50, "shares_every": EARLY, "log_every": 25}


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = prepare_check(root, TRAIN, size=(256, 512), count=8)
        words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(root / "run")]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout, done.stderr)
            return 1
        records = map(json.loads, (root / "run" / "log.jsonl").read_text().splitlines())
        memory = {record["step"]: record["memory_mb"] for record in records if "memory_mb" in record}
    print("step  memory in MB")
    for step, value in memory.items():
        print(f"{step:4}  {value:.1f}")
    ratio = memory[LATE] / memory[EARLY]
    print(f"after step {EARLY}: {memory[EARLY]:.1f} MB, after step {LATE}: {memory[LATE]:.1f} MB, ratio {ratio:.4f}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
