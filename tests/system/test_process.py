"""A command's process: a quiet start, and its memory."""

import mmap
import os
import platform
import signal
import subprocess
import sys

import pytest

from ass_tf.system import process

LOUD = "import os\nos.write(2, b'chatter')\n"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loud_module.py").write_text(LOUD)
    (tmp_path / "broken_module.py").write_text(LOUD + "raise ImportError('no such library')\n")
    yield
    sys.modules.pop("loud_module", None)


def test_import_is_quiet_and_stderr_is_back_after_it(modules, capfd):
    process.import_quietly("loud_module")
    assert "loud_module" in sys.modules
    print("ours", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "ours\n"


def test_import_that_fails_shows_what_was_written(modules, capfd):
    with pytest.raises(ImportError, match="no such library"):
        process.import_quietly("broken_module")
    print("ours", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "chatterours\n"


def test_import_works_with_stderr_closed():
    code = "import os; os.close(2); from ass_tf.system import process; process.import_quietly('colorsys')"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


def test_tensorflow_starts_without_a_word():
    code = "from ass_tf.system import process; process.start_tensorflow(); import tensorflow as tf; tf.constant(1.0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_asked_of_a_process_that_ends_well_all_the_same_is_told(number):
    kind = "import signal, sys, time; [signal.signal(s, lambda *_: sys.exit(0)) for s in (2, 15)]; "
    kind += "print('ready', flush=True); time.sleep(60)"
    code = "import signal, sys; from ass_tf.system import process; "
    code += "signal.signal(2, signal.default_int_handler); "  # shells start background jobs with SIGINT ignored
    code += f"sys.exit(process.run_to_end([sys.executable, '-c', {kind!r}]))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as parent:
        parent.stdout.readline()
        # Ctrl-C reaches the whole group, SIGTERM the parent alone.
        (os.killpg if number == signal.SIGINT else os.kill)(parent.pid, number)
        assert parent.wait(timeout=30) == 128 + number


def test_resident_memory_grows_with_what_is_held():
    before = process.resident_memory()
    held = mmap.mmap(-1, 200 * 2**20)  # new memory, which a bytearray may get from what was freed
    for _ in range(200):
        held.write(b"x" * 2**20)
    assert process.resident_memory() - before == pytest.approx(200, abs=20)
    del held


GIVEN_BACK = """
from ass_tf.system import process
import numpy as np
process.keep_freed()
held = [np.ones(2**17) for _ in range(300)]  # of 1 MB each
del held[:-1]
kept = process.resident_memory()
process.give_back()
print(kept - process.resident_memory())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere freed memory is not kept")
def test_kept_memory_is_given_back_when_asked():
    done = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 200


FAULTS = """
import resource
from ass_tf.system import process
process.start_tensorflow()
import numpy as np, tensorflow as tf
data = tf.data.Dataset.from_tensors(0).repeat()
next(iter(tf.distribute.MirroredStrategy(["CPU:0"]).experimental_distribute_dataset(data)))
process.keep_freed()
for count in (3, 50):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        np.ones(2**20)  # 8 MB, 2048 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="for glibc")
def test_freed_memory_is_kept_even_after_a_distributed_data_set_was_used():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 10 * 2048  # of 50 * 2048 where each array takes its pages anew
