"""What is installed or copied elsewhere: the wheel away from the checkout, and inference in one file."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import exports
import numpy as np
import odd_files
import pytest
import small_runs
from PIL import Image

import ass_tf

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What the wheel is made of, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("ass_tf", "configs", "export"):
        shutil.copytree(small_runs.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "Makefile"):
        shutil.copy(small_runs.ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """Folder of the installed wheel; its libraries are those of the present environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", folder / "packages", wheel], check=True)
    return folder / "packages"


@pytest.fixture
def call(installed, tmp_path, monkeypatch):
    """Runs `ass-tf` from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    paths = [str(installed), *(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if not in_checkout(p))]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    def run(*words):
        command = [sys.executable, installed / "bin/ass-tf", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return run


def in_checkout(path):
    return os.path.realpath(path).startswith(os.path.realpath(small_runs.ROOT))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(2):
        Image.fromarray(odd_files.photograph((48, 64), index)).save(folder / f"{index}.png")
    return folder


def test_the_wheel_holds_both_packages_and_all_data_files(installed):
    shipped = {p.relative_to(small_runs.ROOT / "configs") for p in (small_runs.ROOT / "configs").rglob("*.json")}
    assert {p.relative_to(installed / "ass_tf/configs") for p in (installed / "ass_tf/configs").rglob("*")} >= shipped
    for folder, origin in (("ass_tf", "ass_tf"), ("street_inference", "export/street_inference")):
        ours = {p.relative_to(small_runs.ROOT / origin) for p in (small_runs.ROOT / origin).rglob("*.py")}
        assert {p.relative_to(installed / folder) for p in (installed / folder).rglob("*.py")} == ours
    assert (installed / "ass_tf/studies/page.html").is_file()
    web = small_runs.ROOT / "ass_tf/export/web"
    assert {p.name for p in (installed / "ass_tf/export/web").iterdir()} == {p.name for p in web.iterdir()}


def test_commands_work_away_from_the_checkout(call, installed):
    assert call("--version").stdout == f"ass_tf {ass_tf.__version__}\n"
    assert call("train", "--help").stdout.startswith("usage: ass-tf train ")
    assert call("demo", "--help").returncode == 0
    done = call("config", "gta_csa.json")
    assert (done.returncode, json.loads(done.stdout)["method"]) == (0, "csa")
    mapping = json.loads(call("config", "carla_camvid_csa.json").stdout)["source"]["mapping"]
    assert mapping == str(installed / "ass_tf/configs/maps/carla.json")
    assert "csa-all-0" in call("sweep", "--config", "table1.json", "--list").stdout
    assert "; with ass_tf come adaptsegnet.json, " in call("train", "--config", "gta.json").stderr


def test_the_demo_runs_away_from_the_checkout(call, tmp_path):
    small = [f"{domain}.size=[32, 64]" for domain in ("source", "target", "validation")]
    small += ["batch.source=1", "batch.labelled=1", "target.labelled=2", "model.rates=[1]", "train.steps=2"]
    small += ["train.validate_every=2", "train.checkpoint_every=2", "discriminators.semantic_width=16"]
    done = call("demo", "--scenes", 4, "--set", *small)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/demo/seed-0-scenes-4/new/*_overlay.jpg"))) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def check(done, out, pictures):
    assert done.returncode == 0, done.stderr
    for picture in pictures.iterdir():
        with Image.open(out / f"{picture.stem}_labels.png") as found:
            assert np.asarray(found).shape == (48, 64)


def test_the_console_script_infers_with_its_own_libraries_only(installed, model, pictures, tmp_path):
    script = installed / "bin/ass-tf-infer"
    done = exports.infer(model, pictures, "--out", tmp_path / "out", cwd=tmp_path, program=script, path=installed)
    check(done, tmp_path / "out", pictures)
    usage = exports.infer("--help", cwd=tmp_path, program=script, path=installed).stdout
    assert usage.startswith("usage: ass-tf-infer ")


def test_one_file_infers_with_its_own_libraries_only(source, model, pictures, tmp_path):
    subprocess.run(["make", "infer.pyz", f"PYTHON={sys.executable}"], cwd=source, check=True, capture_output=True)
    file = shutil.copy(source / "infer.pyz", tmp_path)
    with zipfile.ZipFile(file) as packed:
        assert all(name.startswith(("street_inference/", "__main__.py")) for name in packed.namelist())
    done = exports.infer(model, pictures, "--out", tmp_path / "out", cwd=tmp_path, program=file, path=None)
    check(done, tmp_path / "out", pictures)
    unreadable = exports.infer(tmp_path / "none.onnx", pictures, "--out", tmp_path, program=file, path=None)
    assert unreadable.returncode == 2  # the status comes through
    done = subprocess.run(
        [sys.executable, "infer.pyz", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: python infer.pyz ")
