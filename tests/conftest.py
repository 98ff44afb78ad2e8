"""Two logical CPU devices for all tests, and none of TensorFlow's chatter."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import signal

import exports
import pytest
import small_runs
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
tf.config.experimental.enable_op_determinism()  # train's default


@pytest.fixture(scope="session")
def one_replica():
    return tf.distribute.MirroredStrategy(["CPU:0"])


@pytest.fixture(scope="session")
def two_replicas():
    # One for all tests: TensorFlow numbers collective operations per strategy, and the numbers of a second strategy in
    # one process clash with the first's (tensorflow issue 62790).
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    return small_runs.draw_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def signals():
    """Commands called in this process leave its handlers as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory):
    """What is remembered of checked files stays out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def file(scenes):
    path = scenes / "small.json"
    path.write_text(json.dumps(small_runs.settings(scenes)))
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """What is remembered of checked files stays out of the user's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ass_tf" / "checked.json"


@pytest.fixture(scope="session")
def finished(scenes, tmp_path_factory):
    """A finished run; tests may add to its export folder, nothing else."""
    return exports.finished_run(tmp_path_factory.mktemp("finished") / "runs" / "one", scenes)


@pytest.fixture(scope="session")
def model(finished):
    """The run as an ONNX file."""
    from ass_tf.export import to_onnx

    file = finished / "export" / "model.onnx"
    assert to_onnx.main(["--run", str(finished)]) == 0
    return file
