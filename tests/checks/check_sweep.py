"""Kills sweeps by signal 9 at random moments, two at once on one folder, and compares with an undisturbed one.

    python tests/checks/check_sweep.py [--kills 10] [--seed 0]

Two processes share a folder; at a moment drawn between nothing and an eighth of what the undisturbed sweep took one of
them is killed, a little later the other, and both are started anew. The last pair is left to end. The exit status is 0
if every run was made once and none failed, all are identical, bit by bit, to the undisturbed sweep's, and no kill was
left to do.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from check_kill import differences
from small_runs import ROOT, prepare_check

TRAIN = {"steps": 60, "checkpoint_every": 10, "validate_every": 45, "log_every": 7, "shares_every": 25}
PLAN = {
    "methods": {method: {"file": "small.json", "set": {"method": method}} for method in ("oracle", "joint", "csa")},
    "labelled": [1, 2],
}


def start(file, out):
    words = [sys.executable, "-m", "ass_tf.sweep", "--config", str(file), "--out", str(out)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Finished:
    """Notes when each run's result was written, and what was written again."""

    def __init__(self, out):
        self.out, self.seen, self.again = out, {}, []

    def look(self):
        for file in self.out.glob("*/result.json"):
            written = file.stat().st_mtime_ns
            if self.seen.setdefault(file.parent.name, written) != written:
                self.again.append(file.parent.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare_check(root, TRAIN)
        (root / "plan.json").write_text(json.dumps(PLAN))
        begin = time.monotonic()
        printed, _ = (process := start(root / "plan.json", root / "undisturbed")).communicate()
        if process.returncode:
            print(printed)
            return 1
        life = time.monotonic() - begin
        print(f"undisturbed: {life:.0f} s, {len(list(root.glob('undisturbed/*/result.json')))} runs", flush=True)
        out = root / "shared"
        finished, killed = Finished(out), 0
        total = len(list(root.glob("undisturbed/*/result.json")))
        while killed < options.kills and len(finished.seen) < total:
            pair = [start(root / "plan.json", out) for _ in range(2)]
            for process in draw.sample(pair, 2):
                end = time.monotonic() + draw.uniform(0, life / 8)
                while time.monotonic() < end and process.poll() is None:
                    time.sleep(0.05)
                    finished.look()
                if process.poll() is None and killed < options.kills:
                    process.kill()
                    killed += 1
                    print(f"killed {killed}: {len(finished.seen)} runs done", flush=True)
            for process in pair:
                process.kill()
                process.communicate()
        pair = [start(root / "plan.json", out) for _ in range(2)]
        printed = [process.communicate()[0] for process in pair]
        finished.look()
        failed = [process.returncode for process in pair if process.returncode]
        failed += [file.stem for file in out.glob("status/*.json") if "failed" in file.read_text()]
        bad = {run.name: differences(run, root / "undisturbed" / run.name) for run in out.glob("*-*-*")}
        wrong = {name: found for name, found in bad.items() if found}
        print("\n".join(f"{name}: {found}" for name, found in wrong.items()) or printed[0].strip())
        print(
            f"{len(bad) - len(wrong)} of {total} runs identical after {killed} kills; written twice: {finished.again}; "
            f"failed: {failed}"
        )
        sound = len(bad) == total and not wrong and not finished.again and not failed
        return 0 if sound and killed >= options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
