"""Kills training at random moments by signal 9 and compares what it arrives at with an undisturbed run, bit by bit.

    python tests/check_kill.py [--kills 20] [--seed 0]

Each process gets a moment of its life, drawn uniformly from its start to the time that the undisturbed run took; one
that ends before was not killed, and a fresh run begins. So a run may be killed several times, in its start, its steps,
its validations and its snapshots. The exit status is 0 if every killed run ends identical.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small_runs import ROOT, log_of, prepare_check, tensors

from ass_tf import run_folder

TRAIN = {"steps": 150, "checkpoint_every": 10, "validate_every": 45, "log_every": 7}


def train(file, run, moment=None):
    """One process; returns its seconds, and None if it was killed at `moment`, or its exit status."""
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(run)]
    with tempfile.TemporaryFile("w+") as output:
        begin = time.monotonic()
        process = subprocess.Popen(words, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            status = process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return moment, None
        if status:
            output.seek(0)
            print(output.read(), flush=True)
        return time.monotonic() - begin, status


def last_step(run):
    """Step of the last whole line of the log, or 0."""
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def differences(run, whole):
    """What a run has that is not as in the undisturbed one: tensors, records and files by name."""
    found, expected = run_folder.snapshots(run), run_folder.snapshots(whole)
    if found.keys() != expected.keys():
        return [f"snapshots of steps {list(found)}, not {list(expected)}"]
    names = [] if log_of(run) == log_of(whole) else ["log.jsonl"]
    names += [
        name for name in ("config.json", "result.json") if (run / name).read_bytes() != (whole / name).read_bytes()
    ]
    for step in expected:
        ours, theirs = tensors(found[step]), tensors(expected[step])
        names += [f"{step}: {n}" for n in ours.keys() | theirs.keys() if _bits(ours, n) != _bits(theirs, n)]
    return names


def _bits(values, name):
    return values[name].tobytes() if name in values else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = prepare_check(root, TRAIN)
        life, status = train(file, root / "undisturbed")
        if status:
            return 1
        print(f"undisturbed: {life:.1f} s, {TRAIN['steps']} steps", flush=True)
        landed = same = runs = 0
        while landed < options.kills:
            runs += 1
            run, kills, status = root / f"run{runs}", [], None
            while status is None:
                moment = draw.uniform(0, life) if landed + len(kills) < options.kills else None
                seconds, status = train(file, run, moment)
                if status is None:
                    saved = max(run_folder.snapshots(run), default=0)
                    kills.append(f"{seconds:6.2f} s after start, log at step {last_step(run):3}, snapshot of {saved:3}")
            wrong = [f"exit status {status}"] if status else differences(run, root / "undisturbed")
            for kill in kills:
                landed += 1
                same += not wrong
                print(f"kill {landed:2}: run {runs}, {kill}: identical {'no' if wrong else 'yes'}", flush=True)
            if kills and wrong:
                print(f"run {runs} differs in: {', '.join(wrong[:5])}, {len(wrong)} in all", flush=True)
        print(f"{same} of {landed} identical")
        return 0 if same == landed else 1


if __name__ == "__main__":
    sys.exit(main())
