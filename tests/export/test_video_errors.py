"""Videos that are broken, interrupted, streamed or asked for in a wrong way, in the inference command."""

import http.server
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import exports
import numpy as np
import pytest
import videos

from street_inference import segmenter

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twelve frames of 36 x 64 with a tone."""
    return videos.write(tmp_path_factory.mktemp("clip") / "in.mp4", av, sound="aac")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_video_that_is_cut_short_is_told_in_one_line_and_kept_up_to_there(model, tmp_path, capsys, suffix):
    whole = videos.write(tmp_path / f"in{suffix}", av, 120, movflags="faststart")  # the head comes first
    os.truncate(whole, whole.stat().st_size * 6 // 10)
    assert videos.run(model, whole, "--out", tmp_path / "out.mp4") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    count = len(videos.read(tmp_path / "out.mp4", av)[1])
    assert line.startswith(f"error: {whole}: is ")
    assert line.endswith(f"; {tmp_path / 'out.mp4'} holds the {count} frames read.")
    assert 40 < count < 120
    assert len(videos.rows(tmp_path / "out.mp4")) == count


def test_subtitles_beyond_the_last_picture_are_no_fault_and_hide_none(model, clip, tmp_path, capsys):
    file = videos.add_subtitles(clip, tmp_path / "in.mkv", av, 5)
    assert videos.run(model, file, "--out", tmp_path / "out.mp4") == 0
    assert "cut short" not in capsys.readouterr().err
    file = videos.add_subtitles(videos.write(tmp_path / "long.mp4", av, 100), tmp_path / "in.mkv", av, 1)
    os.truncate(file, file.stat().st_size * 6 // 10)
    assert videos.run(model, file, "--out", tmp_path / "out.mp4") == 1
    assert f"error: {file}: is cut short after " in capsys.readouterr().err


def test_damaged_packet_is_left_out_and_the_rest_is_kept(model, tmp_path, capsys):
    file = videos.write(tmp_path / "in.mp4", av, 12)
    with av.open(str(file)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.dts is not None]
    content = bytearray(file.read_bytes())
    content[places[5] : places[5] + 4] = b"\x7f\xff\xff\xff"  # claims more bytes than it has
    file.write_bytes(content)
    assert videos.run(model, file, "--out", tmp_path / "out.mp4") == 1
    told = f"error: {file}: is damaged, so that 1 of its packets was left out; "
    assert capsys.readouterr().err.splitlines()[-1] == f"{told}{tmp_path / 'out.mp4'} holds the 11 frames read."
    assert len(videos.read(tmp_path / "out.mp4", av)[1]) == 11


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no video", "no video can be read there: Invalid data found when processing input."),
        (b"", "no video can be read there: Invalid data found when processing input."),
        (None, "no video can be read there: No such file or directory."),
    ],
)
def test_what_is_no_video_is_told_in_one_line_and_leaves_nothing(model, tmp_path, capsys, content, message):
    file, out = tmp_path / "in.mp4", tmp_path / "out/out.mp4"
    if content is not None:
        file.write_bytes(content)
    assert videos.run(model, file, "--out", out) == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {file}: {message}"]
    assert not out.parent.exists()


def test_file_of_sound_alone_holds_no_picture(model, tmp_path, capsys):
    with av.open(str(tmp_path / "in.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert videos.run(model, tmp_path / "in.wav", "--out", tmp_path / "out.mp4") == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'in.wav'}: holds no picture.\n"


def test_missing_package_is_named_with_the_command_that_installs_it(model, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert videos.run(model, clip, "--out", tmp_path / "out.mp4") == 2
    assert capsys.readouterr().err == 'error: a video needs PyAV: pip install "ass_tf[video]", or pip install av.\n'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.mp4", "in.mp4", "--out", "o.mp4"], "a video is made of one file, URL or camera. Received: 2."),
        (["in.mp4", "--out", "folder"], "in.mp4: is a video, so that --out must be one: a name that ends in .mp4, "),
        (["rtsp://h/p", "--out", "folder"], "rtsp://h/p: is a video, so that --out must be one"),
        (["0", "--out", "folder"], "0: is a video, so that --out must be one"),
        (["0", "--out", "o.mp4"], "0: no video can be read there: "),
        (["in.mp4", "--out", "o.mp4", "--resume"], "--resume is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--shard", "1/2"], "--shard is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--workers", "2"], "--workers is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--keep-folders"], "--keep-folders is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--draft"], "--draft is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--images-from", "l"], "--images-from is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--outputs", "colour", "overlay"], "--outputs must be one of them for a video"),
        (["in.mp4", "--out", "o.mp4", "--outputs", "confidence"], "o.mp4: --outputs confidence is not for videos."),
        (["in.mp4", "--out", "o.mp4", "--confidence"], "--confidence is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--pseudo-labels", "0.9"], "--pseudo-labels is not for videos"),
        (["in.mp4", "--out", "o.mp4", "--outputs", "labels"], "o.mp4: --out must end in .mkv for labels"),
        (["in.mp4", "--out", "./in.mp4"], "in.mp4: --out must be another file than the video."),
        (["file:in.mp4", "--out", "in.mp4"], "in.mp4: --out must be another file than the video."),
        (["in.mp4", "--out", "table.mp4"], "table.csv: is no table of an earlier call and would be lost"),
        (["in.mp4", "--out", "wide.mp4"], "wide.csv: is no table of an earlier call and would be lost"),
        (["in.mp4", "--out", "blank.mp4"], "blank.csv: is no table of an earlier call and would be lost"),
        (["in.mp4", "--out", "o.mp4", "--max-pixels", "100"], "claims 2304 pixels a frame, more than the 100"),
        (["in.mp4", "--out", "table.csv/o.mp4"], "--out must be a folder that can be written"),
    ],
)
def test_words_that_do_not_fit_a_video_are_refused_in_one_line(
    model, clip, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    Path("in.mp4").write_bytes(clip.read_bytes())
    Path("table.csv").write_text("time,speed\n0,3\n")
    Path("wide.csv").write_text("x" * 200_000)  # more than the csv module takes for a field
    Path("blank.csv").write_text("\n0,3\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert videos.run(model, *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_frame_on_which_the_model_fails_ends_the_video_there(model, clip, tmp_path, monkeypatch, capsys):
    maps_of, calls = segmenter.Segmenter.maps, []

    def fails_on_the_sixth(self, *given):
        calls.append(given)
        if len(calls) == 6:
            raise segmenter.ModelError("the model fails on it: Failed to allocate memory.")
        return maps_of(self, *given)

    monkeypatch.setattr(segmenter.Segmenter, "maps", fails_on_the_sixth)
    assert videos.run(model, clip, "--out", tmp_path / "out.mp4") == 1
    told = "the model fails on it: Failed to allocate memory"
    kept = f"{tmp_path / 'out.mp4'} holds the 5 frames read."
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {clip}: {told}; {kept}"
    assert len(videos.read(tmp_path / "out.mp4", av)[1]) == 5


@pytest.mark.parametrize("limit", [1000, 4000])
def test_full_disk_is_one_line_and_leaves_what_was_there(model, clip, tmp_path, limit):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    (tmp_path / "out.mp4").write_bytes(b"of an earlier call")
    given = [exports.EXPORT / "infer_onnx.py", model, clip, "--out", tmp_path / "out.mp4"]
    words, env = [sys.executable, *map(str, given)], exports.uncounted()
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limited, env=env)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path / 'out.mp4'}: File too large."
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.mp4": b"of an earlier call"}


@pytest.fixture
def served(tmp_path):
    """URL of a folder's files."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_url_is_read_like_a_file(model, clip, tmp_path, served):
    (tmp_path / "in.mp4").write_bytes(clip.read_bytes())
    for name, url in (("http", f"{served}/in.mp4"), ("file", f"file://{clip}"), ("path", clip)):
        assert videos.run(model, url, "--out", tmp_path / f"{name}.mp4") == 0
    shares = [videos.rows(tmp_path / f"{name}.mp4") for name in ("http", "file", "path")]
    assert shares[0] == shares[1] == shares[2]
    assert len(shares[0]) == 12


@pytest.fixture
def camera():
    """URL of a stream without an end that starts late on its clock, 50 frames a second."""
    gone = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with (
                suppress(OSError, av.FFmpegError),
                av.open(self.wfile, "w", format="mpegts", options={"flush_packets": "1"}) as container,
            ):
                stream = container.add_stream("mpeg2video", rate=25)
                stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = 64, 36, "yuv420p", 5
                for number in range(5000):
                    frame = av.VideoFrame.from_ndarray(videos.picture((36, 64), number), format="rgb24")
                    frame.pts, frame.time_base = 100_000 + number, Fraction(1, 25)
                    container.mux(stream.encode(frame))
                    if gone.wait(0.02 if number > 50 else 0):
                        return

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/live"
        gone.set()
        server.shutdown()


def interrupted(model, word, out, number=signal.SIGINT, frames=30):
    """The finished process of a video that is stopped by a signal when its table has some frames."""
    words = [exports.EXPORT / "infer_onnx.py", model, word, "--out", out]
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=-1, stderr=-1, text=True)
    table, end = out.with_name(f".{out.stem}.csv.part"), time.monotonic() + 60
    while not table.exists() or table.read_bytes().count(b"\n") <= frames:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    process.told = process.communicate(timeout=60)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stream_without_an_end_is_ended_by_a_signal_and_is_whole(model, tmp_path, camera, number):
    done = interrupted(model, camera, tmp_path / "out.mp4", number)
    assert done.returncode == 0, done.told
    times, frames = videos.read(tmp_path / "out.mp4", av)
    assert len(frames) == len(videos.rows(tmp_path / "out.mp4")) > 30
    assert done.told[0].startswith(f"{len(frames)} frames in ")
    assert times[0] < 1  # counted from its beginning, not by its clock
    assert float(times[-1] - times[0]) == pytest.approx((len(frames) - 1) / 25, abs=0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.mp4"]


def test_interrupted_video_is_kept_up_to_there(model, tmp_path):
    videos.write(tmp_path / "in.mp4", av, 1500)
    done = interrupted(model, tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert done.returncode == 130
    assert done.told[1].splitlines()[-1].startswith("error: interrupted; ")
    frames = videos.read(tmp_path / "out.mp4", av)[1]
    assert 30 < len(frames) == len(videos.rows(tmp_path / "out.mp4")) < 1500
