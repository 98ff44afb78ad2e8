"""What the scripts of the web page ask for and compute. A browser is tried in `test_page_in_browser.py`."""

import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest
import small_runs
from PIL import Image

WEB = small_runs.ROOT / "ass_tf/export/web"
SCRIPTS = sorted(WEB.glob("*.js"))
NODE = shutil.which("node")


class Elements(html.parser.HTMLParser):
    """Ids, and the names of controls that have no label."""

    def __init__(self):
        super().__init__()
        self.ids, self.open, self.unnamed = set(), [], []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.ids.add(known.get("id"))
        if tag in ("input", "select") and "label" not in self.open and "aria-label" not in known:
            self.unnamed.append(known.get("id"))
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_scripts_find_every_element_that_they_ask_for():
    found = Elements()
    found.feed((WEB / "index.html").read_text(encoding="utf-8"))
    assert (found.open, found.unnamed) == ([], [])
    asked = {name for file in SCRIPTS for name in re.findall(r'byId\("([\w-]+)"\)', file.read_text(encoding="utf-8"))}
    assert asked - found.ids == set()
    assert len(asked) > 10


def run_node(*words, **settings):
    if not NODE:
        pytest.skip("node is not installed")
    return subprocess.run([NODE, *map(str, words)], check=True, capture_output=True, timeout=60, **settings).stdout


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_scripts_parse(file):
    run_node("--input-type=module", "--check", input=file.read_bytes())


RESIZE = """
import fs from "fs"; import { resize, shrunkSize } from "./resize.mjs";
const [width, height, side] = process.argv.slice(1).map(Number);
const to = shrunkSize(width, height, side, side < 0 ? [48, 64] : [null, null]);
fs.writeFileSync(1, resize(fs.readFileSync(0), { width, height }, to));
"""


@pytest.mark.parametrize("size", [(257, 191, 256), (320, 180, 64), (90, 180, 33), (64, 48, 0), (31, 23, -1), (4, 3, 2)])
def test_pictures_are_shrunk_as_in_python(size, tmp_path):
    from street_inference import images

    width, height, side = size
    shutil.copy(WEB / "resize.js", tmp_path / "resize.mjs")
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    pixels[::2] = np.where(pixels[::2] > 127, 255, 0)  # whose cubic leaves the range
    made = run_node("--input-type=module", "-e", RESIZE, *size, cwd=tmp_path, input=pixels.tobytes())
    fixed = (48, 64) if side < 0 else (None, None)
    expected = images.shrink(Image.fromarray(pixels[..., :3]), max(side, 0), fixed)
    np.testing.assert_array_equal(np.frombuffer(made, np.uint8).reshape(expected.shape), expected)
