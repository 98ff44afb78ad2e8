"""The web page while somebody is faster than its model, or something fails meanwhile."""

import os
import shutil

import browser
import pytest
from web_pages import MARKS, OPTIONS, SHOWN, WATCH, choose, hold, names_of, press, text

from ass_tf import page

pytestmark = MARKS
BUSY = "document.getElementById('result').hasAttribute('aria-busy')"
FIRST = ("0 fits.png", "0 larger.png", "1 fits.png", "1 larger.png")
# Presses the buttons of photographs, each once the one before is decoded.
PRESS = """(async () => {
    for (const number of %s) {
      const before = bitmaps.length;
      document.querySelectorAll("#thumbnails button")[number].click();
      while (bitmaps.length === before) await new Promise((done) => setTimeout(done, 5));
    } })()"""


@pytest.fixture(scope="module")
def watched():
    with browser.Browser(*OPTIONS) as opened:
        opened.prepare(WATCH)
        yield opened


@pytest.fixture(scope="module")
def held(site, tmp_path_factory):
    assert tuple(names_of(site)[:4]) == FIRST
    return hold(site, tmp_path_factory.mktemp("held") / "page")


@pytest.fixture
def address(held, watched):
    with browser.serving(held) as (found, _):
        yield found
    watched.open("about:blank")
    watched.events.clear()


def begin(watched, address):
    """Opens the page, whose first example waits to be told to run."""
    watched.open(address)
    watched.wait("runs === 1")


def tell(watched, word):
    watched.run(f"tell('{word}')")


def test_of_photographs_asked_for_meanwhile_the_last_runs_and_all_memory_is_given_back(watched, address):
    begin(watched, address)
    watched.run(PRESS % [1, 2, 3])
    tell(watched, "go")
    watched.wait("runs === 2")
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[3]}'", 10)
    assert watched.run("runs") == 2
    assert not watched.run(BUSY)
    assert watched.run("bitmaps.map(({ width }) => width)") == [0, 0, 0, 0]


def test_photograph_behind_one_that_fails_is_shown(watched, address):
    begin(watched, address)
    watched.run(PRESS % [1])
    tell(watched, "fail")
    watched.wait("runs === 2", 10)
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[1]}'", 10)
    assert text(watched, "errors") == ""


def test_photograph_that_nobody_waits_for_is_given_up_after_a_while(watched, address):
    begin(watched, address)
    watched.run(PRESS % [1])
    watched.wait("runs === 2 && workers.length === 2", 20)
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[1]}'", 10)
    assert text(watched, "errors") == ""


def test_gpu_that_fails_at_a_picture_hands_it_to_webassembly(watched, address):
    begin(watched, f"{address}?real")
    assert text(watched, "status") == "Segmenting …"
    tell(watched, "fail")
    watched.wait("runs === 2", 10)
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[0]}'", 10)
    assert text(watched, "provider") == "WebAssembly, 1 thread"
    assert watched.run("document.getElementById('run-on').value") == "wasm"
    warning = text(watched, "warnings")
    assert warning.startswith("WebGPU fails at 64 ")
    assert warning.endswith(" pixels (No memory.). WebAssembly runs it instead.")
    assert text(watched, "errors") == ""


def test_camera_goes_on_when_somebody_chooses_what_it_runs_on(watched, address):
    begin(watched, f"{address}?software")
    tell(watched, "go")
    watched.wait(SHOWN)
    press(watched, "camera")
    watched.wait("runs === 2")
    choose(watched, "run-on", "webgpu")
    watched.wait("runs === 3", 10)
    tell(watched, "go")
    watched.wait(f"{SHOWN} === 'Camera'", 10)
    assert (text(watched, "provider"), text(watched, "errors")) == ("WebGPU", "")
    assert text(watched, "camera") == "Stop the camera"
    press(watched, "camera")
    assert watched.run("tracks.map(({ readyState }) => readyState)") == ["ended"]


def test_camera_that_is_refused_leaves_the_photograph_that_runs(watched, address):
    begin(watched, address)
    watched.run("navigator.mediaDevices.getUserMedia = async () => { throw new Error('Permission denied'); }")
    press(watched, "camera")
    watched.wait("document.getElementById('errors').textContent")
    assert text(watched, "errors") == "The camera does not start. Permission denied"
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[0]}'", 10)
    assert not watched.run(BUSY)


def test_camera_whose_pictures_do_not_play_is_switched_off(watched, address):
    begin(watched, address)
    watched.run("HTMLMediaElement.prototype.play = async () => { throw new Error('No film'); }")
    press(watched, "camera")
    watched.wait("document.getElementById('errors').textContent === 'The camera does not start. No film'")
    assert watched.run("tracks.map(({ readyState }) => readyState)") == ["ended"]


def test_photograph_opened_while_the_camera_is_asked_for_wins(watched, address):
    begin(watched, address)
    watched.run("""{ const film = navigator.mediaDevices.getUserMedia;
        const asked = new Promise((done) => (window.allow = done));
        navigator.mediaDevices.getUserMedia = async (wanted) => { await asked; return film(wanted); }; }""")
    press(watched, "camera")
    watched.run(PRESS % [1])
    watched.run("allow()")
    watched.wait("tracks.length === 1 && tracks[0].readyState === 'ended'", 10)
    assert text(watched, "camera") == "Use the camera"
    tell(watched, "go")
    watched.wait("runs === 2", 10)
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[1]}'", 10)


def test_worker_that_ends_while_nothing_runs_is_started_again(watched, address):
    begin(watched, address)
    tell(watched, "go")
    watched.wait(SHOWN)
    watched.run("workers[0].dispatchEvent(new Event('error'))")
    watched.run(PRESS % [1])
    watched.wait("runs === 2", 10)
    tell(watched, "go")
    watched.wait(f"{SHOWN} === '{FIRST[1]}'", 10)
    assert text(watched, "errors") == ""


def test_status_is_not_read_out_again_with_each_picture_of_the_camera(watched, address):
    begin(watched, address)
    press(watched, "camera")
    watched.wait("tracks.length === 1")
    for number in range(2, 5):
        tell(watched, "go")
        watched.wait(f"runs === {number}", 10)
    assert watched.run("said").count("Ready on WebAssembly, 1 thread.") <= 2
    press(watched, "camera")


def test_loading_is_told_in_tenths(watched, address):
    begin(watched, address)
    watched.run("""(async () => {
        said.length = 0;
        const { bytes } = (await (await fetch("page.json")).json()).model;
        for (let part = 0; part <= 100; part++) {
          workers[0].onmessage({ data: { loaded: (part / 100) * bytes } });
          await null; // so that a change is noticed
        } })()""")
    said = watched.run("said")
    assert [text.partition(" %")[0] for text in said] == [f"Loading: {part}" for part in range(0, 101, 10)]


def test_model_that_comes_after_its_runtime_has_failed_is_not_told(watched, held, tmp_path):
    folder = shutil.copytree(held, tmp_path / "page", copy_function=os.link)
    (folder / f"onnxruntime-web-{page.RUNTIME}/real.mjs").unlink()
    with browser.serving(folder) as (address, _):
        watched.open(address)
        watched.wait("document.getElementById('warnings').textContent")
        watched.run("workers[0].onmessage?.({ data: { loaded: 1 } })")
        assert text(watched, "status") == ""
