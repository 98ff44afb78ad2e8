"""The web page of a model as tests make it and use it in chromium, also one whose model waits to be told to run."""

import base64
import json
import os
import shutil
from pathlib import Path

import browser
import numpy as np
import pytest
import small_runs

from ass_tf import page
from street_inference import images, segmenter

INSTALLED = small_runs.ROOT / ".venv/.page/node_modules/onnxruntime-web"
PACKAGE = Path(os.environ.get("ONNXRUNTIME_WEB", INSTALLED)).resolve()
MISSING = [name for name, found in (("chromium", browser.CHROMIUM), ("onnxruntime-web", PACKAGE.is_dir())) if not found]
MARKS = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")]
PHONE = "phone.test"  # a name of this machine that is not localhost
OPTIONS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    f"--host-resolver-rules=MAP {PHONE} 127.0.0.1",
)
SHOWN = "document.getElementById('name').textContent"
LABELS = """(() => { const { width, height } = document.getElementById('cover');
    const { data } = document.getElementById('cover').getContext('2d').getImageData(0, 0, width, height);
    return [width, height, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(''))]; })()"""

# A runtime that counts each picture on one channel, and runs it or fails once it is told so on another. Its GPU is the
# CPU.
HELD = """export * from "./real.mjs";
import { InferenceSession as Session, env } from "./real.mjs";
const [runs, answers] = [new BroadcastChannel("runs"), new BroadcastChannel("answers")];
export const InferenceSession = {
  async create(bytes) {
    env.wasm.wasmPaths = { wasm: new URL("BINARY", import.meta.url).href };
    const session = await Session.create(bytes, { executionProviders: ["wasm"] });
    const run = async (...given) => {
      const told = new Promise((done) => answers.addEventListener("message", done, { once: true }));
      runs.postMessage("one");
      if ((await told).data === "fail") {
        throw new Error("No memory.");
      }
      return session.run(...given);
    };
    return { run };
  },
};
"""
# What a test sees of it in the page, which has a GPU if its address ends in ?real or ?software.
WATCH = """window.runs = 0;
window.channels = ["runs", "answers"].map((name) => new BroadcastChannel(name));
channels[0].onmessage = () => (window.runs += 1);
window.tell = (word) => channels[1].postMessage(word);
const adapter = { info: { isFallbackAdapter: location.search === "?software" } };
const requestAdapter = async () => (location.search ? adapter : null);
Object.defineProperty(navigator, "gpu", { value: { requestAdapter } });
[window.bitmaps, window.workers, window.tracks] = [[], [], []];
const decode = createImageBitmap;
window.createImageBitmap = async (...given) => (bitmaps.push(await decode(...given)), bitmaps.at(-1));
window.Worker = class extends Worker { constructor(...given) { super(...given); workers.push(this); } };
window.said = []; // in the line of the status
addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("status"); // null in an empty page
  new MutationObserver(() => said.push(status.textContent)).observe(status ?? document, { childList: true });
});
const film = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (film) {
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await film(wanted);
    tracks.push(...stream.getTracks());
    return stream;
  };
}"""


def make(model, out, *examples, runtime=PACKAGE):
    """The folder of a page."""
    words = ["--runtime", runtime] if runtime else []
    words += ["--examples", *examples] if examples else []
    assert page.main([str(word) for word in (model, "--out", out, *words)]) == 0
    return out


def hold(site, out):
    """A copy of a page with HELD as its runtime."""
    shutil.copytree(site, out, copy_function=os.link)
    runtime = out / f"onnxruntime-web-{page.RUNTIME}"
    (runtime / page.BUNDLES["wasm"]).rename(runtime / "real.mjs")
    (runtime / page.BUNDLES["webgpu"]).unlink()
    for bundle in page.BUNDLES.values():
        (runtime / bundle).write_text(HELD.replace("BINARY", page.BINARIES["wasm"]))
    return out


def opened(chromium, address):
    """Opens a page and waits until it shows its first example."""
    chromium.open(address)
    chromium.wait("document.getElementById('run-seconds').value")


def text(chromium, name):
    """What an element says."""
    return chromium.run(f"document.getElementById('{name}').textContent")


def press(chromium, name):
    chromium.run(f"document.getElementById('{name}').click()")


def choose(chromium, control, value):
    """Chooses a value, as somebody does in a list."""
    chromium.run(
        f"(() => {{ const control = document.getElementById('{control}'); control.value = '{value}'; "
        "control.dispatchEvent(new Event('change')); })()"
    )


def names_of(folder):
    """Names of a page's examples."""
    return [example["name"] for example in json.loads((folder / "page.json").read_text())["examples"]]


def labels_of(chromium, folder, number):
    """Name and label map of an example once the page shows it, read from the colours on the page."""
    name = names_of(folder)[number]
    chromium.run(f"{SHOWN} = ''; document.querySelectorAll('#thumbnails button')[{number}].click()")
    chromium.wait(f"{SHOWN} === {json.dumps(name)}")
    width, height, data = chromium.run(LABELS)
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]
    labels = np.full((height, width), 255, np.uint8)
    for known in json.loads((folder / "page.json").read_text())["classes"]:
        labels[(pixels == list(bytes.fromhex(known["colour"][1:]))).all(-1)] = known["id"]
    return name, labels


def expected(model, file, side):
    """The label map of a photograph in Python."""
    known = segmenter.Segmenter(model)
    return known.maps(images.shrink(images.decode(file), side, known.fixed[1:])[None])[0, 0]
