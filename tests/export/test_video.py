"""A video through the inference command: frames, times, sound and table of the result."""

from fractions import Fraction

import exports
import numpy as np
import pytest
import videos
from PIL import Image

from ass_tf import labels
from ass_tf.export import agreement
from street_inference import drawing, video

av = pytest.importorskip("av")
CLASSES = labels.CLASS_SETS["cityscapes19"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twelve frames of 36 x 64 with a tone."""
    return videos.write(tmp_path_factory.mktemp("clip") / "in.mp4", av, sound="aac")


def found_by(model, frames):
    """Labels of frames, uint8 (n, h, w), as a session of its own gives them."""
    session = agreement.session_of(model)
    return np.concatenate([session.run(["labels"], {"image": frame[None]})[0] for frame in frames])


def assert_near(frames, expected):
    """Alike but for what the codec costs; neighbours in a video of `videos` differ by 30 and more."""
    assert np.abs(frames.astype(int) - expected).mean(axis=(1, 2, 3)).max() < 10


@pytest.mark.slow
def test_300_drawn_frames_come_back_in_the_same_number_and_at_their_times(model, tmp_path):
    from ass_tf import streets

    scene = streets.draw_scene("camera", 0, (360, 1240))[0]
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for left in range(0, 600, 2):
            shown = np.ascontiguousarray(scene[:, left : left + 640])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    done = exports.infer(model, tmp_path / "in.mp4", "--out", tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"300 frames in {tmp_path / 'out.mp4'}")
    times, frames = videos.read(tmp_path / "out.mp4", av)
    assert (len(frames), len(videos.rows(tmp_path / "out.mp4"))) == (300, 300)
    assert times == videos.read(tmp_path / "in.mp4", av)[0]
    assert frames.shape[2] == 1280
    assert [line.split()[0] for line in done.stderr.splitlines()] == [str(n) for n in range(30, 301, 30)]


def test_picture_lies_beside_its_overlay_and_the_table_has_the_shares_of_each_frame(model, clip, tmp_path):
    out = tmp_path / "new folder/out.mp4"
    assert videos.run(model, clip, "--out", out, "--max-side", "0") == 0
    (_, given), (_, frames) = videos.read(clip, av), videos.read(out, av)
    expected = found_by(model, given)
    palette = labels.colours(CLASSES).astype(int)
    assert_near(frames[:, :36, :64], given)
    assert_near(frames[:, :36, 64:128], (given + palette[expected]) / 2)
    table = videos.rows(out)
    assert [row["frame"] for row in table] == [str(n) for n in range(12)]
    assert [float(row["seconds"]) for row in table] == pytest.approx([0.04 * n for n in range(12)])
    shares = [[float(row[name]) for name in CLASSES] for row in table]
    counts = [np.bincount(one.ravel(), minlength=19) / one.size for one in expected]
    np.testing.assert_allclose(shares, counts, atol=1e-6)
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.csv", "out.mp4"]


def test_labels_come_back_without_loss_and_batches_change_nothing(model, clip, tmp_path):
    for name, words in (("one", []), ("five", ["--batch", "5"])):
        out = tmp_path / f"{name}.mkv"
        assert videos.run(model, clip, "--out", out, "--outputs", "labels", "--max-side", "0", *words) == 0
        with av.open(str(out)) as container:
            found = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
        np.testing.assert_array_equal(found, found_by(model, videos.read(clip, av)[1]))
        assert videos.sound(out, av)[1] == videos.sound(clip, av)[1]


def test_colours_take_the_place_of_the_overlay(model, clip, tmp_path):
    assert videos.run(model, clip, "--out", tmp_path / "out.mp4", "--outputs", "colour", "--max-side", "0") == 0
    given, frames = videos.read(clip, av)[1], videos.read(tmp_path / "out.mp4", av)[1]
    colours = labels.colours(CLASSES)[found_by(model, given)].astype(int)
    assert np.median(np.abs(frames[:, :36, 64:128] - colours)) < 10  # hard edges of colours are not for 4:2:0


@pytest.mark.parametrize(
    ("size", "place", "shape"),
    [
        ((360, 640), (640, 0), (360, 1280)),  # 16:9 is as far from 32:9 as from 8:9
        ((480, 640), (640, 0), (480, 1280)),
        ((640, 360), (360, 0), (640, 720)),
        ((274, 640), (0, 274), (548, 640)),
        ((33, 35), (35, 0), (33, 320)),  # a legend has a least width
    ],
)
def test_second_picture_goes_where_the_frame_is_nearer_to_16_to_9(size, place, shape):
    empty, found = drawing.plan_frame(size[::-1], CLASSES, labels.colours(CLASSES))
    assert found == place
    assert empty.width == shape[1]
    assert shape[0] < empty.height < shape[0] + 200
    assert (empty.width % 2, empty.height % 2) == (0, 0)
    assert np.asarray(empty)[shape[0] + 1 :].min() < 255  # the legend
    assert (np.asarray(empty)[: size[0], : size[1]] == 0).all()


@pytest.mark.parametrize("size", [(35, 63), (33, 90), (90, 33)])
def test_odd_sizes_keep_every_pixel(model, tmp_path, size):
    videos.write(tmp_path / "in.mp4", av, 3, size)
    assert videos.run(model, tmp_path / "in.mp4", "--out", tmp_path / "out.mp4") == 0
    given, frames = videos.read(tmp_path / "in.mp4", av)[1], videos.read(tmp_path / "out.mp4", av)[1]
    assert_near(frames[:, : size[0], : size[1]], given)
    assert (frames.shape[1] % 2, frames.shape[2] % 2) == (0, 0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_is_the_same_bytes_and_fits_the_pictures_as_before(model, clip, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    assert videos.run(model, clip, "--out", out) == 0
    (heard, packets), (expected, same) = videos.sound(out, av), videos.sound(clip, av)
    assert packets == same
    (first, *_), (before, *_) = videos.read(out, av)[0], videos.read(clip, av)[0]
    assert [float(t - first) for t in heard] == pytest.approx([float(t - before) for t in expected], abs=2e-3)


def test_sound_that_a_container_cannot_hold_is_left_out_with_a_note(model, clip, tmp_path, capsys):
    assert videos.run(model, clip, "--out", tmp_path / "out.webm") == 0
    assert "note: .webm holds no sound of kind aac, which is left out" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.webm")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert len(list(container.decode(video=0))) == 12


def test_uneven_times_stay_as_they_are(model, tmp_path):
    times = [0, 40, 41, 300, 333, 1000, 1001, 1900]
    videos.write(tmp_path / "in.mp4", av, 8, times=times)
    assert videos.run(model, tmp_path / "in.mp4", "--out", tmp_path / "out.mp4") == 0
    assert [float(seconds) * 1000 for seconds in videos.read(tmp_path / "out.mp4", av)[0]] == pytest.approx(times)
    assert [float(row["seconds"]) * 1000 for row in videos.rows(tmp_path / "out.mp4")] == pytest.approx(times)


def test_recording_that_begins_late_on_a_clock_begins_at_its_first_packet(model, tmp_path):
    videos.write(tmp_path / "in.ts", av, 4, times=[30_000_000 + 40 * n for n in range(4)])
    assert videos.run(model, tmp_path / "in.ts", "--out", tmp_path / "out.mp4") == 0
    expected = pytest.approx([0.04 * n for n in range(4)], abs=1e-4)
    assert [float(row["seconds"]) for row in videos.rows(tmp_path / "out.mp4")] == expected
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [float(frame.pts * frame.time_base) for frame in container.decode(video=0)] == expected
        assert container.start_time == 0


def test_turned_video_is_seen_upright_by_the_model_and_in_the_result(model, tmp_path):
    videos.turn(videos.write(tmp_path / "in.mp4", av, 3))
    assert videos.run(model, tmp_path / "in.mp4", "--out", tmp_path / "out.mp4", "--max-side", "0") == 0
    upright = np.rot90(videos.read(tmp_path / "in.mp4", av)[1], axes=(1, 2))
    frames = videos.read(tmp_path / "out.mp4", av)[1]
    assert_near(frames[:, :64, :36], upright)
    expected = np.bincount(found_by(model, np.ascontiguousarray(upright))[0].ravel(), minlength=19) / (36 * 64)
    assert [float(videos.rows(tmp_path / "out.mp4")[0][name]) for name in CLASSES] == pytest.approx(
        list(expected), abs=1e-6
    )
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).side_data.get("DISPLAYMATRIX") is None


@pytest.mark.parametrize("size", [(36, 64), (64, 64)])
@pytest.mark.parametrize(("turn", "expected"), [(lambda path: path, Fraction(16, 11)), (videos.turn, Fraction(11, 16))])
def test_pixels_that_are_no_squares_keep_their_shape(model, tmp_path, turn, expected, size):
    turn(videos.write(tmp_path / "in.mp4", av, 3, size, ratio=Fraction(16, 11)))
    assert videos.run(model, tmp_path / "in.mp4", "--out", tmp_path / "out.mp4") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == expected


@pytest.mark.parametrize(
    ("matrix", "expected"),  # 16.16 fixed point; (x, y) goes to (a x + c y, b x + d y), with y downwards
    [
        ((1, 0, 0, 1), [[1, 2, 3], [4, 5, 6]]),
        ((-1, 0, 0, 1), [[3, 2, 1], [6, 5, 4]]),
        ((-1, 0, 0, -1), [[6, 5, 4], [3, 2, 1]]),
        ((0, 1, -1, 0), [[4, 1], [5, 2], [6, 3]]),  # y to -x: the lower row comes to the left
        ((0, -1, 1, 0), [[3, 6], [2, 5], [1, 4]]),
        ((0, 1, 1, 0), [[1, 4], [2, 5], [3, 6]]),
    ],
)
def test_display_matrix_turns_and_mirrors(matrix, expected):
    a, b, c, d = (65536 * value for value in matrix)
    stored = np.array([a, b, 0, c, d, 0, 0, 0, 2**30], np.int32).tobytes()
    upright, across = video._upright(np.array([[1, 2, 3], [4, 5, 6]]), stored)
    np.testing.assert_array_equal(upright, expected)
    assert across == (len(expected) == 3)


def test_folder_with_the_name_of_a_video_still_takes_photographs(model, tmp_path):
    Image.fromarray(videos.picture((36, 64), 0)).save(tmp_path / "a.png")
    (tmp_path / "out.mp4").mkdir()
    assert videos.run(model, tmp_path / "a.png", "--out", tmp_path / "out.mp4") == 0
    assert (tmp_path / "out.mp4/a_labels.png").is_file()


def test_second_call_replaces_the_video_and_its_table(model, clip, tmp_path):
    for shown in ("overlay", "colour"):
        assert videos.run(model, clip, "--out", tmp_path / "out.mp4", "--outputs", shown) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.mp4"]
