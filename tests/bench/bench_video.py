"""Frames a second of a video through the inference command, over those of a session alone.

    python tests/bench/bench_video.py MODEL [--frames 300] [--size 360x640] [--rounds 5]

Drawn streets with a camera's noise pass by in a video that is encoded beforehand. The command writes it with overlays.
Two sessions run alone on pictures that are decoded and resized already: one of onnxruntime's defaults, and one set as
the command sets its own. Each contender is a process of its own, once a round, and they take turns; the medians count.
Imports and loading the model are not counted. The last result is decoded again and its frames are counted. Needs PyAV.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "export")]
PRINTED = re.compile(r"^([\d.]+) s, ([\d.]+) frames a second, of which the session ran ([\d.]+) s", re.MULTILINE)
PASSING = 100  # frames of a street
KINDS = ("defaults", "as set")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", default="360x640")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--session", nargs=2, metavar=("KIND", "VIDEO"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.session:
        return print(session_alone(given.model, *given.session))

    from ass_tf.system import machine

    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        video, out = Path(folder, "drawn.mp4"), Path(folder, "out.mp4")
        height, width = map(int, given.size.split("x"))
        draw(video, given.frames, height, width)
        size = f"{video.stat().st_size / 2**20:.1f} MB"
        print(f"{given.frames} frames of {width} x {height}, {size}, {given.rounds} rounds")
        seconds = {name: [] for name in ("command", "its session", *KINDS)}
        for turn in range(given.rounds + 1):
            found = dict(zip(seconds, command(given.model, video, out)))
            found |= {k: float(run([__file__, str(given.model), "--session", k, str(video)])) for k in KINDS}
            if turn:  # the first round warms the files up
                for name, value in found.items():
                    seconds[name].append(value)
        with av.open(str(out)) as result:
            count = sum(1 for _ in result.decode(video=0))
    speeds = {name: given.frames / statistics.median(values) for name, values in seconds.items()}
    for name, speed in speeds.items():
        times = " ".join(f"{value:.2f}" for value in seconds[name])
        print(
            f"{name:12} {speed:6.1f} frames a second, the command over it {speeds['command'] / speed:.2f} ({times} s)"
        )
    print(f"{count} of {given.frames} frames are in the result")
    return 0 if count == given.frames else 1


def draw(file, frames, height, width):
    """A video of drawn streets that pass by, a few pixels a frame."""
    from ass_tf import streets

    rng = np.random.default_rng(0)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            if number % PASSING == 0:
                scene = streets.draw_scene("camera", number, (height, width + 4 * PASSING))[0]
            left = number % PASSING * 4
            noise = rng.normal(0, 3, (height, width, 1))
            picture = np.clip(scene[:, left : left + width] + noise, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def command(model, video, out):
    """Seconds of the command, and those of its session."""
    printed = run(["-m", "street_inference", str(model), str(video), "--out", str(out)])
    wall, _, inside = map(float, PRINTED.search(printed).groups())
    return wall, inside


def run(words):
    path = os.pathsep.join([str(ROOT / "export"), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *words], env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stderr}")
    return done.stdout


def session_alone(model, kind, video):
    """Seconds that a session of a kind needs for all frames, which are decoded and resized before."""
    import onnxruntime
    from PIL import Image

    from street_inference import images, segmenter

    own = segmenter.Segmenter(model)
    with av.open(video) as container:
        frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    ready = [images.shrink(frame, max(own.size), (None, None))[None] for frame in frames]
    session = own.session if kind == "as set" else onnxruntime.InferenceSession(str(model))
    start = time.perf_counter()
    for picture in ready:
        session.run(["labels"], {"image": picture})
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
