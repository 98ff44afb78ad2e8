"""Chromium without a window, driven over a pipe, and a server of a folder that notes what it is asked for.

Source: the protocol's pages on chromedevtools.github.io; `--remote-debugging-pipe` reads messages that end in a null
byte from file 3 and writes its own to file 4.
"""

import base64
import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LAUNCH = """import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])"""
FOUR_CORES = "Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 4 })"
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class Failed(AssertionError):
    """The browser answers with an error, or something does not come."""


class Browser:
    """One page of a browser.

    Args:
        words: further options of chromium.
    """

    def __init__(self, *words):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (reads, self.writes), (self.reads, writes) = os.pipe(), os.pipe()
        start = [sys.executable, "-c", LAUNCH, str(reads), str(writes), CHROMIUM, "--headless", "--no-sandbox"]
        start += ["--disable-gpu", "--no-first-run", f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe"]
        self.process = subprocess.Popen(
            [*start, *words], pass_fds=(reads, writes), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        os.close(reads)
        os.close(writes)
        self.number, self.buffer, self.session, self.events = 0, b"", None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, Failed):
            self.session = None
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.writes)
        os.close(self.reads)
        self.profile.cleanup()

    def call(self, method, **values):
        """The answer to a method of the protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": values}
        message.update({"sessionId": self.session} if self.session else {})
        os.write(self.writes, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _message(self):
        while b"\0" not in self.buffer:
            part = os.read(self.reads, 2**20)
            if not part:
                raise Failed("chromium has ended.")
            self.buffer += part
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def prepare(self, script):
        """Has a script run in every page before its own."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, address):
        self.call("Page.navigate", url=address)

    def run(self, script):
        """What an expression of JavaScript gives in the page, a promise's value too."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise Failed(f"{script}: {found['exceptionDetails'].get('exception', {}).get('description')}")
        return found["result"].get("value")

    def wait(self, script, seconds=60):
        """Waits until an expression holds, and returns what it gives."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(Failed):  # the page may not be there yet
                if found := self.run(script):
                    return found
            time.sleep(0.05)
        raise Failed(f"{script} does not hold after {seconds} s; the page shows: {self.text()}")

    def text(self):
        return self.run("document.body.innerText")

    def choose(self, selector, *files):
        """Puts files into an input, as somebody does who chooses them."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.call("DOM.setFileInputFiles", files=[str(f) for f in files], objectId=found["result"]["objectId"])

    def drop(self, *files):
        """Drops files on the middle of the page."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        x, y = self.run("[innerWidth / 2, innerHeight / 2]")
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def show(self, width, height=900, dark=False, phone=False):
        """Sets the size of the window in CSS pixels, and whether the visitor wants dark pages."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1 + phone, mobile=phone
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, file, whole=False):
        """Saves what is shown as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))

    def complaints(self):
        """Errors that the browser has noted so far, of the page and of its workers."""
        self.run("1")  # what has come before is read
        found = [event["params"] for event in self.events if event["method"] == "Log.entryAdded"]
        thrown = [event["params"] for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        texts = [entry["entry"]["text"] for entry in found if entry["entry"]["level"] == "error"]
        return texts + [entry["exceptionDetails"]["text"] for entry in thrown]


@contextlib.contextmanager
def serving(folder, headers=None, host="127.0.0.1"):
    """A server of a folder, as `python -m http.server` is one.

    Args:
        folder: what it serves.
        headers: dict of further headers.
        host: address that it listens at.

    Yields:
        address: of the folder.
        asked: list of (method, path) of what it was asked for.
    """
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_):
            asked.append((self.command, self.path))

        def log_error(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((host, 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
