"""Kills training at random moments by signal 9 and compares what it arrives at with an undisturbed run, bit by bit.

    python tests/checks/check_kill.py [--kills 20] [--seed 0] [--together 2]

Two runs go on at once, and so do two undisturbed ones at first. Each process gets a moment of its life, drawn uniformly
from its start to the time that the undisturbed run took; one that ends before was not killed, and a fresh run begins.
So a run may be killed several times, in its start, its steps, its validations and its snapshots. The exit status is 0
if every killed run ends identical.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from small_runs import ROOT, log_of, prepare_check, tensors

from ass_tf.runs.folder import RunFolder

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
    found, expected = RunFolder(run).snapshots(), RunFolder(whole).snapshots()
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


def hunt(file, root, kills, life, draw):
    """Kills runs until so many kills have landed; returns how many of them belong to runs that ended identical."""
    landed = same = runs = 0
    while landed < kills:
        runs += 1
        run, told, status = root / f"run{runs}", [], None
        while status is None:
            moment = draw.uniform(0, life) if landed + len(told) < kills else None
            seconds, status = train(file, run, moment)
            if status is None:
                saved = max(RunFolder(run).snapshots(), default=0)
                told.append(f"{seconds:6.2f} s after start, log at step {last_step(run):3}, snapshot of {saved:3}")
        wrong = [f"exit status {status}"] if status else differences(run, root.parent / "undisturbed0")
        for kill in told:
            landed += 1
            same += not wrong
            print(f"{root.name}, run {runs}, kill {landed:3}: {kill}: identical {'no' if wrong else 'yes'}", flush=True)
        if told and wrong:
            print(f"run {runs} differs in: {', '.join(wrong[:5])}, {len(wrong)} in all", flush=True)
        shutil.rmtree(run)
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", type=int, default=2, help="runs at once (default: 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.together) as pool:
        root, crews = Path(folder), range(options.together)
        file = prepare_check(root, TRAIN)
        whole = list(pool.map(lambda i: train(file, root / f"undisturbed{i}"), crews))
        if any(status for _, status in whole):
            return 1
        life = max(seconds for seconds, _ in whole)
        apart = [name for i in crews for name in differences(root / f"undisturbed{i}", root / "undisturbed0")]
        print(f"undisturbed: {life:.1f} s, {TRAIN['steps']} steps, {len(apart)} differences between them", flush=True)
        shares = [options.kills // options.together + (i < options.kills % options.together) for i in crews]
        draws = [random.Random(f"{options.seed}-{i}") for i in crews]
        hunts = [pool.submit(hunt, file, root / f"crew{i}", shares[i], life, draws[i]) for i in crews]
        same = sum(result.result() for result in hunts)
    print(f"{same} of {options.kills} identical")
    return 0 if same == options.kills and not apart else 1


if __name__ == "__main__":
    sys.exit(main())
