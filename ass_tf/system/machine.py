"""What the CPU of this machine can do, and which GPUs it has."""

from __future__ import annotations

import contextlib
import os
import platform

# Names of features that speed networks up -> the flags of /proc/cpuinfo of which one is enough.
FEATURES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AVX512-BF16": ("avx512_bf16",),
    "AMX-BF16": ("amx_bf16",),
    "AMX-INT8": ("amx_int8",),
}
BFLOAT16 = {"AVX512-BF16", "AMX-BF16"}  # one of them multiplies bfloat16
INT8 = {"VNNI", "AMX-INT8"}  # one of them sums up products of 8-bit numbers without overflow


def cpu_info(path: str = "/proc/cpuinfo") -> dict[str, str]:
    """The first processor's entries in Linux' list; empty elsewhere."""
    entries: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():
                    break
                key, _, value = line.partition(":")
                entries[key.strip()] = value.strip()
    except OSError:
        pass
    return entries


def cpu_features(info: dict[str, str] | None = None) -> list[str]:
    """Which of FEATURES the CPU has, in their order; none where that is not known.

    Args:
        info: as `cpu_info` returns it; default this machine's.
    """
    flags = set((cpu_info() if info is None else info).get("flags", "").split())
    return [name for name, any_of in FEATURES.items() if flags & set(any_of)]


def describe() -> str:
    """One line: the CPU's name, the cores that this process may use, and its features."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = cpu_info()
    name = info.get("model name") or platform.processor() or platform.machine()
    return f"{name}, {cores} cores, {', '.join(cpu_features(info)) or 'features unknown'}"


def gpus(listed: str = "/proc/driver/nvidia/gpus") -> list[str]:
    """NVIDIA's GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    Args:
        listed: the driver's folder with an entry for each.
    """
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name not in ("", "-1")]
    count = 0
    with contextlib.suppress(OSError):
        count = len(os.listdir(listed))
    return [str(number) for number in range(count)]
