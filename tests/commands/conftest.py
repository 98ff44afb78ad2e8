"""The web page of a small model, photographs beside it, and chromium to open it in."""

import browser
import pytest
import web_pages
from PIL import Image, PngImagePlugin


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser(*web_pages.OPTIONS) as opened:
        opened.prepare(browser.FOUR_CORES)
        yield opened


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def site(model, photographs, tmp_path_factory):
    return web_pages.make(model, tmp_path_factory.mktemp("site") / "page", *sorted(photographs.iterdir()))
