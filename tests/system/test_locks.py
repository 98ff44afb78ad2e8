"""Locks: who is kept out, and what is said where file systems have none."""

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import time

import pytest

from ass_tf.system import locks
from ass_tf.system.locks import Lock, Taken


def refuse(number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    return flock


def test_lock_keeps_others_out_until_it_is_closed(tmp_path):
    with Lock(tmp_path / "a"), pytest.raises(Taken):
        Lock(tmp_path / "a")
    Lock(tmp_path / "a").close()


def test_heir_of_the_descriptor_keeps_the_lock(tmp_path):
    lock = Lock(tmp_path / "a")
    words = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as child:
        lock.close()
        with pytest.raises(Taken):
            Lock(tmp_path / "a")
        child.stdin.close()
    Lock(tmp_path / "a").close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_stands_for_a_lock_where_there_are_none(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    held = rf"a\.held says: process {os.getpid()} on .*; if that has ended, wait 5 minutes or delete the file"
    with Lock(tmp_path / "a"), pytest.raises(Taken, match=held):
        Lock(tmp_path / "a")
    assert not (tmp_path / "a.held").exists()
    assert "has no file locks" in locks.weakness(tmp_path)


def test_stand_in_of_a_process_that_died_here_is_replaced_and_of_another_machine_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    (tmp_path / "a.held").write_text(json.dumps({"host": platform.node(), "pid": child.pid}))
    Lock(tmp_path / "a").close()
    (tmp_path / "a.held").write_text(json.dumps({"host": "elsewhere", "pid": child.pid}))
    with pytest.raises(Taken, match="on elsewhere"):
        Lock(tmp_path / "a")


def held_by(path, **holder):
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, **holder}))
    return path


def test_stand_in_that_nobody_touches_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    held = held_by(tmp_path / "a.held")
    with pytest.raises(Taken, match="process 7 on elsewhere"):
        Lock(tmp_path / "a")
    os.utime(held, (time.time() - locks.STALE - 5,) * 2)
    with Lock(tmp_path / "a"):
        assert json.loads(held.read_text()) == {"host": platform.node(), "pid": os.getpid()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_stand_in_is_touched_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    monkeypatch.setattr(locks, "BEAT", 0.01)
    with Lock(tmp_path / "a"):
        os.utime(tmp_path / "a.held", (0, 0))
        for _ in range(500):
            if (tmp_path / "a.held").stat().st_mtime > 0:
                break
            time.sleep(0.01)
        assert (tmp_path / "a.held").stat().st_mtime > 0


def test_process_whose_lock_was_taken_over_ends_and_leaves_the_lock(tmp_path):
    code = """
import errno, fcntl, pathlib, sys, time
from ass_tf.system import locks
def flock(*_): raise OSError(errno.ENOLCK, "")
fcntl.flock, locks.BEAT = flock, 0.01
with locks.Lock("a"):
    pathlib.Path("a.held").write_text('{"host": "elsewhere", "pid": 7}')
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 75
    message = "error: a.held: process 7 on elsewhere has taken over, since this one was not heard of.\n"
    assert done.stderr == message
    assert json.loads((tmp_path / "a.held").read_text())["host"] == "elsewhere"


def test_one_that_is_a_moment_late_leaves_the_new_holder_its_file(tmp_path):
    held = held_by(tmp_path / "a.held", pid=8)
    assert not locks._put_away(held, {"host": "elsewhere", "pid": 7})
    assert json.loads(held.read_text())["pid"] == 8
    assert locks._put_away(held, {"host": "elsewhere", "pid": 8})
    assert list(tmp_path.iterdir()) == []


def test_locks_that_hold_on_one_machine_get_a_stand_in(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "mount_of", lambda folder: ("nfs", ["rw", "nolock"]))
    with Lock(tmp_path / "a"):
        assert (tmp_path / "a.held").exists()
        with pytest.raises(Taken):
            Lock(tmp_path / "a")
    held_by(tmp_path / "a.held")
    with pytest.raises(Taken, match="on elsewhere"):
        Lock(tmp_path / "a")


def test_other_errors_of_a_lock_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        Lock(tmp_path / "a")


def test_locks_that_do_nothing_are_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "mount_of", lambda folder: ("ext4", ["rw"]))
    assert locks.weakness(tmp_path) is None
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
    assert locks.weakness(tmp_path) == f"file locks do nothing in {tmp_path}; start one process at a time"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("ext4", "rw,relatime", None),
        ("nfs4", "rw,vers=4.2,local_lock=none", None),
        ("nfs", "rw,vers=3,local_lock=flock", "(nfs) hold on this machine only; files named *.held stand for them"),
        ("nfs", "rw,nolock", "(nfs) hold on this machine only"),
        ("lustre", "rw,localflock", "(lustre) hold on this machine only"),
        ("fuse.sshfs", "rw", "(fuse.sshfs) may hold on this machine only"),
        ("9p", "rw", "(9p) may hold on this machine only"),
    ],
)
def test_mount_tells_whether_other_machines_see_a_lock(tmp_path, monkeypatch, kind, options, message):
    folder = tmp_path / "with space"
    folder.mkdir()
    table = tmp_path / "mountinfo"
    point = os.path.realpath(folder).replace(" ", "\\040")
    table.write_text(
        f"1 0 8:1 / / rw - xfs /dev/a rw\n2 1 0:5 / {point} rw,nosuid shared:1 - {kind} host:/x {options}\n"
    )
    mount_of = locks.mount_of
    monkeypatch.setattr(locks, "mount_of", lambda folder: mount_of(folder, table))
    found = locks.weakness(folder)
    assert (message or "") in (found or "")
    assert (found is None) == (message is None)


def test_system_without_a_table_of_mounts_tells_nothing(tmp_path):
    assert locks.mount_of(tmp_path, tmp_path / "none") == ("", [])
