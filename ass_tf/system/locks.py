"""Locks between processes that share a folder, and whether they hold there.

A lock is `flock`'s: the system takes it back from a process that is killed. Where a file system has none, a file that
only one process can make stands for it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import tempfile
from pathlib import Path
from typing import Any

ABSENT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # this file system has no flock
# Options of a mount under which flock is known to this machine only.
ONE_MACHINE = {
    "nfs": ("nolock", "local_lock=flock", "local_lock=all"),
    "nfs4": ("nolock", "local_lock=flock", "local_lock=all"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
}
DOUBTFUL = ("9p", "afs", "fuse", "vboxsf", "virtiofs")  # kinds that may keep flock to themselves


class Taken(ValueError):
    """Another process holds the lock; the message says which in parentheses, where that is known."""


class Lock:
    """A lock that lasts until it is closed or the process ends.

    Args:
        path: file that is locked; made if it is missing.

    Raises:
        Taken: another process, or this one, holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = open(path, "a")  # noqa: SIM115 (held until `close`)
        self.stand_in: Path | None = None
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise Taken("") from None
        except OSError as error:
            if error.errno not in ABSENT:
                self.file.close()
                raise
            self._stand_in(Path(f"{os.fspath(path)}.held"))

    def _stand_in(self, path: Path) -> None:
        """Makes the file that stands for a lock; one left by a process that has died on this machine is replaced."""
        me = {"host": platform.node(), "pid": os.getpid()}
        for _ in range(2):
            try:
                with open(path, "x", encoding="utf-8") as stream:
                    json.dump(me, stream)
            except FileExistsError:
                holder = _holder(path)
                if holder.get("host") != me["host"] or _lives(holder.get("pid")):
                    break
                path.unlink(missing_ok=True)
            else:
                self.stand_in = path
                return
        self.file.close()
        raise Taken(f" ({path} says: process {holder.get('pid')} on {holder.get('host')}; delete that file if not)")

    def fileno(self) -> int:
        """Descriptor whose heirs hold the lock, too."""
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()
        if self.stand_in:
            self.stand_in.unlink(missing_ok=True)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _holder(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lives(pid: Any) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, TypeError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def weakness(folder: str | Path) -> str | None:
    """Why locks in a folder may not keep other processes out, or None where they do.

    It tries a lock, and looks up how the folder is mounted: whether other machines see it cannot be tried from one.

    Args:
        folder: a folder that is there.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".lock-") as one, open(one.name, "a") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return f"file locks do nothing in {folder}; start one process at a time"
        except OSError as error:
            return f"{folder} has no file locks ({error.strerror}); files named *.held stand for them"
    kind, options = mount_of(Path(folder))
    if any(option in options for option in ONE_MACHINE.get(kind, ())):
        return f"file locks in {folder} ({kind}) hold on this machine only; start no process on another one"
    if kind.partition(".")[0] in DOUBTFUL:
        return f"file locks in {folder} ({kind}) may hold on this machine only"
    return None


def mount_of(folder: Path, table: str | Path = "/proc/self/mountinfo") -> tuple[str, list[str]]:
    """File system and mount options of a folder; empty where the system has no such table."""
    try:
        lines = Path(table).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "", []
    best, found = -1, ("", [""])
    real = Path(os.path.realpath(folder))
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4]))
        if len(point.parts) >= best and (point == real or point in real.parents):
            kind, _, options = after.split(maxsplit=2)
            best, found = len(point.parts), (kind, [*options.split(","), *before.split()[5].split(",")])
    return found
