"""The web page in chromium with onnxruntime-web, which `make test-page` installs; skipped where either is missing."""

import base64
import json
import os
import shutil
from pathlib import Path

import browser
import exports
import numpy as np
import onnx
import pytest
import small_runs
from PIL import Image, PngImagePlugin

from ass_tf import page
from ass_tf.export import onnx_graph, precision, to_onnx
from street_inference import images, segmenter

INSTALLED = small_runs.ROOT / ".venv/.page/node_modules/onnxruntime-web"
PACKAGE = Path(os.environ.get("ONNXRUNTIME_WEB", INSTALLED)).resolve()
MISSING = [name for name, found in (("chromium", browser.CHROMIUM), ("onnxruntime-web", PACKAGE.is_dir())) if not found]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")]
PHONE = "phone.test"  # a name of this machine that is not localhost
OPTIONS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    f"--host-resolver-rules=MAP {PHONE} 127.0.0.1",
)
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-webgpu-adapter=swiftshader")
SHOWN = "document.getElementById('name').textContent"
LABELS = """(() => { const { width, height } = document.getElementById('cover');
    const { data } = document.getElementById('cover').getContext('2d').getImageData(0, 0, width, height);
    return [width, height, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(''))]; })()"""


def make(model, out, *examples, runtime=PACKAGE):
    words = ["--runtime", runtime] if runtime else []
    words += ["--examples", *examples] if examples else []
    assert page.main([str(word) for word in (model, "--out", out, *words)]) == 0
    return out


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser(*OPTIONS) as opened:
        opened.prepare(browser.FOUR_CORES)
        yield opened


@pytest.fixture(scope="module")
def photographs(scenes, tmp_path_factory):
    """Three at the model's size, three larger ones of odd sizes; what changes colours and turns pictures is in some."""
    folder = tmp_path_factory.mktemp("photographs")
    drawn = sorted((scenes / "cityscapes").rglob("*_leftImg8bit.png"))[:3]
    brighter, turned = PngImagePlugin.PngInfo(), Image.Exif()
    brighter.add(b"gAMA", (100000).to_bytes(4, "big"))  # a gamma of 1, which Python does not apply
    turned[0x0112] = 6  # a quarter turn
    for number, file in enumerate(drawn):
        with Image.open(file) as opened:
            opened.resize((64, 32)).save(folder / f"{number} fits.png")
            opened.resize((127, 85 - number)).save(folder / f"{number} larger.png", pnginfo=brighter)
    with Image.open(drawn[0]) as opened:
        opened.resize((96, 64)).save(folder / "turned.jpg", exif=turned, quality=95)
    return folder


@pytest.fixture(scope="module")
def site(model, photographs, tmp_path_factory):
    return make(model, tmp_path_factory.mktemp("site") / "page", *sorted(photographs.iterdir()))


def choose(chromium, control, value):
    chromium.run(
        f"(() => {{ const control = document.getElementById('{control}'); control.value = '{value}'; "
        "control.dispatchEvent(new Event('change')); })()"
    )


def labels_of(chromium, folder, number):
    """Name and label map of an example once the page shows it, read from the colours on the page."""
    about = json.loads((folder / "page.json").read_text())
    name = about["examples"][number]["name"]
    chromium.run(f"{SHOWN} = ''; document.querySelectorAll('#thumbnails button')[{number}].click()")
    chromium.wait(f"{SHOWN} === {json.dumps(name)}")
    width, height, data = chromium.run(LABELS)
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]
    labels = np.full((height, width), 255, np.uint8)
    for known in about["classes"]:
        labels[(pixels == list(bytes.fromhex(known["colour"][1:]))).all(-1)] = known["id"]
    return name, labels


def expected(model, file, side):
    known = segmenter.Segmenter(model)
    return known.maps(images.shrink(images.decode(file), side, known.fixed[1:])[None])[0, 0]


def opened(chromium, address):
    chromium.open(address)
    chromium.wait("document.getElementById('run-seconds').value")


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


def test_shares_are_sorted_and_the_class_under_the_pointer_is_named(chromium, site):
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        _, labels = labels_of(chromium, site, 1)
        about = json.loads((site / "page.json").read_text())
        rows = chromium.run("[...document.querySelectorAll('#classes tr')].map((row) => row.innerText.split('\\t'))")
        counts = np.bincount(labels.ravel(), minlength=len(about["classes"]))
        assert rows[0][0] == about["classes"][counts.argmax()]["name"]
        assert rows[0][1] == f"{100 * counts.max() / labels.size:.1f} %"
        assert len(rows) == len(about["classes"])
        chromium.run(
            "(() => { const { left, top } = document.getElementById('cover').getBoundingClientRect(); "
            "document.getElementById('stage').dispatchEvent("
            "new PointerEvent('pointermove', { clientX: left + 1, clientY: top + 1 })); })()"
        )
        assert chromium.run("document.getElementById('pointed').value") == about["classes"][labels[0, 0]]["name"]


def test_page_fits_a_phone_and_follows_a_dark_system(chromium, site):
    colours = set()
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        for width, dark, phone in ((360, False, True), (360, True, True), (1280, False, False)):
            chromium.show(width, dark=dark, phone=phone)
            assert chromium.run("document.documentElement.scrollWidth") <= width
            colours.add(tuple(chromium.run("Object.values((({ color, backgroundColor }) => "
                "({ color, backgroundColor }))(getComputedStyle(document.body)))")))  # fmt: skip
    chromium.show(1280)
    assert len(colours) == 2


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
