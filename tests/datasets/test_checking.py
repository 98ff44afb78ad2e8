"""Every file is checked once, and what is remembered of sound ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from file_formats import (
    open_domain,
    photograph,
    refusal,
    section,
    truncate,
    write,
    write_gta5,
    write_index,
)

from ass_tf import datasets
from ass_tf.datasets import checking

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    ("file", "spoil", "reason"),
    [
        ("images/00002.png", truncate, "cannot be decoded"),
        ("labels/00002.png", truncate, "cannot be decoded"),
        ("images/00002.png", lambda path: path.write_bytes(b""), "cannot be decoded"),
        ("images/00002.png", lambda path: path.unlink(), "No such file"),
        ("images/00002.png", lambda path: write(path, np.ones((4, 8), np.float32), format="TIFF"), "floating-point"),
        ("labels/00002.png", lambda path: write_index(path, np.full((40, 75), 7)), "Received: 40 x 75."),
        ("labels/00002.png", lambda path: write_index(path, np.full((40, 80), 99)), "Received: [99]."),
        ("labels/00002.png", lambda path: write(path, np.full((40, 80), 999, np.uint16)), "Received: [999]."),
        ("labels/00002.png", lambda path: write(path, photograph((40, 80))), "ids, not colours. Received: mode RGB"),
        ("labels/00002.png", lambda path: write(path, np.zeros((40, 80), np.uint8), format="JPEG"), "Received: JPEG."),
    ],
)  # fmt: skip
def test_check_names_the_file_and_what_is_wrong(tmp_path, file, spoil, reason):
    domain = open_domain("gta5", write_gta5(tmp_path))
    spoil(tmp_path / file)
    message = refusal(datasets.check, {"source": domain})
    assert message.startswith(f"{tmp_path / file}: ")
    assert reason in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_label_that_lacks_a_few_rows_or_is_smaller_is_taken(tmp_path):
    root = write_gta5(tmp_path)
    write_index(root / "labels/00001.png", np.full((39, 80), 7))
    write_index(root / "labels/00002.png", np.full((20, 40), 7))
    assert sum(datasets.check({"source": open_domain("gta5", root)})["source"].sizes.values()) == 3


def test_check_lists_ten_files_and_counts_the_rest(tmp_path):
    domain = open_domain("gta5", write_gta5(tmp_path, 13, (4, 4)))
    for i in range(1, 13):
        truncate(tmp_path / "images" / f"{i:05d}.png")
    lines = refusal(datasets.check, {"source": domain}).splitlines()
    assert [Path(line.split(":")[0]).stem for line in lines[:10]] == [f"{i:05d}" for i in range(1, 11)]
    assert lines[10:] == ["and 2 more files."]


# What is remembered of good files


def count_decoded(monkeypatch):
    decoded = []
    read = checking.open_image
    monkeypatch.setattr(checking, "open_image", lambda path: decoded.append(path.stem) or read(path))
    return decoded


def test_good_files_are_decoded_again_only_when_they_change(tmp_path, monkeypatch):
    decoded = count_decoded(monkeypatch)
    domain = open_domain("gta5", write_gta5(tmp_path / "g"))
    truncate(tmp_path / "g/images/00003.png")
    for _ in range(2):  # the bad one each time
        refusal(datasets.check, {"source": domain})
    assert sorted(decoded) == ["00001", "00002", "00003", "00003"]
    write(tmp_path / "g/images/00003.png", photograph((40, 80)))
    write_index(tmp_path / "g/labels/00002.png", np.full((40, 80), 26))
    os.utime(tmp_path / "g/labels/00002.png", ns=(1, 1))
    decoded.clear()
    calls = []
    facts = datasets.check({"source": domain, "labelled": domain}, lambda *call: calls.append(call))
    assert sorted(decoded) == ["00002", "00003"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert facts["source"].sizes == facts["labelled"].sizes == {(40, 80): 3}
    assert facts["source"].pixels.tolist() == facts["labelled"].pixels.tolist()
    assert facts["source"].pixels[1].nonzero()[0].tolist() == [13]  # car
    assert facts["source"].pixels[1].sum() == 40 * 80
    decoded.clear()
    other = datasets.open_domain(("sky", "road"), section("gta5", tmp_path / "g"))
    datasets.check({"source": other})
    assert len(decoded) == 3  # another class map


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "\ud800"])
def test_broken_memory_is_ignored(tmp_path, cache, content):
    cache.parent.mkdir(parents=True)
    cache.write_text(content, errors="replace")
    datasets.check({"source": open_domain("gta5", write_gta5(tmp_path / "g", 1))})
    assert len(json.loads(cache.read_text())) in (1, 2)
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: [[], "?"] for key in known}))
    datasets.check({"source": open_domain("gta5", tmp_path / "g")})


@pytest.mark.parametrize(
    "change",
    [{"size": ["a", "b"]}, {"size": [40]}, {"pixels": [-5]}, {"pixels": [2**40]}, {"pixels": "12"}, {"stamp": 5},
     {"ignored": None}, {"day": "1"}],
)  # fmt: skip
def test_spoilt_entry_is_checked_again(tmp_path, cache, change):
    domain = open_domain("gta5", write_gta5(tmp_path / "g", 1))
    facts = datasets.check({"source": domain})["source"]
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: {**entry, **change} for key, entry in known.items()}))
    again = datasets.check({"source": domain})["source"]
    assert (again.sizes, again.pixels.tolist()) == (facts.sizes, facts.pixels.tolist())
    assert json.loads(cache.read_text()) == known


def test_entry_of_an_earlier_version_is_checked_again(tmp_path, cache, monkeypatch):
    domain = open_domain("gta5", write_gta5(tmp_path / "g", 1))
    datasets.check({"source": domain})
    known = json.loads(cache.read_text())
    earlier = {key: {k: v for k, v in entry.items() if k != "ignored"} for key, entry in known.items()}
    cache.write_text(json.dumps(earlier))
    decoded = count_decoded(monkeypatch)
    datasets.check({"source": domain})
    assert decoded == ["00001"]
    assert json.loads(cache.read_text()) == known


def test_processes_that_check_at_the_same_time_keep_what_the_other_found(tmp_path, cache):
    one, other = (open_domain("gta5", write_gta5(tmp_path / name, 2, (4, 8))) for name in "ab")

    def then(done, total):
        if done == 1:
            datasets.check({"source": other})

    datasets.check({"source": one}, then)
    remembered = {key.split("|")[0].removeprefix(str(tmp_path)) for key in json.loads(cache.read_text())}
    assert remembered == {f"/{name}/images/0000{i}.png" for name in "ab" for i in (1, 2)}


def test_ignored_pixels_are_counted(tmp_path):
    write_gta5(tmp_path, 2, (4, 8))
    write_index(tmp_path / "labels/00002.png", np.repeat([[7, 0, 34, 8]], 4, 0))  # half as large as its image
    write(tmp_path / "images/00002.png", photograph((8, 8)))
    for _ in range(2):  # decoded, then remembered
        facts = datasets.check({"source": open_domain("gta5", tmp_path)})["source"]
        assert (facts.ignored, facts.pixels.sum()) == (8, 32 + 8)


def test_memory_that_cannot_be_written_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    datasets.check({"source": open_domain("gta5", write_gta5(tmp_path / "g", 1))})


def test_labels_that_are_ignored_altogether_are_refused(tmp_path):
    write_gta5(tmp_path, 3, (4, 8))
    for label in (tmp_path / "labels").iterdir():
        write_index(label, np.zeros((4, 8)))
    for _ in range(2):  # decoded, then remembered
        with pytest.raises(datasets.DataError, match="source: every pixel of every label is ignored"):
            datasets.check({"source": open_domain("gta5", tmp_path)})
    write_index(tmp_path / "labels/00002.png", np.full((4, 8), 7))
    datasets.check({"source": open_domain("gta5", tmp_path)})


def test_files_that_were_not_asked_for_in_a_long_time_are_forgotten(tmp_path, cache, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(checking.time, "time", lambda: now[0])
    for name in "ab":
        write_gta5(tmp_path / name, 2, (4, 8))
        datasets.check({"source": open_domain("gta5", tmp_path / name)})
    now[0] += 60 * 86400
    datasets.check({"source": open_domain("gta5", tmp_path / "a")})
    now[0] += 60 * 86400
    write_gta5(tmp_path / "c", 1, (4, 8))
    datasets.check({"source": open_domain("gta5", tmp_path / "c")})
    remembered = {key.split("|")[0].removeprefix(str(tmp_path)) for key in json.loads(cache.read_text())}
    assert remembered == {"/a/images/00001.png", "/a/images/00002.png", "/c/images/00001.png"}
    assert [path.name for path in cache.parent.iterdir()] == ["checked.json"]
