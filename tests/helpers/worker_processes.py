"""Several workers of one run, as processes on this machine."""

import socket
import subprocess
import sys

from small_runs import ROOT

MIRRORED = """
import sys
from ass_tf.system import process
process.start_tensorflow()  # with the kernels that training has
import tensorflow as tf
from ass_tf import config
from ass_tf.runs import loop
count = int(sys.argv[3])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])
loop.train(config.load(sys.argv[1]), sys.argv[2], strategy)
"""


def train_mirrored(file, run, count):
    """The run of one process with `count` replicas."""
    words = [sys.executable, "-c", MIRRORED, str(file), str(run), str(count)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)


def free_addresses(count):
    """HOST:PORT of ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def start_workers(file, run, count):
    """The command on each of `count` workers."""
    workers = ",".join(free_addresses(count))
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(run), "--workers", workers]
    return [
        subprocess.Popen(
            [*words, "--worker", str(i)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]


def ends(processes, seconds=240):
    """(exit status, last line) of each."""
    found = []
    for process in processes:
        output, _ = process.communicate(timeout=seconds)
        found.append((process.returncode, output.strip().splitlines()[-1]))
    return found
