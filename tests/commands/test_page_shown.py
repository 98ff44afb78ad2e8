"""What the web page shows of a picture, in chromium; skipped as `test_page_in_browser.py`."""

import json
import shutil

import browser
import exports
import numpy as np
import onnx
from PIL import Image
from web_pages import MARKS, labels_of, make, opened, text

from ass_tf.export import onnx_graph

pytestmark = MARKS


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
        point(chromium, 0, 0, labels.shape)
        assert text(chromium, "pointed") == about["classes"][labels[0, 0]]["name"]


def point(chromium, x, y, shape):
    """Moves the pointer to a pixel of the label map."""
    chromium.run(
        "(() => { const { left, top, width, height } = document.getElementById('cover').getBoundingClientRect(); "
        "document.getElementById('stage').dispatchEvent(new PointerEvent('pointermove', { "
        f"clientX: left + (width * {x + 0.5}) / {shape[1]}, clientY: top + (height * {y + 0.5}) / {shape[0]} "
        "})); })()"
    )


def test_class_under_a_pointer_that_rests_is_that_of_the_picture_now_shown(chromium, site):
    names = [known["name"] for known in json.loads((site / "page.json").read_text())["classes"]]
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        first, second = (labels_of(chromium, site, number)[1] for number in (0, 2))
        y, x = np.argwhere(first != second)[0]
        labels_of(chromium, site, 0)
        point(chromium, x, y, first.shape)
        assert text(chromium, "pointed") == names[first[y, x]]
        labels_of(chromium, site, 2)
        assert text(chromium, "pointed") == names[second[y, x]]
        chromium.run("document.getElementById('stage').dispatchEvent(new PointerEvent('pointerleave'))")
        assert text(chromium, "pointed") == ""


def test_class_under_a_finger_stays_to_be_read(chromium, site):
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        chromium.call("Emulation.setTouchEmulationEnabled", enabled=True)
        box = chromium.run("document.getElementById('cover').getBoundingClientRect().toJSON()")
        place = {"x": box["left"] + 5, "y": box["top"] + 5}
        chromium.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[place])
        chromium.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        chromium.call("Emulation.setTouchEmulationEnabled", enabled=False)
        assert text(chromium, "pointed")


def test_page_fits_a_phone_and_follows_a_dark_system(chromium, site):
    colours = set()
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        for width, dark, phone in ((320, False, True), (320, True, True), (1280, False, False)):
            chromium.show(width, dark=dark, phone=phone)
            assert chromium.run("document.documentElement.scrollWidth") <= width
            colours.add(tuple(chromium.run("Object.values((({ color, backgroundColor }) => "
                "({ color, backgroundColor }))(getComputedStyle(document.body)))")))  # fmt: skip
    chromium.show(1280)
    assert len(colours) == 2


def test_legend_and_choice_are_seen_where_the_system_forces_its_own_colours(chromium, site):
    with browser.serving(site) as (address, _):
        opened(chromium, address)
        chromium.call("Emulation.setEmulatedMedia", features=[{"name": "forced-colors", "value": "active"}])
        colours = chromium.run("[...document.querySelectorAll('#classes th')].map((head) => "
            "getComputedStyle(head, '::before').backgroundColor)")  # fmt: skip
        borders = chromium.run("[...document.querySelectorAll('#thumbnails button')].map((button) => "
            "getComputedStyle(button).borderWidth)")  # fmt: skip
        chromium.show(1280)
    known = json.loads((site / "page.json").read_text())["classes"]
    assert borders[0] not in borders[1:]  # of the photograph that is shown
    assert sorted(colours) == sorted("rgb({}, {}, {})".format(*bytes.fromhex(one["colour"][1:])) for one in known)


def test_picture_longer_than_a_canvas_is_shrunk_by_the_browser(chromium, model, tmp_path):
    Image.new("RGB", (70000, 2), (200, 100, 50)).save(tmp_path / "long.png")
    Image.new("RGB", (64, 32), (50, 100, 200)).save(tmp_path / "next.png")
    folder = make(model, tmp_path / "page", tmp_path / "long.png", tmp_path / "next.png")
    with browser.serving(folder) as (address, _):
        opened(chromium, address)
        assert text(chromium, "size") == "64 \N{MULTIPLICATION SIGN} 1 of 32767 \N{MULTIPLICATION SIGN} 1"
        for number, colour in enumerate(([200, 100, 50], [50, 100, 200])):
            labels_of(chromium, folder, number)
            shown = chromium.run("[...document.getElementById('photo').getContext('2d').getImageData(9, 0, 1, 1).data]")
            assert shown[:3] == colour


def test_names_of_classes_and_photographs_are_text(chromium, model, photographs, tmp_path):
    odd, names = onnx.load(str(model)), json.loads(exports.metadata(onnx.load(str(model)))["class_names"])
    names[:3] = ["<img src=x onerror=alert(1)>", '"it\'s" & Straße', "道路 " * 20]
    onnx_graph.stamp(odd, {**exports.metadata(odd), "class_names": json.dumps(names)})
    onnx_graph.write(odd, tmp_path / "odd.onnx")
    photograph = tmp_path / "<img src=x onerror=alert(1)>.png"
    shutil.copy(photographs / "0 fits.png", photograph)
    folder = make(tmp_path / "odd.onnx", tmp_path / "page", photograph)
    with browser.serving(folder) as (address, asked):
        opened(chromium, address)
        chromium.show(320, phone=True)
        assert chromium.run("document.documentElement.scrollWidth") <= 320
        chromium.show(1280)
        shown = chromium.run("[...document.querySelectorAll('#classes th')].map(({ textContent }) => textContent)")
        assert (sorted(shown), text(chromium, "name")) == (sorted(names), photograph.name)
        assert [path for _, path in asked if path.endswith("/x")] == []


def test_photographs_out_of_sight_are_not_loaded(chromium, model, photographs, tmp_path):
    folder = make(model, tmp_path / "page", *[photographs / "0 fits.png"] * 99)
    with browser.serving(folder) as (address, asked):
        opened(chromium, address)
        chromium.wait("document.querySelector('#thumbnails img').complete")
        assert "/examples/1.png" in [path.partition("?")[0] for _, path in asked]
        assert len([path for _, path in asked if path.startswith("/examples/")]) < 60
        chromium.run("document.querySelectorAll('#thumbnails button')[98].focus()")
        chromium.wait("[...document.querySelectorAll('#thumbnails img')].at(-1).naturalWidth === 64")
