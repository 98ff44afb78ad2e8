"""PyTorch's files are read without running what they hold, and what cannot be read is told in one line."""

import importlib.util
import os
import pickle
import sys
import zipfile

import pytest

from ass_tf.weights import torch_files

HERE = importlib.util.find_spec("torch") is not None
with_torch = pytest.mark.skipif(not HERE, reason="PyTorch is not here: make test-torch")


@with_torch
def test_a_packed_file_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**6))
    with pytest.raises(ValueError, match=r"bomb\.pth: refused, since it unpacks"):
        torch_files.read(tmp_path / "bomb.pth")


def test_a_pytorch_file_without_pytorch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "w.pth").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"w\.pth: reading it needs torch: pip install 'ass_tf\[torch\]'"):
        torch_files.read(tmp_path / "w.pth")


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


@with_torch
@pytest.mark.parametrize("content", ["pickle", "checkpoint", b"", b"\x80\x02garbage", b"PK\x03\x04nothing"])
def test_a_hostile_or_broken_pytorch_file_is_refused_in_one_line(tmp_path, monkeypatch, content):
    import torch

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bad.pth"
    if content == "checkpoint":
        torch.save({"conv1.weight": torch.zeros(1), "extra": Evil()}, file)
    else:
        file.write_bytes(pickle.dumps(Evil(), 2) if content == "pickle" else content)
    with pytest.raises(ValueError, match=r"bad\.pth: ") as error:
        torch_files.read(file)
    assert "\n" not in str(error.value)
    assert ("system" in str(error.value)) == (content in ("pickle", "checkpoint"))
    assert not (tmp_path / "executed").exists()
