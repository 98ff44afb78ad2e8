"""Which images serve for what: labelled subsets, lists, and the command that shows them."""

import json
import subprocess
import sys
from pathlib import Path

import downloads
import numpy as np
import pytest
from file_formats import (
    CLASSES,
    names,
    open_domain,
    refusal,
    roles,
    target,
    truncate,
    write_gta5,
    write_index,
)

from ass_tf import datasets
from ass_tf.datasets import __main__ as datasets_command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("cache")


def few(labelled, seed=0, listed=None):
    return target("gta5", "-", labelled=labelled, labelled_seed=seed, labelled_list=listed)


def test_labelled_subsets_are_seeded_and_nested(tmp_path):
    domain = open_domain("gta5", write_gta5(tmp_path, 12, (1, 1)))
    draws = {(n, seed): names(datasets.labelled_subset(domain, few(n, seed))) for n in (1, 5, 8) for seed in (0, 1)}
    assert set(draws[1, 0]) < set(draws[5, 0]) < set(draws[8, 0])
    assert draws[5, 0] != draws[5, 1]
    assert draws[5, 0] == sorted(draws[5, 0])
    # The first five of `printf 0:00001 | sha256sum` and so on, sorted.
    assert draws[5, 0] == ["00003", "00005", "00008", "00010", "00012"]
    assert datasets.labelled_subset(domain, few("all", 0)).pairs == domain.pairs
    assert "from 1 to 12" in refusal(datasets.labelled_subset, domain, few(13, 0))


def test_list_file_wins(tmp_path):
    write_gta5(tmp_path / "g", 4, (1, 1))
    file = tmp_path / "list.txt"
    file.write_text("00003\n\n00001\n")
    domain = open_domain("gta5", tmp_path / "g")
    assert names(datasets.labelled_subset(domain, few(3, 0, str(file)))) == ["00001", "00003"]
    assert names(open_domain("gta5", tmp_path / "g", list=str(file))) == ["00001", "00003"]
    file.write_text("00001\n00009\n")
    assert refusal(datasets.labelled_subset, domain, few(3, 0, str(file))).startswith(f"{file}: ")
    assert "00009" in refusal(open_domain, "gta5", tmp_path / "g", list=str(file))
    assert "gone.txt" in refusal(open_domain, "gta5", tmp_path / "g", list=str(tmp_path / "gone.txt"))


def test_unlabelled_photographs_serve_as_unlabelled_target_only(tmp_path):
    write_gta5(tmp_path, 4, (1, 1))
    (tmp_path / "labels" / "00002.png").unlink()
    opened = roles(CLASSES, target("gta5", tmp_path, labelled=3))
    assert list(opened) == ["labelled", "unlabelled"]
    assert names(opened["labelled"]) == ["00001", "00003", "00004"]
    assert names(opened["unlabelled"]) == ["00001", "00002", "00003", "00004"]
    assert {pair.label for pair in opened["unlabelled"].pairs} == {None}
    assert datasets.check(opened)["unlabelled"].sizes == {(1, 1): 4}
    message = refusal(roles, CLASSES, target("gta5", tmp_path))
    assert str(tmp_path / "images" / "00002.png") in message
    listing = tmp_path / "list.txt"
    listing.write_text("00002")
    message = refusal(roles, CLASSES, target("gta5", tmp_path, labelled_list=str(listing)))
    assert message == (
        f"{tmp_path / 'images/00002.png'}: its label {tmp_path / 'labels/00002.png'} is missing; "
        "target.labelled_list must name images that have one."
    )
    for file in (tmp_path / "labels").iterdir():
        file.unlink()
    (tmp_path / "labels").rmdir()
    assert list(roles(CLASSES, target("gta5", tmp_path), ["unlabelled"])) == ["unlabelled"]


@pytest.fixture
def settings(tmp_path):
    write_gta5(tmp_path / "g", 4)
    target = {"dataset": "gta5", "root": str(tmp_path / "g"), "size": [32, 64], "labelled": 2}
    source = {key: target[key] for key in ("dataset", "root", "size")}
    model = {"backbone": "tiny", "weights": None}
    text = json.dumps({"method": "csa", "source": source, "target": target, "validation": source, "model": model})
    (tmp_path / "run.json").write_text(text)
    return tmp_path / "run.json"


def test_command_checks_and_describes_the_data(settings):
    command = [sys.executable, "-m", "ass_tf.datasets", str(settings)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["unlabelled", "4", "0", "40", "x", "80:", "4"] in lines
    assert ["labelled", "2", "2", "40", "x", "80:", "2"] in lines
    assert ["share", "of", "pixels", "source", "labelled", "validation"] in lines
    assert ["road", "25.00%", *next(line for line in lines if line[:1] == ["road"])[2:]] in lines  # raw ids 7 to 10
    assert "4 of 4" in done.stderr


@pytest.mark.parametrize(("role", "count"), [("source", 4), ("target", 4), ("labelled", 2), ("validation", 4)])
def test_command_lists_names_that_serve_as_a_list_file(settings, capsys, tmp_path, role, count):
    assert datasets_command.main([str(settings), "--list", role]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == count
    (tmp_path / "list.txt").write_text(printed)
    assert names(open_domain("gta5", tmp_path / "g", list=str(tmp_path / "list.txt"))) == printed.split()


def test_command_counts_every_label(settings, capsys, tmp_path):
    write_gta5(tmp_path / "g", 101, (4, 4))
    for number in range(1, 102):
        write_index(tmp_path / f"g/labels/{number:05d}.png", np.full((4, 4), 7 if number != 50 else 26))
    assert datasets_command.main([str(settings)]) == 0
    shares = {line[0]: line[1:] for line in map(str.split, capsys.readouterr().out.splitlines()) if line}
    assert (shares["car"][0], shares["road"][0], shares["(ignored)"][0]) == ("0.99%", "99.01%", "0.00%")


def test_images_that_are_validated_on_and_trained_on_are_counted(settings, capsys, tmp_path):
    (tmp_path / "v.txt").write_text("00001\n00004\n")
    (tmp_path / "t.txt").write_text("00002\n00003\n")
    lists = {name: str(tmp_path / f"{name}.txt") for name in "vt"}
    apart = ["--set", f"validation.list={lists['v']}", f"target.list={lists['t']}", f"source.list={lists['t']}"]
    assert datasets_command.main([str(settings), *apart]) == 0
    assert "validation: " not in capsys.readouterr().out
    assert datasets_command.main([str(settings), *apart[:-1], f"source.root={tmp_path}/./g"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("note: validation: 2"))
    assert line == "note: validation: 2 of its 2 images are trained on, too, in source."


def test_command_reports_errors_by_line_and_status(settings, capsys, tmp_path):
    assert datasets_command.main([str(settings), "--set", "source.sise=[32,32]"]) == 2
    assert datasets_command.main([str(settings), "--set", "validation=null", "--list", "validation"]) == 1
    assert datasets_command.main([str(settings), "--set", f"source.root={tmp_path}/gone"]) == 1
    truncate(tmp_path / "g/images/00001.png")
    truncate(tmp_path / "g/images/00004.png")
    capsys.readouterr()
    assert datasets_command.main([str(settings)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [line.split(":")[1].strip()[-9:] for line in errors] == ["00001.png", "00004.png"]


def test_data_sets_as_they_are_distributed_are_found_and_sound(tmp_path):
    camvid = open_domain("camvid", downloads.write_camvid(tmp_path / "camvid", 5), split="val")
    photographs = datasets.labelled_subset(camvid, few(3))
    (tmp_path / "map.json").write_text(json.dumps(downloads.CARLA_MAPPING))
    carla = open_domain("folder", downloads.write_carla(tmp_path / "carla", 4), mapping=str(tmp_path / "map.json"))
    drawn = datasets.labelled_subset(carla, few(3, 0))
    assert (len(camvid.pairs), len(carla.pairs)) == (5, 4)
    facts = datasets.check({"validation": photographs, "source": drawn})
    sizes = {role: found.sizes for role, found in facts.items()}
    assert sizes == {"validation": {(360, 480): 3}, "source": {(498, 800): 3}}
