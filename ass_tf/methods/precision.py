"""The arithmetic that the devices of this machine do best."""

import statistics
import time

import tensorflow as tf

from ass_tf.system import machine

AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "mixed_bfloat16"
GAIN = 1.3  # from this on bfloat16 is chosen
HINT = 1.8  # from this on it is worth a line to whoever trains in float32
AMPERE = (8, 0)  # the first compute capability with bfloat16


def resolve(setting):
    """`train.precision` as a policy of Keras: "auto" becomes mixed_bfloat16 where that is faster here, else float32."""
    if setting != AUTO:
        return setting
    return BFLOAT16 if gain() >= GAIN else FLOAT32


def gain():
    """How many times as fast bfloat16 is here: 1 on devices that cannot multiply it, 2 on GPUs that can.

    Of CPUs that can it is measured, which takes less than a second.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        able = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
        return 2.0 if min(able) >= AMPERE else 1.0
    return measured_gain() if machine.BFLOAT16 & set(machine.cpu_features()) else 1.0


def hint(setting):
    """A line for whoever trains in float32 on a machine that is much faster in bfloat16, or None."""
    if setting != FLOAT32 or gain() < HINT:
        return None
    return "this machine computes much faster in bfloat16; --set train.precision=auto uses it."


def measured_gain(rounds=5):
    """Seconds of a convolution, forward and backward, in float32 over those in bfloat16; medians of runs in turn."""
    work = {dtype: _convolution(dtype) for dtype in (tf.float32, tf.bfloat16)}
    times = {dtype: [] for dtype in work}
    for turn in range(rounds + 2):
        for dtype, run in work.items():
            start = time.perf_counter()
            run().numpy()
            if turn >= 2:  # the first ones trace, and choose kernels
                times[dtype].append(time.perf_counter() - start)
    return statistics.median(times[tf.float32]) / statistics.median(times[tf.bfloat16])


def _convolution(dtype):
    with tf.device("CPU:0"):
        inputs = tf.cast(tf.random.stateless_normal((1, 24, 32, 256), (0, 0)), dtype)
        kernel = tf.cast(tf.random.stateless_normal((3, 3, 256, 256), (0, 1)), dtype)

    @tf.function
    def run():
        with tf.GradientTape() as tape, tf.device("CPU:0"):
            tape.watch([inputs, kernel])
            outputs = tf.nn.conv2d(inputs, kernel, 1, "SAME")
        return tf.add_n([tf.reduce_sum(g) for g in tape.gradient(outputs, [inputs, kernel])])

    return run
