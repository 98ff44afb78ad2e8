"""Several workers of one run: the run of one machine with as many replicas, whatever happens to them.

    python tests/checks/check_workers.py [--kills 20] [--seed 0] [--workers 2 4]

First GA, FCSA and CSA with each number of workers, on this machine, against MirroredStrategy with as many logical
devices, ten steps each. Then a random worker of two is killed at a random moment, until so many kills have landed. The
others must end within a minute by status 75, or be killed while TensorFlow looks for it; all are started again. A
worker that is killed before the others have met it leaves them waiting: they are stopped, as a scheduler does. The exit
status is 0 if losses agree to 1e-6, weights to 1e-5, validations are equal, and every killed run ends with the
undisturbed run's bits.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import numpy as np
from check_kill import differences, last_step
from small_runs import draw_scenes, log_of, settings, tensors
from worker_processes import ends, start_workers, train_mirrored

from ass_tf.runs.folder import RunFolder

LOSSES, WEIGHTS = 1e-6, 1e-5  # how far they may be apart, relative
TEN = {"steps": 10, "checkpoint_every": 10, "validate_every": 5, "log_every": 1, "shares_every": 0}
LONG = {"steps": 120, "checkpoint_every": 10, "validate_every": 45, "log_every": 5, "shares_every": 7}
GRACE = 60  # seconds


def write(root, name, replicas, **changes):
    """A settings file in a folder with scenes, with two images of each role for every replica."""
    file, batch = root / f"{name}.json", dict.fromkeys(("source", "labelled", "unlabelled"), 2 * replicas)
    plain = settings(root, batch=batch, **changes)
    plain["target"]["labelled"], plain["optimiser"]["decay_steps"] = 2 * replicas, 1000
    file.write_text(json.dumps(plain))
    return file


def compare(root, method, count):
    """Prints how far workers and replicas are apart; returns whether that is near enough."""
    file = write(root, f"{method}-{count}", count, method=method, train=TEN)
    alone, together = root / f"{method}-{count}-mirrored", root / f"{method}-{count}-workers"
    train_mirrored(file, alone, count)
    found = ends(start_workers(file, together, count))
    if any(status for status, _ in found):
        print(f"{method}, {count} workers: {found}", flush=True)
        return False
    losses, equal = 0.0, True
    for ours, theirs in zip(log_of(together), log_of(alone)):
        equal &= ours.get("validation") == theirs.get("validation")
        pairs = [(ours[key], value) for key, value in theirs.items() if isinstance(value, float)]
        losses = max([losses, *(abs(a - b) / max(abs(b), 1e-9) for a, b in pairs)])
    ours, theirs = (tensors(RunFolder(run).snapshots()[TEN["steps"]]) for run in (together, alone))
    weights = max(
        np.linalg.norm(ours[name] - value) / max(np.linalg.norm(value), 1e-9)
        for name, value in theirs.items()
        if getattr(value, "dtype", None) == np.float32
    )
    line = f"{method}, {count} workers and {count} replicas: losses differ by {losses:.1e}, weights by {weights:.1e}"
    print(f"{line}, validations {'equal' if equal else 'DIFFERENT'}", flush=True)
    return equal and losses <= LOSSES and weights <= WEIGHTS


def disturb(file, run, moment, victim):
    """Kills one of two workers at a moment of its life; returns whether it was still there, and what went wrong."""
    workers = start_workers(file, run, 2)
    try:
        workers[victim].wait(moment)
    except subprocess.TimeoutExpired:
        workers[victim].kill()
    killed = workers[victim].wait() < 0
    left, begin = workers[1 - victim], time.monotonic()
    try:
        output, _ = left.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        left.terminate()
        output, _ = left.communicate(timeout=GRACE)
        return killed, "" if "waiting for" in output else f"the other was still there after {GRACE} s: {output[-300:]}"
    finally:
        workers[victim].communicate()
    unmet = left.returncode == -signal.SIGKILL and "has gone before the first step" in output
    if not killed or unmet or left.returncode in (0, 75):
        return killed, ""
    return killed, f"status {left.returncode} after {time.monotonic() - begin:.0f} s: {output[-300:]}"


def hunt(root, kills, draw):
    """Kills until so many have landed; returns the number of those that went wrong."""
    file, whole = write(root, "long", 2, train=LONG), root / "undisturbed"
    begin = time.monotonic()
    found = ends(start_workers(file, whole, 2))
    life = time.monotonic() - begin
    if any(status for status, _ in found):
        print(f"undisturbed: {found}")
        return kills
    landed = wrong = runs = 0
    while landed < kills:
        runs += 1
        run, alive, faults, here = root / f"run{runs}", True, [], 0
        while alive and landed + here < kills:
            victim, moment = draw.randrange(2), draw.uniform(0, life)
            alive, fault = disturb(file, run, moment, victim)
            here += alive
            faults += [fault] if fault else []
            if alive:
                where = f"log at step {last_step(run)}" if run.exists() else "no folder yet"
                print(f"kill {landed + here:2}: worker {victim} after {moment:5.1f} s, {where} {fault}", flush=True)
        status = [status for status, _ in ends(start_workers(file, run, 2))]
        apart = differences(run, whole) if status == [0, 0] else [f"statuses {status}"]
        print(f"run {runs}, {here} kills: {'identical' if not apart else ', '.join(apart[:5])}", flush=True)
        landed, wrong = landed + here, wrong + (here if apart else len(faults))
        shutil.rmtree(run)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 4])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = draw_scenes(Path(folder), count=16)
        fits = [compare(root, method, count) for method in ("ga", "fcsa", "csa") for count in options.workers]
        wrong = hunt(root, options.kills, random.Random(options.seed)) if options.kills else 0
    print(f"{options.kills - wrong} of {options.kills} kills left nothing behind")
    return 0 if all(fits) and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
