"""The folder of the web page: whole or not at all, and complete."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_runs
from PIL import Image

from ass_tf import page

WEB = small_runs.ROOT / "ass_tf/export/web"
HEAD = "/*!\n * ONNX Runtime Web v1.30.0\n * Copyright (c) Microsoft Corporation. All rights reserved.\n */\n"


@pytest.fixture
def runtime(tmp_path):
    """An npm package as far as its files have names: a module that names its WebAssembly, for both ways to run."""
    package = tmp_path / "node_modules/onnxruntime-web"
    (package / "dist").mkdir(parents=True)
    for name, bundle in page.BUNDLES.items():
        text = f'{HEAD}x(new URL("{page.BINARIES[name]}",import.meta.url).href,"{page.BINARIES[name]}");\n'
        (package / "dist" / bundle).write_text(text)
        (package / "dist" / page.BINARIES[name]).write_bytes(b"\0asm")
        (package / "dist" / f"{bundle}.map").write_text("{}")
    return package


@pytest.fixture
def photograph(tmp_path):
    file = tmp_path / "a [1]*? %20#.png"
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(file)
    return file


def call(*words):
    return page.main([str(word) for word in words])


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused(capsys, *words):
    """The one line that a call is refused with."""
    capsys.readouterr()
    assert call(*words) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line.removeprefix("error: ")


def test_page_holds_the_model_the_runtime_and_the_examples(model, runtime, photograph, tmp_path, capsys):
    out = tmp_path / "my page"
    assert call(model, "--out", out, "--runtime", runtime, "--examples", photograph, photograph) == 0
    assert f"python -m http.server --directory '{out}'" in capsys.readouterr().out
    about = json.loads((out / "page.json").read_text())
    libraries = [f"onnxruntime-web-1.30.0/{name}" for name in (*page.BUNDLES.values(), *page.BINARIES.values())]
    own = [f"{about['scripts']}/{path.name}" for path in WEB.iterdir() if path.name != "index.html"]
    given = ["model.onnx", "examples/1.png", "examples/2.png", "page.json", "index.html"]
    assert files_in(out) == about["files"] == sorted([*libraries, *own, *given])
    assert (out / "model.onnx").read_bytes() == model.read_bytes()
    digest = hashlib.sha256(photograph.read_bytes()).hexdigest()[:12]
    assert about["examples"] == [{"file": f"examples/{n}.png?{digest}", "name": photograph.name} for n in (1, 2)]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_page_knows_what_the_model_says_of_itself(model, tmp_path):
    assert call(model, "--out", tmp_path / "page") == 0
    about = json.loads((tmp_path / "page/page.json").read_text())
    told = {entry.key: entry.value for entry in onnx.load(str(model)).metadata_props}
    assert [known["name"] for known in about["classes"]] == json.loads(told["class_names"])
    assert [known["id"] for known in about["classes"]] == json.loads(told["train_ids"])
    colours = [list(bytes.fromhex(known["colour"][1:])) for known in about["classes"]]
    assert colours == json.loads(told["colours"])
    assert about["size"] == json.loads(told["size"])
    assert about["fixed"] == [None, None, None]
    assert (about["model"]["name"], about["model"]["precision"]) == ("model.onnx", "float32")


def test_only_a_page_without_a_runtime_may_load_from_elsewhere(model, runtime, tmp_path):
    assert call(model, "--out", tmp_path / "there") == 0
    assert call(model, "--out", tmp_path / "here", "--runtime", runtime / "dist") == 0
    there = json.loads((tmp_path / "there/page.json").read_text())["runtime"]
    assert there["folder"] == f"{page.SERVER}/npm/onnxruntime-web@{page.RUNTIME}/dist/"
    for folder, expected in (("there", [page.SERVER, page.SERVER]), ("here", [])):
        text = (tmp_path / folder / "index.html").read_text()
        policy = re.search(r'Content-Security-Policy" content="(.+?)"', text)[1]
        assert re.findall(r"https?://[^\s;]+", policy) == expected
    kinds = (".js", ".html", ".css", ".json")
    texts = [path.read_text() for path in (tmp_path / "here").rglob("*") if path.suffix in kinds]
    assert len(texts) == len(list(WEB.iterdir())) + 1
    assert [text for text in texts if re.search(r"https?://", text)] == []


def test_title_and_file_names_are_text_on_the_page(model, tmp_path, capsys):
    odd = tmp_path / "a [1]*? %20#&<b>.onnx"
    shutil.copy(model, odd)
    assert call(odd, "--out", tmp_path / "one") == 0
    assert call(model, "--out", tmp_path / "two", "--title", '"<i>$title & co') == 0
    one, two = ((tmp_path / name / "index.html").read_text() for name in ("one", "two"))
    assert "<h1>a [1]*? %20#&amp;&lt;b&gt;</h1>" in one
    assert "Model: a [1]*? %20#&amp;&lt;b&gt;.onnx, " in one
    assert "<title>&quot;&lt;i&gt;$title &amp; co</title>" in two
    for title in ("", "no \udcff UTF-8", "two\nlines"):
        assert refused(capsys, model, "--out", tmp_path / "three", "--title", title).startswith("--title must ")


def test_a_second_call_replaces_the_page(model, runtime, photograph, tmp_path):
    out = tmp_path / "page"
    out.mkdir()  # an empty folder is as good as none
    assert call(model, "--out", out, "--runtime", runtime, "--examples", photograph) == 0
    assert call(out / "model.onnx", "--out", out) == 0  # of the earlier page itself
    assert "examples/1.png" not in files_in(out)
    assert (out / "model.onnx").read_bytes() == model.read_bytes()


def test_what_changes_between_two_calls_has_another_address(model, photograph, tmp_path, monkeypatch):
    """Browsers hold what they have read; but they ask for index.html again when it is reloaded."""
    out, found = tmp_path / "page", []
    web = shutil.copytree(WEB, tmp_path / "web")
    monkeypatch.setattr(page.importlib.resources, "files", lambda _: tmp_path)
    for script in ("page.css", "page.js", "resize.js"):
        (web / script).write_text("")
        Image.new("RGB", (1 + len(found), 8)).save(photograph)
        assert call(model, "--out", out, "--examples", photograph) == 0
        about = json.loads((out / "page.json").read_text())
        linked = re.findall(r'(?:href|src)="(.+?)/page\.(?:css|js)"', (out / "index.html").read_text())
        assert linked == [about["scripts"]] * 2
        found.append((about["scripts"], about["examples"][0]["file"]))
    assert len({scripts for scripts, _ in found}) == len({example for _, example in found}) == 3


def test_a_folder_with_anything_else_is_refused_and_stays(model, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("years of work")
    assert "--out must be a new or empty folder, or an earlier page" in refused(
        capsys, model, "--out", tmp_path / "mine"
    )
    assert call(model, "--out", tmp_path / "page") == 0
    (tmp_path / "page/examples").mkdir()
    (tmp_path / "page/examples/CNAME").write_text("example.org")
    assert refused(capsys, model, "--out", tmp_path / "page").endswith("holds examples/CNAME.")
    assert (tmp_path / "page/examples/CNAME").read_text() == "example.org"
    (tmp_path / "file").write_text("")
    assert "--out must be a folder" in refused(capsys, model, "--out", tmp_path / "file")
    shutil.rmtree(tmp_path / "page/examples")
    monkeypatch.chdir(tmp_path / "page")
    assert "must not be the folder in which the command runs" in refused(capsys, model, "--out", ".")
    assert files_in(tmp_path / "mine") == ["thesis.tex"]


def test_a_link_in_the_folder_is_something_else(model, tmp_path, capsys):
    assert call(model, "--out", tmp_path / "page") == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "page/more").symlink_to(tmp_path / "mine")
    assert refused(capsys, model, "--out", tmp_path / "page").endswith("holds more.")
    assert (tmp_path / "page/more").is_symlink()
    (tmp_path / "page/page.json").write_text(json.dumps({"made_by": page.MADE_BY, "files": None}))
    assert "or an earlier page" in refused(capsys, model, "--out", tmp_path / "page")


def test_a_write_that_fails_leaves_the_earlier_page(model, runtime, tmp_path, monkeypatch, capsys):
    out = tmp_path / "page"
    assert call(model, "--out", out) == 0
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    copy = shutil.copyfile

    def full(source, target):
        if Path(source).suffix == ".wasm":
            raise OSError(28, "No space left on device", str(target))
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    assert "No space left on device" in refused(capsys, model, "--out", out, "--runtime", runtime)
    rename = page.os.rename

    def stubborn(source, target):
        if str(source).endswith(".part"):
            raise OSError(13, "Permission denied", str(target))
        rename(source, target)

    monkeypatch.setattr(page.os, "rename", stubborn)
    assert refused(capsys, model, "--out", out) == f"{out}: Permission denied."

    def interrupted(source, target):
        if str(source).endswith(".part"):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(page.os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(model, "--out", out)
    assert {name: (out / name).read_bytes() for name in files_in(out)} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_files_that_are_no_models_are_refused_by_name(model, tmp_path, capsys):
    (tmp_path / "text.onnx").write_text("nothing")
    (tmp_path / "empty.onnx").write_bytes(b"")
    bare = onnx.load(str(model))
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    other = onnx.load(str(model))
    other.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(other, tmp_path / "float.onnx")
    reasons = {"none": "No such file", "bare": "it lacks 'size'", "empty": "input image", "float": "image of uint8"}
    for name, reason in reasons.items():
        line = refused(capsys, tmp_path / f"{name}.onnx", "--out", tmp_path / "page")
        assert line.startswith(f"{tmp_path / name}.onnx: ")
        assert reason in line
    assert "no model of ass-tf export" in refused(capsys, tmp_path / "text.onnx", "--out", tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("name", [*page.BUNDLES.values(), *page.BINARIES.values()])
def test_a_runtime_that_lacks_a_file_is_refused(model, runtime, tmp_path, capsys, name):
    (runtime / "dist" / name).unlink()
    line = refused(capsys, model, "--out", tmp_path / "page", "--runtime", runtime)
    assert str(runtime) in line
    assert name in line
    assert not (tmp_path / "page").exists()


def test_a_runtime_of_other_names_is_copied_by_those_names(model, runtime, tmp_path):
    bundle, binary = runtime / "dist" / page.BUNDLES["webgpu"], "ort-wasm-simd-threaded.jsep.wasm"
    bundle.write_text(bundle.read_text().replace(page.BINARIES["webgpu"], binary).replace("1.30.0", "1.22.0"))
    (runtime / "dist" / page.BINARIES["webgpu"]).rename(runtime / "dist" / binary)
    assert call(model, "--out", tmp_path / "page", "--runtime", runtime) == 0
    about = json.loads((tmp_path / "page/page.json").read_text())["runtime"]
    assert about["webgpu"] == {"bundle": page.BUNDLES["webgpu"], "binary": binary}
    assert (tmp_path / "page" / (about["folder"] + binary)).is_file()


def test_examples_that_no_browser_shows_are_refused(model, tmp_path, capsys):
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "a.tif")
    (tmp_path / "b.png").write_bytes(b"no image")
    for name, reason in (("a.tif", "Received: TIFF."), ("b.png", ""), ("none.jpg", "")):
        line = refused(capsys, model, "--out", tmp_path / "page", "--examples", tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: ")
        assert line.endswith(reason)
    assert not (tmp_path / "page").exists()
