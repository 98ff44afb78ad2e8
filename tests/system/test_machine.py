"""What is read off /proc/cpuinfo."""

import pytest

from ass_tf.system import machine

CPUINFO = """processor\t: 0
model name\t: A Chip @ 2.00GHz
flags\t\t: fpu avx2 avx512f avx512_vnni amx_tile amx_bf16

processor\t: 1
flags\t\t: fpu
"""


def test_features_are_those_of_the_first_processor(tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    info = machine.cpu_info(str(tmp_path / "cpuinfo"))
    assert info["model name"] == "A Chip @ 2.00GHz"
    assert machine.cpu_features(info) == ["AVX2", "AVX-512", "VNNI", "AMX-BF16"]


def test_machine_without_the_list_has_no_known_features(tmp_path):
    assert machine.cpu_info(str(tmp_path / "none")) == {}
    assert machine.cpu_features({}) == []


@pytest.mark.parametrize("flag", ["avx_vnni", "avx512_vnni"])
def test_either_kind_of_vnni_counts(flag):
    assert machine.cpu_features({"flags": f"fpu {flag}"}) == ["VNNI"]


def test_description_names_cores_and_features():
    assert " cores, " in machine.describe()
