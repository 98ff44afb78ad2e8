"""Inference on many images: shards, resuming, lists, folders that are kept, several workers."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time

import exports
import odd_files
import pytest
from PIL import Image

from street_inference import command, naming, summary, workers

TIMES = {"read_seconds", "run_seconds", "write_seconds"}
ENTRY = (
    "import os, sys; sys.path.insert(0, sys.argv[1]); from street_inference import command, flow; "
    "{}sys.exit(command.work())"
)
POISON = "read = flow.read; flow.read = lambda p, o: os._exit(9) if 'poison' in p.name else read(p, o); "
SLOW = (  # the first worker is
    "import time; from street_inference import workers; share, write = workers.share_cores, flow.write; places = []; "
    "workers.share_cores = lambda *which: [places.append(which[0]), share(*which)][1]; "
    "flow.write = lambda *which: [time.sleep(0 if places[0] else 0.5), write(*which)][1]; "
)


def rows(file):
    """Of a table, without the times."""
    with open(file, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(stream)]


def pixels(out):
    """File -> what it shows, below a folder of results."""
    return {path.relative_to(out).as_posix(): Image.open(path).tobytes() for path in out.rglob("*.png")}


def infer(*words):
    return command.main([*map(str, words), "--outputs", "labels"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten photographs in three folders, two of the same name, and one file that is none."""
    top = tmp_path_factory.mktemp("many") / "photographs"
    for index in range(10):
        folder = top / ("a", "b [1]", "a/deep")[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        name = "same" if index < 2 else f"{index}"
        Image.fromarray(odd_files.photograph((32 + 8 * (index % 2), 48), index)).save(folder / f"{name}.png")
    (top / "broken.jpg").write_bytes(b"no photograph")
    return top


@pytest.fixture(scope="module")
def whole(model, pictures, tmp_path_factory):
    """The results of one call."""
    out = tmp_path_factory.mktemp("whole")
    assert infer(model, pictures, "--out", out, "--keep-folders") == 1
    return out


def test_results_lie_as_the_photographs_do(pictures, whole):
    names = {f"{path.relative_to(pictures).with_suffix('')}_labels.png" for path in pictures.rglob("*.png")}
    assert set(pixels(whole)) == names
    assert len(names) == 10
    assert [row["file"] for row in rows(whole / "summary.csv") if row["error"]] == [str(pictures / "broken.jpg")]


def test_shards_make_what_one_call_makes(model, pictures, whole, tmp_path, capsys):
    for place in (2, 1, 3):
        assert infer(model, pictures, "--out", tmp_path, "--keep-folders", "--shard", f"{place}/3") in (0, 1)
        table = rows(tmp_path / f"summary-{place}-of-3.csv")
        assert [row["file"] for row in table] == [row["file"] for row in rows(whole / "summary.csv")][place - 1 :: 3]
        if place != 3:
            assert command.main(["join", str(tmp_path)]) == 2
            assert "-of-3.csv is missing; run that shard with --resume." in capsys.readouterr().err
    capsys.readouterr()
    assert command.main(["join", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'summary.csv'}: 10 images, 1 skipped\n"
    assert rows(tmp_path / "summary.csv") == sorted(rows(whole / "summary.csv"), key=lambda row: row["file"])
    assert pixels(tmp_path) == pixels(whole)
    assert sorted(tmp_path.glob("*summary*")) == [tmp_path / "summary.csv"]
    assert command.main(["join", str(tmp_path)]) == 2


def test_more_shards_than_images_are_joined_too(model, pictures, tmp_path):
    for place in (1, 2, 3):
        assert infer(model, pictures / "a/same.png", "--out", tmp_path, "--shard", f"{place}/3") in (0, 2)
    assert command.main(["join", str(tmp_path)]) == 0
    assert [row["name"] for row in rows(tmp_path / "summary.csv")] == ["same"]


@pytest.mark.parametrize("killed", [True, False])
def test_resuming_does_what_is_missing_and_nothing_else(model, pictures, whole, tmp_path, killed):
    assert infer(model, pictures, "--out", tmp_path, "--keep-folders") == 1
    lost = [tmp_path / "a/same_labels.png", tmp_path / "b [1]/4_labels.png"]
    for file in lost:
        file.unlink()
    if killed:  # while it wrote a row
        table = (tmp_path / "summary.csv").read_text()
        (tmp_path / ".summary.csv.part").write_text(table[: table.index("7.png") + 20])
        (tmp_path / "summary.csv").write_text(table.splitlines()[0] + "\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert infer(model, pictures, "--out", tmp_path, "--keep-folders", "--resume") == 1
    assert rows(tmp_path / "summary.csv") == rows(whole / "summary.csv")
    assert pixels(tmp_path) == pixels(whole)
    kept = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert kept == list(before) if not killed else 2 <= len(kept) < len(before)
    assert not list(tmp_path.glob(".*.part"))


def test_kill_while_resuming_loses_no_rows(model, pictures, whole, tmp_path, monkeypatch):
    assert infer(model, pictures, "--out", tmp_path, "--keep-folders") == 1
    (tmp_path / "a/same_labels.png").unlink()

    def kill(*_):
        raise SystemExit

    with monkeypatch.context() as killed:
        killed.setattr("street_inference.flow.segment", kill)
        killed.setattr(summary.Summary, "close", lambda self: self._stream.close())
        (tmp_path / "summary.csv").rename(tmp_path / ".summary.csv.part")  # of a call that was killed, too
        with pytest.raises(SystemExit):
            infer(model, pictures, "--out", tmp_path, "--keep-folders", "--resume")
    assert len(summary.complete(tmp_path, lambda _, name: [f"{name}_labels.png"])) == 9
    assert infer(model, pictures, "--out", tmp_path, "--keep-folders", "--resume") == 1
    assert rows(tmp_path / "summary.csv") == rows(whole / "summary.csv")
    assert not list(tmp_path.glob(".*"))


def test_results_of_other_settings_are_not_added_to(model, pictures, tmp_path, capsys):
    assert infer(model, pictures / "a", "--out", tmp_path, "--max-side", 32) == 0
    for words in (["--resume"], ["--shard", "1/2"]):
        assert infer(model, pictures / "a", "--out", tmp_path, "--max-side", 40, *words) == 2
        error = f"error: {tmp_path}: its results were made with max_side 32; now it is 40. Use another --out.\n"
        assert capsys.readouterr().err.endswith(error)
    known = json.loads((tmp_path / "inference.json").read_text())
    (tmp_path / "inference.json").write_text(json.dumps({**known, "sha256": "0"}))
    assert infer(model, pictures / "a", "--out", tmp_path, "--max-side", 32, "--resume") == 2
    assert "are another model's (model.onnx)" in capsys.readouterr().err
    (tmp_path / "inference.json").write_text("[")
    assert infer(model, pictures / "a", "--out", tmp_path, "--resume") == 2
    assert "inference.json: is damaged" in capsys.readouterr().err


def test_list_names_images(model, pictures, whole, tmp_path):
    names = sorted(str(path) for path in pictures.rglob("*.png"))
    (tmp_path / "list.txt").write_text("\n".join(names) + "\n\n")
    assert infer(model, "--images-from", tmp_path / "list.txt", "--out", tmp_path / "out", "--keep-folders") == 0
    assert pixels(tmp_path / "out") == pixels(whole)
    words = [sys.executable, str(exports.EXPORT / "infer_onnx.py"), str(model), "--images-from", "-", "--keep-folders"]
    done = subprocess.run(
        [*words, "--out", str(tmp_path / "piped"), "--outputs", "labels"],
        input="\n".join(names),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert pixels(tmp_path / "piped") == pixels(whole)


def test_list_that_is_missing_or_empty_is_told(model, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("\n")
    for name, message in (("none.txt", "none.txt: No such file or directory."), ("list.txt", "list.txt: no image is")):
        assert infer(model, "--images-from", tmp_path / name, "--out", tmp_path / "out") in (1, 2)
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        infer(model, "--out", tmp_path / "out")
    assert "IMAGES or --images-from" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_shard_out_of_range_is_refused(model, tmp_path, shard, capsys):
    with pytest.raises(SystemExit):
        infer(model, "x.png", "--out", tmp_path, "--shard", shard)
    assert "argument --shard" in capsys.readouterr().err


def test_workers_make_what_one_process_makes(model, pictures, whole, tmp_path):
    assert infer(model, pictures, "--out", tmp_path, "--keep-folders", "--workers", 2) == 1
    assert rows(tmp_path / "summary.csv") == rows(whole / "summary.csv")
    assert pixels(tmp_path) == pixels(whole)


@pytest.mark.parametrize("holds_all", [False, True])
def test_worker_that_is_killed_costs_nothing(model, pictures, whole, tmp_path, monkeypatch, holds_all):
    start, killed = workers.Crew._start, []

    def started(self, place):
        child = start(self, place)
        if not killed:
            killed.append(child)
            os.kill(child.pid, signal.SIGSTOP if holds_all else signal.SIGKILL)
            threading.Timer(1, child.kill).start()  # by then it was given all of the photographs
        return child

    monkeypatch.setattr(workers.Crew, "_start", started)
    assert infer(model, pictures, "--out", tmp_path, "--keep-folders", "--workers", 2) == 1
    assert pixels(tmp_path) == pixels(whole)
    assert len(killed) == 1


def test_photograph_that_ends_every_worker_is_named_and_the_rest_is_done(model, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    for index in range(6):
        name = "poison" if index == 3 else f"{index}"
        Image.fromarray(odd_files.photograph((32, 48), index)).save(tmp_path / "in" / f"{name}.png")
    monkeypatch.setattr(workers, "ENTRY", ENTRY.format(POISON))
    assert infer(model, tmp_path / "in", "--out", tmp_path / "out", "--workers", 2) == 1
    assert len(pixels(tmp_path / "out")) == 5
    failed = [row for row in rows(tmp_path / "out/summary.csv") if row["error"]]
    assert [(row["name"], row["error"]) for row in failed] == [
        ("poison", "the worker that takes it ends, with status 9.")
    ]


def test_workers_that_cannot_begin_are_told_in_one_line(model, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, "ENTRY", "import sys; sys.exit(3)")
    assert infer(model, pictures, "--out", tmp_path, "--workers", 2) == 2
    assert capsys.readouterr().err == "error: --workers: they end at once, with status 3.\n"


def test_interrupt_of_workers_keeps_what_is_done_and_lists_it(model, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(300):
        Image.fromarray(odd_files.photograph((32, 48), index)).save(tmp_path / "in" / f"{index}.png")
    code = (
        f"import sys; sys.path.insert(0, {str(exports.EXPORT)!r}); from street_inference import command, workers; "
        f"workers.ENTRY = {ENTRY.format(SLOW)!r}; sys.exit(command.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, str(model), str(tmp_path / "in"), "--workers", "2"]
    process = subprocess.Popen(
        [*words, "--out", str(tmp_path / "out"), "--outputs", "labels"], stderr=subprocess.PIPE, text=True
    )
    while not list((tmp_path / "out").glob("*.png")) and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    with process.stderr as stderr:
        assert stderr.read().splitlines()[-1] == "error: interrupted."
    assert process.wait(60) == 130
    table = rows(tmp_path / "out/summary.csv")
    assert {f"{row['name']}_labels.png" for row in table} == set(pixels(tmp_path / "out"))
    assert 0 < len(table) < 300


def test_workers_share_the_cores_and_the_gpus(monkeypatch):
    used = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: used[-1] if used else set(range(5)), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: used.append(cores), raising=False)
    monkeypatch.setattr("street_inference.flow.WORKERS", 5)
    assert workers.share_cores(1, 2) == 2
    assert used.pop() == [1, 3]
    assert workers.share_cores(6, 8) == 1
    assert used == [[1]]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [workers._device(place)["CUDA_VISIBLE_DEVICES"] for place in range(3)] == ["4", "7", "4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    assert workers._device(0) == {}


def test_rows_are_written_in_the_photographs_order(tmp_path):
    table = summary.Summary(tmp_path, summary.WHOLE, ["road"])
    for number in (2, 0, 0, 3, 1, 3):
        table.add(number, [f"{number}", *[""] * 8])
    table.close()
    assert [row["file"] for row in rows(tmp_path / "summary.csv")] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("paths", "words", "names"),
    [
        (["in/a.jpg", "in/b/a.png"], ["in"], ["a", "b/a"]),
        (["in/a.jpg", "in/a.png"], ["in"], ["a.jpg", "a.png"]),
        (["in/a.jpg", "in/b/c.png"], ["in/a.jpg", "in/b"], ["a", "b/c"]),
        (["in/A.jpg", "in/a.jpg"], ["in"], ["A.jpg", "a.jpg__2"]),
        (["x/a.jpg", "y/a.jpg"], ["x", "y"], ["x/a", "y/a"]),
    ],
)
def test_names_that_keep_folders(tmp_path, monkeypatch, paths, words, names):
    monkeypatch.chdir(tmp_path)
    for folder in ("in/b", "x", "y"):
        (tmp_path / folder).mkdir(parents=True)
    assert naming.folder_names(list(map(tmp_path.joinpath, paths)), words) == names
