"""Two logical CPU devices for all tests, and none of TensorFlow's chatter."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
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
