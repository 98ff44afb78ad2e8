"""A run that commit 63f4988 began is finished by that commit and by this one: both must end alike but for roundings.

    python tests/checks/check_earlier.py [--commit 63f4988]

The run is the fixture of tests/runs/test_earlier_runs.py. The earlier code is taken from this repository's history. The
exit status is 0 if no variable of the last snapshot differs by more than CLOSE: the 2-norm of the difference over that
of the variable. Other kernels of batch norm and convolutions round otherwise.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import keras
import numpy as np
from small_runs import ROOT, log_of, tensors

CLOSE = 1e-3
RUN = "runs/early-e4879baf"
ARCHIVE = ROOT / f"tests/helpers/data/run_63f4988_keras{keras.__version__.partition('.')[0]}.tar.xz"


def finish(code, place):
    """Goes on with the fixture in a folder by the code of another; returns the run's folder."""
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(place, filter="data")
    words = [sys.executable, "-m", "ass_tf.train", "--config", "early.json", "--run", RUN]
    paths = os.pathsep.join([str(code), str(code / "export")])
    subprocess.run(words, cwd=place, env={**os.environ, "PYTHONPATH": paths}, check=True, stdout=subprocess.DEVNULL)
    return place / RUN


def distance(one, other):
    """2-norm of the difference over that of the first."""
    return float(np.linalg.norm(np.float64(one) - other) / max(np.linalg.norm(np.float64(one)), 1e-12))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default="63f4988")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / name for name in ("code", "theirs", "ours")}
        for place in places.values():
            place.mkdir()
        packed = subprocess.run(["git", "archive", options.commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", places["code"]], input=packed, check=True)
        theirs, ours = finish(places["code"], places["theirs"]), finish(ROOT, places["ours"])
        snapshots = [max((run / "snapshots").iterdir()) for run in (theirs, ours)]
        one, other = map(tensors, snapshots)
        if one.keys() != other.keys():
            raise SystemExit(f"other variables: {sorted(one.keys() ^ other.keys())}")
        apart = {name: distance(one[name], other[name]) for name in one if one[name].dtype.kind in "fiu"}
        worst = max(apart, key=apart.get)
        logs = [[r for r in log_of(run) if "validation" not in r] for run in (theirs, ours)]
        scores = [[r["validation"]["iou"] for r in log_of(run) if "validation" in r] for run in (theirs, ours)]
        print(f"{snapshots[0].name}, {snapshots[1].name}: {len(one)} variables")
        print(f"{worst} differs most, by {apart[worst]:.1e}")
        print(f"log: {len(logs[0])} records, {'equal' if logs[0] == logs[1] else 'different'}")
        print(f"validations: {len(scores[0])}, {'equal' if scores[0] == scores[1] else 'different'}")
        return 0 if snapshots[0].name == snapshots[1].name and apart[worst] <= CLOSE else 1


if __name__ == "__main__":
    sys.exit(main())
