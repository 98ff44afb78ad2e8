"""What the process does with memory: how much it holds, and that it keeps what it will need again."""

from __future__ import annotations

import ctypes
import os

# Of glibc's malloc.h: the parameters of mallopt.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
# Bytes: above every tensor, and about what a step frees at once.
LARGEST, SPARE = 2**30, 2**28


def keep_freed() -> None:
    """Keeps freed memory for the next step, where the C library is glibc; elsewhere does nothing.

    By default glibc gives tensors of some MB back to the system and takes them anew at every step, page by page, which
    takes as long as the computation of a small network (`python tests/bench_step.py --allocator` shows it).
    Virtual memory of every thread's heap grows by `SPARE`, resident memory by what a step needs.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # macOS, musl, Windows
        return
    for parameter, value in ((MMAP_THRESHOLD, LARGEST), (TRIM_THRESHOLD, LARGEST), (TOP_PAD, SPARE)):
        mallopt(parameter, value)


def resident() -> float | None:
    """MB of memory that the process holds, or None where /proc has no word of it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return None
