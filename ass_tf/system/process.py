"""How a command's process starts TensorFlow and optional packages, and how much memory it holds."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Of glibc's malloc.h: the parameters of mallopt.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
# Bytes: above every tensor, and about what a step frees at once.
LARGEST, SPARE = 2**30, 2**28


class MissingPackage(ValueError):
    """An optional package is not installed; the message is one line that says how to install it."""


def require(module: str, extra: str, purpose: str) -> Any:
    """An optional package's module, imported.

    Args:
        module: its name.
        extra: the extra of this package that installs it.
        purpose: what needs it, for the message.

    Raises:
        MissingPackage: it, or a package that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingPackage(f"{purpose} needs {module}: pip install 'ass_tf[{extra}]'.") from None


def start_tensorflow() -> None:
    """What a command does before it computes: imports TensorFlow quietly, and keeps freed memory.

    TensorFlow turns oneDNN on by itself only for CPUs with VNNI and the like. Its kernels were the faster ones on one
    without, too, so it is turned on for all of x86. TF_ENABLE_ONEDNN_OPTS is left alone where it is set.

    Raises:
        ImportError: TensorFlow is not there, or does not load. What it had to say is on stderr.
    """
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    keep_freed()
    with uncollected():
        import_quietly("tensorflow")


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Python collects no cyclic garbage within, for code that makes a great many objects and keeps nearly all.

    Importing TensorFlow and recording a training step took a tenth less time so.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def keep_freed() -> None:
    """Keeps freed memory for the next step, where the C library is glibc; elsewhere does nothing.

    By default glibc gives tensors of some MB back to the system and takes them anew at every step, page by page, which
    takes as long as the computation of a small network (`tests/bench/bench_allocator.py` shows it). TensorFlow
    undoes it when a distributed data set is first used under Python 3.11, so this is called after that, too.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # macOS, musl, Windows
        return
    # Older ones take 32 MB at most; and the others alone would fix the threshold where it is, at 128 KB.
    if mallopt(MMAP_THRESHOLD, LARGEST) or mallopt(MMAP_THRESHOLD, 2**25):
        mallopt(TRIM_THRESHOLD, LARGEST)
        mallopt(TOP_PAD, SPARE)
        # Else each thread's own heap fills up in time, which looks like a leak.
        mallopt(ARENA_MAX, max(1, (os.cpu_count() or 1) // 8))


def give_back() -> None:
    """Returns to the system what the process no longer needs and `keep_freed` has kept, before work by other means."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS, musl, Windows
        ctypes.CDLL(None).malloc_trim(0)


def import_quietly(module: str) -> None:
    """Imports a module whose C++ side writes to stderr, and shows what it wrote only if the import fails.

    TF_CPP_MIN_LOG_LEVEL does not reach what TensorFlow writes before its log is set up (its issue 100442).
    """
    if module in sys.modules:
        return
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        importlib.import_module(module)
        return
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            importlib.import_module(module)
        except BaseException:
            written.seek(0)
            os.write(stderr, written.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def resident_memory() -> float | None:
    """MB of memory that the process holds, or None where there is no /proc."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return None


class Interruption:
    """Notes SIGTERM and Ctrl-C, so that the loop can save first; another Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Interruption:
        self.before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def run_to_end(command: Sequence[str], **settings: Any) -> int:
    """Exit status of a process that saves before it stops; see `wait_patiently`.

    Args:
        command: its words.
        settings: of `subprocess.Popen`.
    """
    with subprocess.Popen(command, **settings) as child:
        return wait_patiently(child.wait, child.send_signal)


def wait_patiently(wait: Callable[[], int], stop: Callable[[int], Any]) -> int:
    """Exit status of children that save before they stop.

    Ctrl-C reaches the children by itself, SIGTERM is passed on.

    Args:
        wait: returns the exit status when they have ended; called again after Ctrl-C.
        stop: passes a signal on to them.

    Raises:
        SystemExit: they have ended, and this process was asked to stop, be it too late for them.
    """
    asked = []

    def pass_on(number: int, _: Any) -> None:
        asked.append(number)
        stop(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                status = wait()
                if asked:
                    raise SystemExit(128 + asked[0])
                return status
            except KeyboardInterrupt:
                asked.append(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """For `preexec_fn`: a process whose parent is killed gets SIGTERM, on Linux; elsewhere it lives on."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
