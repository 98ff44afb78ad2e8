import csv
import shutil
import subprocess
import sys

import exports
import numpy as np
import odd_files
import onnx
import pytest
from PIL import Image

from ass_tf import labels
from ass_tf.export import agreement, to_onnx
from street_inference import command, drawing, flow, images, segmenter


def summary(out):
    with open(out / "summary.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def opened(path):
    with Image.open(path) as image:
        return image.copy()


def results(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for index, size in enumerate([(48, 64), (48, 64), (70, 90), (48, 64)]):
        Image.fromarray(odd_files.photograph(size, index)).save(folder / f"{index}.png")
    return folder


def test_200_odd_files_cost_no_good_output(model, tmp_path):
    kinds = odd_files.make(tmp_path / "in")
    assert len(kinds) >= 200
    done = exports.infer(model, tmp_path / "in", "--out", tmp_path / "out", "--outputs", *exports.EVERY)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    rows = {row["file"]: row for row in summary(tmp_path / "out")}
    assert rows.keys() == {str(path) for path in kinds}
    for path, kind in kinds.items():
        row = rows[str(path)]
        files = [tmp_path / "out" / f"{row['name']}{end}" for end in ("_labels.png", "_colour.png", "_overlay.jpg")]
        if kind == odd_files.BROKEN:
            assert row["error"], path
            assert f"skipped: {path}: {row['error']}" in done.stderr
            assert not any(file.exists() for file in files)
            continue
        assert row["error"] == "", path
        for file in files:
            with Image.open(file) as image:
                image.load()
        with Image.open(files[0]) as found:
            assert found.size == (int(row["width"]), int(row["height"]))
    assert len(results(tmp_path / "out")) == 2 + 3 * list(kinds.values()).count(odd_files.SOUND)


def test_labels_colours_and_shares_are_the_models(model, pictures, tmp_path):
    done = exports.infer(model, pictures, "--out", tmp_path, "--max-side", "0", "--outputs", *exports.EVERY)
    assert (done.returncode, len(summary(tmp_path))) == (0, 4)
    palette = labels.colours(labels.CLASS_SETS["cityscapes19"])
    session = agreement.session_of(model)
    for row in summary(tmp_path):
        image = np.asarray(opened(pictures / f"{row['name']}.png"))
        expected = session.run(["labels"], {"image": image[None]})[0][0]
        found = np.asarray(opened(tmp_path / f"{row['name']}_labels.png"))
        np.testing.assert_array_equal(found, expected)
        colours = np.asarray(opened(tmp_path / f"{row['name']}_colour.png").convert("RGB"))
        np.testing.assert_array_equal(colours, palette[expected])
        shares = [float(row[name]) for name in labels.CLASS_SETS["cityscapes19"]]
        np.testing.assert_allclose(shares, np.bincount(expected.ravel(), minlength=19) / expected.size, atol=1e-6)
        assert opened(tmp_path / f"{row['name']}_overlay.jpg").height > image.shape[0]  # the legend below


def test_batches_give_what_single_pictures_give(model, pictures, tmp_path):
    exports.infer(model, pictures, "--out", tmp_path / "one", "--outputs", "labels")
    exports.infer(model, pictures, "--out", tmp_path / "three", "--outputs", "labels", "--batch", "3")
    one, three = results(tmp_path / "one"), results(tmp_path / "three")
    del one["summary.csv"], three["summary.csv"], one["inference.json"], three["inference.json"]
    assert sorted(one) == [f"{i}_labels.png" for i in range(4)]
    assert one == three


def test_default_size_is_the_one_that_the_model_was_judged_on(model, pictures, tmp_path):
    exports.infer(model, pictures / "2.png", "--out", tmp_path, "--outputs", "labels")
    image = opened(pictures / "2.png").resize((64, 50), Image.Resampling.BICUBIC)  # 70 x 90; judged on 32 x 64
    small = agreement.session_of(model).run(["labels"], {"image": np.asarray(image)[None]})[0][0]
    expected = Image.fromarray(small).resize((90, 70), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(opened(tmp_path / "2_labels.png"), expected)


def test_equal_names_from_two_folders_are_both_kept(model, tmp_path):
    for part in "ab":
        (tmp_path / part).mkdir()
        Image.fromarray(odd_files.photograph((30, 40), ord(part))).save(tmp_path / part / "0001.png")
    exports.infer(model, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out", "--outputs", "labels")
    assert sorted(results(tmp_path / "out")) == [
        "a__0001_labels.png",
        "b__0001_labels.png",
        "inference.json",
        "summary.csv",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.onnx", "."], "error: nowhere.onnx: no such model."),
        ([__file__, "."], "onnxruntime cannot load it"),
        (["MODEL", "nothing"], "error: nothing: no image is there (files in --out do not count)."),
        (["MODEL", ".", "--provider", "tensorrt"], "--provider tensorrt: this onnxruntime has only"),
        (["MODEL", ".", "--tile", "8x8"], "must be a whole number from 16 on"),
        (["MODEL", ".", "--tile", "32x32", "--overlap", "32"], "--overlap must be smaller than the tile"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(model, tmp_path, words, message):
    (tmp_path / "nothing").mkdir()
    words = [model if word == "MODEL" else word for word in words]
    done = exports.infer(*words, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_model_of_another_maker_is_refused(model, tmp_path):
    loaded = onnx.load(model)
    del loaded.metadata_props[:]
    onnx.save(loaded, tmp_path / "bare.onnx")
    with pytest.raises(segmenter.ModelError, match=r"no model of export/to_onnx\.py; it lacks 'class_names'"):
        segmenter.Segmenter(tmp_path / "bare.onnx")


def test_results_that_cannot_be_written_stop_the_command(model, pictures, tmp_path):
    (tmp_path / "out").write_text("a file")
    done = exports.infer(model, pictures, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"error: {tmp_path / 'out'}: --out must be a folder that can be written." in done.stderr
    assert (tmp_path / "out").read_text() == "a file"


def test_write_that_fails_half_way_keeps_what_is_done_and_lists_it(model, pictures, tmp_path, monkeypatch, capsys):
    saved, count = drawing.save, []

    def full(path, picture):
        count.append(path)
        if len(count) > 2:
            raise OSError(28, "No space left on device")
        saved(path, picture)

    monkeypatch.setattr(drawing, "save", full)
    assert command.main([str(model), str(pictures), "--out", str(tmp_path / "out"), "--outputs", "labels"]) == 1
    assert "error: No space left on device." in capsys.readouterr().err
    assert sorted(results(tmp_path / "out")) == ["0_labels.png", "1_labels.png", "inference.json", "summary.csv"]
    assert [row["name"] for row in summary(tmp_path / "out")] == ["0", "1"]


def test_picture_on_which_the_model_fails_is_named_and_the_rest_goes_on(model, pictures, tmp_path, monkeypatch, capsys):
    maps_of = segmenter.Segmenter.maps

    def fails_on_the_large_one(self, batch, confidence):
        if batch.shape[1] == 70:
            raise segmenter.ModelError("the model fails on it: Failed to allocate memory")
        return maps_of(self, batch, confidence)

    monkeypatch.setattr(segmenter.Segmenter, "maps", fails_on_the_large_one)
    words = [str(model), str(pictures), "--out", str(tmp_path), "--outputs", "labels", "--max-side", "0"]
    assert command.main(words) == 1
    assert f"skipped: {pictures / '2.png'}: the model fails on it: Failed to allocate memory" in capsys.readouterr().err
    assert [bool(row["error"]) for row in summary(tmp_path)] == [False, False, True, False]
    assert len(results(tmp_path)) == 5


def test_interrupt_keeps_what_is_done_and_lists_it(model, pictures, tmp_path, monkeypatch, capsys):
    maps_of, calls = segmenter.Segmenter.maps, []

    def interrupted(self, batch, confidence):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return maps_of(self, batch, confidence)

    monkeypatch.setattr(segmenter.Segmenter, "maps", interrupted)
    assert command.main([str(model), str(pictures), "--out", str(tmp_path), "--outputs", "labels"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "error: interrupted."
    assert sorted(results(tmp_path)) == ["0_labels.png", "1_labels.png", "inference.json", "summary.csv"]
    assert [row["name"] for row in summary(tmp_path)] == ["0", "1"]


def test_results_are_no_inputs_and_no_input_is_overwritten(model, tmp_path):
    Image.fromarray(odd_files.photograph((30, 40), 0)).save(tmp_path / "a.png")
    assert exports.infer(model, tmp_path, "--out", tmp_path).returncode == 2
    assert exports.infer(model, tmp_path / "a.png", "--out", tmp_path).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    for words in ([tmp_path], [tmp_path / "**"], [tmp_path, tmp_path / "out"]):
        assert exports.infer(model, *words, "--out", tmp_path / "out", "--outputs", "colour").returncode in (0, 2)
        if (tmp_path / "out").exists():
            assert sorted(results(tmp_path / "out")) == ["a_colour.png", "inference.json", "summary.csv"]


@pytest.mark.slow
def test_model_of_fixed_size_and_batch_takes_every_picture(finished, pictures, tmp_path):
    file = tmp_path / "fixed.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), "--size", "33x65", "--batch", "3"]) == 0
    done = exports.infer(file, pictures, "--out", tmp_path / "out", "--outputs", "labels")
    assert done.returncode == 0, done.stderr
    image = opened(pictures / "2.png")
    batch = np.repeat(np.asarray(image.resize((65, 33), Image.Resampling.BICUBIC))[None], 3, 0)
    small = agreement.session_of(file).run(["labels"], {"image": batch})[0][0]
    expected = Image.fromarray(small).resize(image.size, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(opened(tmp_path / "out" / "2_labels.png"), expected)
    assert exports.infer(file, pictures, "--out", tmp_path, "--tile", "33x65").returncode == 2
    assert exports.infer(file, pictures, "--out", tmp_path, "--tile", "64x64").returncode == 2


def test_very_long_picture_gets_an_overlay_that_fits_a_jpeg(tmp_path):
    image, found = Image.new("RGB", (70000, 2)), np.zeros((1, 50), np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    drawing.write(tmp_path, "long", image, (2, 70000), found, ["road"], palette, exports.EVERY)
    with Image.open(tmp_path / "long_labels.png") as label, opened(tmp_path / "long_overlay.jpg") as overlay:
        assert (label.size, overlay.width) == ((70000, 2), 32000)


class Position:
    """In place of a session: the label of a pixel is what the image holds there."""

    def run(self, _, feed):
        assert min(feed["image"].shape) > 0
        return [feed["image"][..., 0]]


@pytest.mark.parametrize("size", [(100, 130), (32, 48), (20, 200), (33, 49), (1, 1)])
@pytest.mark.parametrize("overlap", [0, 7, 31])
def test_tiles_cover_the_picture_without_seams(model, size, overlap):
    one = segmenter.Segmenter(model)
    one.session = Position()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(one.tiled(image, (32, 48), overlap), image[None, ..., 0])


def test_tile_is_believed_up_to_the_middle_of_what_it_shares():
    assert list(segmenter._spans(100, 40, 10)) == [(0, slice(0, 35)), (30, slice(35, 65)), (60, slice(65, 100))]


def test_one_tile_is_the_whole_picture_and_several_have_its_size(model, tmp_path):
    Image.fromarray(odd_files.photograph((97, 129), 0)).save(tmp_path / "picture.png")
    ways = {
        "whole": ["--max-side", "0"],
        "one": ["--tile", "97x129"],
        "large": ["--tile", "512x512"],
        "four": ["--tile", "65x81"],
    }
    for name, words in ways.items():
        done = exports.infer(model, tmp_path / "picture.png", "--out", tmp_path / name, "--outputs", "labels", *words)
        assert done.returncode == 0, done.stderr
    found = {name: np.asarray(opened(tmp_path / name / "picture_labels.png")) for name in ways}
    np.testing.assert_array_equal(found["one"], found["whole"])
    np.testing.assert_array_equal(found["large"], found["whole"])
    assert found["four"].shape == found["whole"].shape


def test_results_of_an_earlier_call_are_no_photographs_even_if_it_was_killed(model, pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "p")
    first = exports.infer(model, tmp_path / "p", "--out", tmp_path / "p/out", "--outputs", "overlay")
    (tmp_path / "p/out/summary.csv").write_text((tmp_path / "p/out/summary.csv").read_text().splitlines()[0] + "\n")
    second = exports.infer(model, tmp_path / "p", "--out", tmp_path / "p/out2", "--outputs", "overlay")
    assert (first.returncode, second.returncode) == (0, 0)
    assert [row["name"] for row in summary(tmp_path / "p/out2")] == ["0", "1", "2", "3"]


def test_summary_tells_a_folder_of_results_from_the_first_moment(model, pictures, tmp_path, monkeypatch):
    known = []
    segment = flow.segment
    monkeypatch.setattr(flow, "segment", lambda *given: known.append(images.holds_results(out)) or segment(*given))
    out = tmp_path / "out"
    assert command.main([str(model), str(pictures), "--out", str(out), "--outputs", "labels"]) == 0
    assert known == [True]


def test_folder_is_all_that_inference_needs(model, pictures, tmp_path):
    shutil.copytree(exports.EXPORT / "street_inference", tmp_path / "street_inference")
    words = ["-m", "street_inference", str(model), str(pictures), "--out", "out", "--outputs", "labels"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(summary(tmp_path / "out")) == 4


def test_reader_that_has_gone_ends_inference_quietly(model, pictures, tmp_path):
    words = [str(exports.EXPORT / "infer_onnx.py"), str(model), str(pictures), "--out", str(tmp_path / "out")]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    with process.stderr as stderr:
        assert "error" not in stderr.read()
    assert process.wait(60) == 141
