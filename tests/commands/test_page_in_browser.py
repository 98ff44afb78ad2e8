"""The web page in chromium with onnxruntime-web, which `make test-page` installs; skipped where either is missing."""

import json
import os
import shutil

import browser
import exports
import numpy as np
import onnx
import pytest
from PIL import Image
from web_pages import MARKS, OPTIONS, PACKAGE, PHONE, SHOWN, choose, expected, labels_of, make, opened

from ass_tf import page
from ass_tf.export import onnx_graph, precision, to_onnx

pytestmark = MARKS
WEB = exports.EXPORT.parent / "ass_tf/export/web"
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-webgpu-adapter=swiftshader")


@pytest.mark.parametrize("headers", [None, browser.ISOLATED], ids=["as http.server serves", "isolated"])
def test_labels_are_those_of_python_and_photographs_stay(chromium, site, model, photographs, headers):
    with browser.serving(site, headers) as (address, asked):
        opened(chromium, address)
        provider = chromium.run("document.getElementById('provider').textContent")
        assert provider == ("WebAssembly, 2 threads" if headers else "WebAssembly, 1 thread")
        names = set()
        for number in range(6):  # the seventh is a JPEG
            name, labels = labels_of(chromium, site, number)
            np.testing.assert_array_equal(labels, expected(model, photographs / name, 64), name)
            names.add(name)
        assert (len(names), len(np.unique(labels)) > 1) == (6, True)
        name, labels = labels_of(chromium, site, 6)
        assert labels.shape == (64, 43)  # upright, 64 of 96 pixels high
        assert np.mean(labels == expected(model, photographs / name, 64)) > 0.99
        choose(chromium, "side", 0)
        name, labels = labels_of(chromium, site, 1)
        np.testing.assert_array_equal(labels, expected(model, photographs / name, 0))
    files = {f"/{name}" for name in json.loads((site / "page.json").read_text())["files"]}
    assert {path.partition("?")[0] for _, path in asked} <= {*files, "/"}
    assert {method for method, _ in asked} == {"GET"}
    assert chromium.complaints() == []


def test_opened_files_are_shown_and_a_broken_one_is_named(chromium, site, photographs, tmp_path):
    broken = tmp_path / "broken <b>.png"
    broken.write_bytes(b"no image")
    with browser.serving(site) as (address, asked):
        opened(chromium, address)
        before = len(asked)
        chromium.choose("#files", broken, photographs / "turned.jpg")
        error = "broken <b>.png: This browser cannot read it as an image."
        chromium.wait(f"document.getElementById('errors').textContent === '{error}'")
        assert chromium.run("document.getElementById('result').hidden")
        chromium.run("[...document.querySelectorAll('#thumbnails button')].at(-1).click()")
        chromium.wait(f"!document.getElementById('result').hidden && {SHOWN} === 'turned.jpg'")
        assert chromium.run("document.getElementById('errors').textContent") == ""
        chromium.drop(photographs / "2 larger.png")
        chromium.wait(f"{SHOWN} === '2 larger.png'")
        assert asked[before:] == []


def test_camera_runs_until_it_is_stopped(chromium, site):
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        chromium.run("document.getElementById('camera').click()")
        chromium.wait(f"{SHOWN} === 'Camera'")
        chromium.run(f"{SHOWN} = ''")
        chromium.wait(f"{SHOWN} === 'Camera'")  # the next picture
        chromium.run("document.getElementById('camera').click()")
        assert chromium.run("document.getElementById('camera').textContent") == "Use the camera"
        _, labels = labels_of(chromium, site, 0)
        assert labels.shape == (32, 64)


def test_page_without_https_has_no_camera_and_says_so(chromium, site):
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        assert not chromium.run("document.getElementById('camera').disabled")
        opened(chromium, address.replace("127.0.0.1", PHONE))
        assert chromium.run("document.getElementById('camera').disabled")
        assert "offers its camera" in chromium.text()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("page.json", "page.json does not come from the server."),
        ("model.onnx", "The model does not come from "),
        ("onnxruntime-web-1.30.0/ort.wasm.bundle.min.mjs", "The runtime does not come from "),
    ],
)
def test_a_file_that_is_missing_is_named(chromium, site, tmp_path, file, message):
    folder = shutil.copytree(site, tmp_path / "page")
    (folder / file).unlink()
    with browser.serving(folder) as (address, _):
        chromium.open(address)
        chromium.wait("document.getElementById('warnings').textContent")
        assert chromium.run("document.getElementById('warnings').textContent").startswith(message)
    chromium.open("about:blank")
    chromium.events.clear()


def test_page_that_was_made_anew_runs_its_own_scripts(chromium, model, photographs, tmp_path, monkeypatch):
    """Of files that have not changed for long, a browser asks for the page alone again when it is reloaded."""
    script = shutil.copytree(WEB, tmp_path / "web") / "page.js"
    monkeypatch.setattr(page.importlib.resources, "files", lambda _: tmp_path)

    def made(number):
        script.write_text(f"{(WEB / 'page.js').read_text()}document.body.dataset.made = {number};\n")
        for path in make(model, tmp_path / "page", photographs / f"{number} fits.png").rglob("*"):
            os.utime(path, (number * 10**8,) * 2)

    made(1)
    with browser.serving(tmp_path / "page") as (address, _):
        opened(chromium, address)
        chromium.wait("document.body.dataset.made === '1'")
        made(2)
        chromium.open(address)
        told = "This page was made anew after your browser had read it. Reload it."
        chromium.wait(f"document.getElementById('warnings').textContent === '{told}'")
        chromium.call("Page.reload")
        chromium.wait(f"document.body.dataset.made === '2' && {SHOWN} === '2 fits.png'")
        assert chromium.run("document.getElementById('warnings').textContent") == ""
    chromium.open("about:blank")
    chromium.events.clear()


def test_page_opened_as_a_file_says_what_it_needs(chromium, site):
    chromium.open((site / "index.html").as_uri())
    chromium.wait("document.getElementById('status').innerText.includes('python -m http.server')")
    chromium.events.clear()


def test_browser_without_webassembly_is_told(site):
    with browser.serving(site) as (address, _), browser.Browser() as old:
        old.prepare("delete self.WebAssembly")
        old.open(address)
        old.wait("document.getElementById('warnings').textContent.includes('no WebAssembly')")


def test_page_on_the_software_gpu_gives_the_same_labels(site, model, photographs):
    with browser.serving(site) as (address, _), browser.Browser(*SOFTWARE_GPU) as other:
        opened(other, address)
        assert other.run("document.getElementById('provider').textContent") == "WebAssembly, 1 thread"
        if other.run("document.getElementById('run-on').options.length") < 2:
            pytest.skip("this chromium has no WebGPU in software")
        choose(other, "run-on", "webgpu")
        other.wait("document.getElementById('provider').textContent === 'WebGPU'")
        name, labels = labels_of(other, site, 0)
        assert np.mean(labels == expected(model, photographs / name, 64)) > 0.99


def test_models_of_one_size_and_number_take_all_photographs(chromium, finished, photographs, tmp_path):
    model = tmp_path / "fixed.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(model), "--size", "32x48", "--batch", "2"]) == 0
    folder = make(model, tmp_path / "page", photographs / "1 larger.png")
    with browser.serving(folder) as (address, _):
        opened(chromium, address)
        name, labels = labels_of(chromium, folder, 0)
        assert chromium.run("document.getElementById('side').disabled")
    np.testing.assert_array_equal(labels, expected(model, photographs / name, 0))


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_smaller_models_work(chromium, model, photographs, tmp_path, kind):
    whole, smaller = onnx.load(str(model)), tmp_path / "smaller.onnx"
    batches = [np.asarray(Image.open(photographs / f"{n} fits.png"))[None] for n in range(3)]
    made = precision.halve(whole) if kind == "float16" else precision.quantise(whole, batches, "any")
    onnx_graph.stamp(made, {**exports.metadata(whole), "precision": kind})
    onnx_graph.write(made, smaller)
    folder = make(smaller, tmp_path / "page", photographs / "0 fits.png")
    with browser.serving(folder) as (address, _):
        opened(chromium, address)
        name, labels = labels_of(chromium, folder, 0)
    assert np.mean(labels == expected(smaller, photographs / name, 64)) > (0.999 if kind == "float16" else 0.97)


def test_a_model_that_fails_is_told_and_the_next_picture_is_shown(chromium, finished, photographs, tmp_path):
    model = tmp_path / "fixed.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(model), "--size", "32x64"]) == 0
    folder = make(model, tmp_path / "page", photographs / "1 larger.png", photographs / "0 fits.png")
    about = json.loads((folder / "page.json").read_text())
    (folder / "page.json").write_text(json.dumps({**about, "fixed": [None, None, None]}))
    with browser.serving(folder) as (address, _):
        chromium.open(address)
        failure = "1 larger.png: The model fails at 64 "
        chromium.wait(f"document.getElementById('errors').textContent.startsWith('{failure}')")
        _, labels = labels_of(chromium, folder, 1)
        assert labels.shape == (32, 64)
        assert not chromium.run("document.getElementById('result').hidden")
        assert chromium.run("document.getElementById('errors').textContent") == ""


def test_runtime_comes_from_another_server_where_it_was_not_copied(chromium, model, photographs, tmp_path, monkeypatch):
    place = tmp_path / f"elsewhere/npm/onnxruntime-web@{page.RUNTIME}"
    place.mkdir(parents=True)
    (place / "dist").symlink_to(PACKAGE / "dist")
    allowed = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    with browser.serving(tmp_path / "elsewhere", allowed) as (server, asked):
        monkeypatch.setattr(page, "SERVER", server.rstrip("/"))
        folder = make(model, tmp_path / "page", photographs / "0 fits.png", runtime=None)
        for headers in (None, browser.ISOLATED):
            with browser.serving(folder, headers) as (address, _):
                opened(chromium, address)
                name, labels = labels_of(chromium, folder, 0)
            np.testing.assert_array_equal(labels, expected(model, photographs / name, 64))
    assert any(path.endswith(page.BINARIES["wasm"]) for _, path in asked)


def test_browser_asks_nobody_but_the_server_of_the_page(site, photographs, tmp_path):
    log = tmp_path / "log.json"
    with browser.serving(site) as (address, _):
        with browser.Browser(*OPTIONS, *SOFTWARE_GPU, f"--log-net-log={log}") as watched:
            opened(watched, address)
            watched.choose("#files", photographs / "turned.jpg")
            watched.wait(f"{SHOWN} === 'turned.jpg'")
            watched.run("document.getElementById('camera').click()")
            watched.wait(f"{SHOWN} === 'Camera'")
        asked = requests(log, address.rstrip("/"))
    assert f"{address}model.onnx" in {url.partition("?")[0] for url in asked}
    assert [url for url in asked if not url.startswith(("blob:", "data:", address))] == []


def requests(log, origin):
    """Addresses that a page and its workers asked for, by the browser's own log of the network."""
    noted = json.loads(log.read_text())
    start = noted["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    events = [event["params"] for event in noted["events"] if event["type"] == start and "params" in event]
    return [event["url"] for event in events if event.get("initiator") == origin]
