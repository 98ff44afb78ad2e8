"""docs/examples/ray_inference.py on 2,000 photographs with two actors on this machine, one of them killed.

    python tests/checks/check_ray.py [--count 2000] [--model FILE]

Needs ray[data]. The exit status is 0 if every photograph has its results.
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1] / "helpers"), str(HERE.parents[2])]

from check_many import draw, model_in

EXAMPLE = HERE.parents[2] / "docs/examples/ray_inference.py"


def actors():
    """Process numbers of the actors that segment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::") and b"Segment" in name:
            found.append(int(folder.name))
    return found


def check(options, folder):
    """Prints what was found; returns whether all of it is as it must be."""
    model, out = options.model or model_in(folder), folder / "out"
    draw(folder / "photographs", options.count)
    words = [sys.executable, str(EXAMPLE), str(model), str(folder / "photographs"), "--out", str(out), "--actors", "2"]
    paths = os.pathsep.join(str(HERE.parents[2] / part) for part in ("", "export"))
    log = folder / "log"
    with open(log, "w") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths}, stdout=stream, stderr=stream)
    killed = None
    while process.poll() is None:
        done = sum(1 for _ in out.rglob("*_labels.png")) if out.exists() else 0
        if killed is None and done > options.count / 5 and (workers := actors()):
            os.kill(workers[0], signal.SIGKILL)
            killed = done
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    if process.returncode:
        print(log.read_text()[-3000:])
        return False
    with open(out / "summary.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = sum(1 for _ in out.rglob("*_labels.png"))
    print(f"{seconds:.0f} s; an actor was killed after {killed} results")
    print(
        f"{options.count} photographs: {len(rows)} rows, {len({row['name'] for row in rows})} names, {found} label maps"
    )
    return bool(killed) and len(rows) == len({row["name"] for row in rows}) == found == options.count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if check(options, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
