"""Seconds of a photograph of 640 x 360 in the web page, in WebAssembly, over those of onnxruntime in Python.

    python tests/bench/bench_page.py MODEL PHOTOGRAPH [--rounds 5]

Needs chromium, and onnxruntime-web as `make test-page` installs it. The page runs served as by http.server, with one
thread, and isolated by two headers, with two; so does Python. All take turns, a first round is left out. The page tells
its times itself.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/helpers"), str(ROOT / "export")]
SIZE = (640, 360)
PACKAGE = Path(os.environ.get("ONNXRUNTIME_WEB", ROOT / ".venv/.page/node_modules/onnxruntime-web"))
SECONDS = "document.getElementById('run-seconds')"
AGAIN = "document.querySelector('#thumbnails button').click()"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()

    import browser

    from ass_tf import page
    from ass_tf.system import machine
    from street_inference import images

    print(f"{machine.describe()}\n{given.model.name}, {SIZE[0]} x {SIZE[1]}, medians of {given.rounds}")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        picture, site = Path(folder) / "photograph.png", Path(folder) / "page"
        images.decode(given.photograph).resize(SIZE).save(picture)
        words = [str(given.model), "--out", str(site), "--runtime", str(PACKAGE), "--examples", str(picture)]
        with contextlib.redirect_stdout(io.StringIO()):
            if page.main(words):
                return 1
        browsers = []
        for headers in (None, browser.ISOLATED):
            address, _ = stack.enter_context(browser.serving(site, headers))
            chromium = stack.enter_context(browser.Browser())
            chromium.prepare(browser.FOUR_CORES)  # of which the isolated page takes two
            browsers.append(opened(chromium, address))
        compare(browsers, given.model, picture, given.rounds)
    return 0


def opened(chromium, address):
    """The browser with the page, which works at the full size of the photograph."""
    chromium.open(address)
    chromium.wait(f"{SECONDS}.value", 120)
    run_page(chromium, "side.value = 0; side.dispatchEvent(new Event('change'))")
    return chromium


def run_page(chromium, action):
    """Seconds of the model on the page after an action."""
    chromium.run(f"{SECONDS}.value = ''; (() => {{ const side = document.getElementById('side'); {action}; }})()")
    return float(chromium.wait(f"{SECONDS}.value", 120))


def run_python(session, pixels):
    start = time.perf_counter()
    session.maps(pixels)
    return time.perf_counter() - start


def compare(browsers, model, picture, rounds):
    """Prints the medians of each number of threads."""
    from street_inference import segmenter

    pixels = np.asarray(Image.open(picture))[None]
    contenders = {}
    for chromium in browsers:
        count = int(chromium.run("document.getElementById('provider').textContent").split()[1])
        session = segmenter.Segmenter(model, "cpu", count)
        contenders["page", count] = lambda chromium=chromium: run_page(chromium, AGAIN)
        contenders["Python", count] = lambda session=session: run_python(session, pixels)
    times = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            seconds = contender()
            if turn:
                times[name].append(seconds)
    for count in dict.fromkeys(count for _, count in contenders):
        there, here = (statistics.median(times[where, count]) for where in ("page", "Python"))
        print(
            f"{count} thread(s): WebAssembly {there:.3f} s, Python {here:.3f} s, ratio {there / here:.2f}", flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
