"""Videos made for a test: smooth pictures that change from frame to frame, with a tone where it is asked for."""

import csv
import struct
from fractions import Fraction

import numpy as np
import odd_files

from street_inference import command

RATE = 25
TONE = 48000  # samples a second
PIXELS = {"libx264": "yuv444p", "mjpeg": "yuvj420p", "mpeg2video": "yuv420p"}


def write(path, av, count=12, size=(36, 64), times=None, codec="libx264", sound=None, ratio=None, **options):
    """A video, all frames of which can be told apart.

    Args:
        path: the file, whose suffix says which container.
        av: PyAV's module.
        count: frames.
        size: (h, w).
        times: milliseconds of the frames; default: 25 frames a second.
        codec: of the pictures.
        sound: codec of a tone of 440 Hz; None: no sound.
        ratio: of the sides of a pixel, Fraction.
        options: of the container.
    """
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], PIXELS[codec]
        stream.codec_context.time_base = Fraction(1, 1000)
        if ratio:
            stream.sample_aspect_ratio = ratio
        voice = container.add_stream(sound, rate=TONE, layout="mono") if sound else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(size, number), format="rgb24")
            frame.pts, frame.time_base = (times or range(0, 40 * count, 40))[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice:
            for start in range(0, TONE * count // RATE, 1024):
                wave = 8000 * np.sin(np.arange(start, start + 1024) * 2 * np.pi * 440 / TONE)
                heard = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = TONE, start, Fraction(1, TONE)
                container.mux(voice.encode(heard))
            container.mux(voice.encode(None))
    return path


def add_subtitles(path, out, av, end):
    """A copy of a video with a subtitle that is shown from its beginning to `end`, in seconds."""
    text = out.with_suffix(".srt")
    text.write_text(f"1\n00:00:00,000 --> 00:00:{end:02},000\nRain.\n")
    with av.open(str(path)) as container, av.open(str(text)) as words, av.open(str(out), "w") as made:
        streams = [*words.streams, *container.streams]
        packets = [packet for source in (words, container) for packet in source.demux() if packet.dts is not None]
        copies = {stream: made.add_stream_from_template(stream) for stream in streams}
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            packet.stream = copies[packet.stream]
            made.mux(packet)
    return out


def turn(path):
    """Has players turn the pictures of an mp4 by a quarter against the clock, as a phone does that is held upright."""
    content = path.read_bytes()
    place = content.index(b"tkhd") + 44  # of the track's matrix: a b u c d v x y w, in 16.16 and 2.30 fixed point
    assert content[place : place + 36] == struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 2**30)
    turned = struct.pack(">9i", 0, -65536, 0, 65536, 0, 0, 0, 0, 2**30)
    path.write_bytes(content[:place] + turned + content[place + 36 :])
    return path


def run(model, *words):
    """Exit status of the inference command."""
    return command.main([str(word) for word in (model, *words)])


def rows(out):
    """The table of a video."""
    with open(out.with_suffix(".csv"), newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def picture(size, number):
    """uint8 (h, w, 3), frame `number` of a video."""
    return odd_files.photograph(size, number // 4) // 2 + np.uint8(number % 4 * 30)


def read(path, av):
    """Frames of a video: their times in seconds, and uint8 (n, h, w, 3)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.pts * frame.time_base for frame in frames], np.stack([f.to_ndarray(format="rgb24") for f in frames])


def sound(path, av):
    """Packets of a video's sound: their times in seconds, and bytes."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.dts is not None]
        return [packet.pts * packet.time_base for packet in packets], [bytes(packet) for packet in packets]
