"""Stands in for `ass_tf.train` in the tests of sweeps: the same words and files, no networks.

It writes the name of a run to `completed.log` beside the runs when the run ends, and to `clash.log` if another
process works there; it fails where the seed is 13, and takes half a second, of which a killed one saves nothing.
"""

import argparse
import fcntl
import json
import os
import sys
import time
from pathlib import Path

from ass_tf import config

parser = argparse.ArgumentParser()
parser.add_argument("--config")
parser.add_argument("--run", type=Path)
parser.add_argument("--set", nargs="+")
options = parser.parse_args()
settings = config.load(options.config, options.set)
if settings.seed == 13:
    sys.exit("error: seed must not be 13.")
options.run.mkdir(parents=True, exist_ok=True)
busy = open(options.run / "busy", "a")  # noqa: SIM115, held to the end
try:
    fcntl.lockf(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (options.run.parent / "clash.log").write_text(options.run.name)
part = options.run / "pid.part"
part.write_text(str(os.getpid()))
os.replace(part, options.run / "pid")
(options.run / "cores").write_text(str(sorted(os.sched_getaffinity(0))))
(options.run / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
(options.run / "config.json").write_text(config.dump(settings))
time.sleep(0.5)
score = {"oracle": 30.0, "csa": 34.0}.get(settings.method, 32.0) + settings.seed
with open(options.run.parent / "completed.log", "a") as log:
    log.write(options.run.name + "\n")
unfinished = options.run / "result.part"
unfinished.write_text(json.dumps({"last": {"miou": score} if settings.validation else None}))
os.replace(unfinished, options.run / "result.json")
