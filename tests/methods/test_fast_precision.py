"""Which arithmetic `train.precision=auto` takes."""

import pytest
import tensorflow as tf

from ass_tf.methods import precision
from ass_tf.system import machine


@pytest.fixture
def cpu(monkeypatch):
    """Makes the CPU one with these features, on which bfloat16 is so many times as fast."""

    def make(features, gain):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
        monkeypatch.setattr(machine, "cpu_features", lambda: features)
        monkeypatch.setattr(precision, "measured_gain", lambda: gain)

    return make


@pytest.fixture
def gpus(monkeypatch):
    """Puts GPUs of these compute capabilities into the machine."""

    def make(*capabilities):
        details = dict(enumerate(capabilities))
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(details))
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": details[gpu]}
        )

    return make


@pytest.mark.parametrize(
    ("features", "gain", "policy"),
    [
        (["AVX2", "AMX-BF16"], 2.5, "mixed_bfloat16"),
        (["AVX512-BF16"], 1.4, "mixed_bfloat16"),
        (["AVX512-BF16"], 1.1, "float32"),
        (["AVX2", "AVX-512", "VNNI"], 9.0, "float32"),
        ([], 9.0, "float32"),
    ],
)
def test_cpu_takes_bfloat16_where_it_can_and_is_faster(cpu, features, gain, policy):
    cpu(features, gain)
    assert precision.resolve("auto") == policy


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [([(8, 0)], "mixed_bfloat16"), ([(9, 0), (8, 6)], "mixed_bfloat16"), ([(7, 5)], "float32"),
     ([(8, 0), (7, 0)], "float32")],
)  # fmt: skip
def test_gpus_take_bfloat16_if_all_have_it(gpus, capabilities, policy):
    gpus(*capabilities)
    assert precision.resolve("auto") == policy


@pytest.mark.parametrize("setting", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_stated_is_taken(cpu, setting):
    cpu(["AMX-BF16"], 9.0)
    assert precision.resolve(setting) == setting


def test_hint_is_for_float32_on_a_machine_that_is_much_faster_in_bfloat16(cpu):
    cpu(["AMX-BF16"], 2.13)
    hint = "this machine computes much faster in bfloat16; --set train.precision=auto uses it."
    assert precision.hint("float32") == hint
    assert precision.hint("auto") is None
    cpu(["AMX-BF16"], 1.5)
    assert precision.hint("float32") is None


def test_the_gain_is_measured():
    assert precision.measured_gain(rounds=1) > 0
