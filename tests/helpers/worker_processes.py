"""Several workers of one run, as processes on this machine."""

import socket
import subprocess
import sys

from small_runs import ROOT


def free_addresses(count):
    """HOST:PORT of ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def start_workers(file, run, count, of_each=(), **options):
    """The command on each of `count` workers.

    Args:
        file, run: settings and run folder.
        count: int.
        of_each: list of further words, one for each worker.
    """
    workers = ",".join(free_addresses(count))
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(run), "--workers", workers]
    return [
        subprocess.Popen(
            [*words, "--worker", str(i), *(of_each[i] if of_each else ())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
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
