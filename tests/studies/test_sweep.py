"""Sweeps: which runs there are, that each is made once, and what becomes of kills and failures."""

import json
import os
import random
import signal
import time

import pytest
import small_runs
from sweeps import METHODS, completed, start
from sweeps import plan as plan  # a fixture
from sweeps import trainer as trainer  # a fixture

from ass_tf import sweep
from ass_tf.studies import cells
from ass_tf.studies import plan as plans
from ass_tf.system import locks


def test_cells_are_the_product_with_one_seed_for_weights_and_draw(plan):
    file = plan(set={"train.steps": 7}, variants={"a": {"losses.lambda_sadv": 0.1}, "b": {"losses.lambda_sadv": 1}})
    cells = plans.cells_of(file, ["optimiser.lr=0.5"])
    assert len({cell.name for cell in cells}) == len(cells) == 2 * 2 * 2 * 2
    cell = next(cell for cell in cells if cell.name == "csa-b-all-1")
    found = cell.settings
    assert (found.method, found.target.labelled, found.seed, found.target.labelled_seed) == ("csa", "all", 1, 1)
    assert (found.train.steps, found.losses.lambda_sadv, found.optimiser.lr) == (7, 1.0, 0.5)
    assert [cell.seed for cell in cells] == [0] * 8 + [1] * 8


@pytest.mark.parametrize(("name", "count"), [("table1", 7 * 4 - 3), ("table2", 4 * 2 + 4), ("table3", 7 * 3 - 2)])
def test_the_papers_tables_have_all_their_cells(name, count):
    # Of tables 1 and 3 the column without labels has GA alone.
    cells = plans.cells_of(small_runs.ROOT / f"configs/{name}.json")
    assert len({cell.name for cell in cells}) == len(cells) == count
    assert {cell.settings.train.steps for cell in cells} == {150000}


@pytest.mark.parametrize(("name", "count"), [("carla_camvid", 5 * 4 * 3), ("demo_table", 5 * 2 * 2)])
def test_our_own_studies_differ_from_run_to_run_in_nothing_but_what_they_compare(name, count):
    cells = plans.cells_of(small_runs.ROOT / f"configs/{name}.json")
    assert len({cell.name for cell in cells}) == len(cells) == count
    assert {cell.settings.method for cell in cells} == {"oracle", "joint", "ga", "fcsa", "csa"}
    alike = {"method": "csa", "seed": 0}
    plain = [{**cell.settings.model_dump(), **alike} for cell in cells]
    for settings in plain:
        settings["target"].update(labelled=1, labelled_seed=0)
        settings["losses"].update(lambda_sadv=None)
    assert all(settings == plain[0] for settings in plain)


def test_a_method_may_state_settings_of_its_own(plan):
    methods = {"csa": "csa.json", "half": {"file": "csa.json", "set": {"losses.lambda_sadv": 0.5, "train.steps": 9}}}
    cells = plans.cells_of(plan(methods=methods, labelled=[2], seeds=[0], set={"train.steps": 7}))
    assert {c.name: (c.settings.train.steps, c.settings.losses.lambda_sadv) for c in cells} == {
        "csa-2-0": (7, None),
        "half-2-0": (9, 0.5),
    }


def test_no_labels_are_left_out_where_a_method_needs_some(plan):
    cells = plans.cells_of(plan(methods={**METHODS, "joint": "joint.json"}, labelled=[0, 2], seeds=[0]))
    assert [cell.name for cell in cells] == ["joint-0-0", "oracle-2-0", "csa-2-0", "joint-2-0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {}}, "methods must"),
        ({"methods": {"a/b": "csa.json"}}, "methods"),
        ({"labelled": [-1]}, "labelled"),
        ({"seed": [1]}, "seed is no setting; the nearest is seeds"),
        ({"set": {"train.step": 1}}, "train.step is no setting"),
        ({"methods": {"a": "no.json"}}, "no.json: No such file"),
        ({"set": {"seed": 7}}, "seed of oracle-2-0 is the sweep's own, 0. Received: 7."),
        ({"variants": {"a": {"target.labelled": 9}}}, "target.labelled of oracle-a-2-0"),
        ({"set": {"method": "ga"}}, "method of oracle-2-0 is the sweep's own"),
    ],
)
def test_a_plan_that_cannot_be_used_is_told_in_one_line_before_anything_runs(plan, tmp_path, capsys, changes, message):
    assert sweep.main(["--config", str(plan(**changes)), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["seed=7", "target.labelled=9", "target.labelled_seed=3", "method=ga"])
def test_what_names_a_run_cannot_be_changed_for_all(plan, tmp_path, capsys, word):
    assert sweep.main(["--config", str(plan()), "--out", str(tmp_path / "out"), "--set", word]) == 2
    assert f"{word.partition('=')[0]} of oracle-2-0 is the sweep's own" in capsys.readouterr().err


def test_what_is_missing_runs_and_what_is_done_does_not(plan, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--config", str(plan(labelled=[2], seeds=[0])), "--out", str(out)]
    assert sweep.main(words) == 0
    expected = sorted(cell.name for cell in plans.cells_of(tmp_path / "plan.json"))
    assert completed(out) == expected
    printed = capsys.readouterr().out
    assert "csa-2-0: 1 of 2 done, about 0:00 h of computing left" in printed
    assert sweep.main(["--config", str(plan(seeds=[0])), "--out", str(out)]) == 0
    assert len(completed(out)) == 4  # two were missing
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-3:]] == [
        ["2", "all"],
        ["oracle", "30.00", "30.00"],
        ["csa", "34.00", "34.00"],
    ]


def test_the_time_left_goes_by_what_runs_mostly_take(plan, tmp_path, capsys):
    given = {"labelled": [2], "methods": {"oracle": "oracle.json"}}
    words = ["--out", str(tmp_path / "out"), "--config"]
    assert sweep.main([*words, str(plan(seeds=[0, 1, 2], **given))]) == 0
    for seed, minutes in enumerate((10, 12, 100)):  # one was held up
        (tmp_path / f"out/status/oracle-2-{seed}.json").write_text(json.dumps({"minutes": minutes}))
    capsys.readouterr()
    assert sweep.main([*words, str(plan(seeds=[0, 1, 2, 3, 4], **given)), "--processes", "2"]) == 0
    assert capsys.readouterr().out.startswith("3 of 5 done, about 0:24 h of computing left, 0:12 h in 2 processes\n")


def test_a_failed_run_is_shown_with_its_reason_and_the_rest_goes_on(plan, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--config", str(plan(labelled=[2], seeds=[13, 1])), "--out", str(out)]
    assert sweep.main(words) == 1
    assert completed(out) == ["csa-2-1", "oracle-2-1"]
    printed = capsys.readouterr().out
    assert printed.count("failed: seed must not be 13.") == 2
    assert "31.00 (1/2)" in printed
    assert sweep.main([*words, "--list"]) == 0
    assert capsys.readouterr().out.count("failed: seed must not be 13.") == 2


def test_of_several_errors_the_first_is_the_reason():
    printed = "warming up\nerror: a.png: no such file.\nerror: and 90 more files.\n"
    assert cells._reason(1, printed) == "a.png: no such file."
    assert cells._reason(1, "Traceback\n\nKeyError: 3\n\n") == "KeyError: 3"
    assert cells._reason(1, "") == "it printed nothing"
    assert cells._reason(-9, printed) == cells._reason(137, printed) == "ended by signal 9"


def test_a_run_without_validation_is_done_and_has_no_score(plan, tmp_path, capsys):
    words = ["--config", str(plan(labelled=[2], seeds=[0])), "--out", str(tmp_path / "out")]
    assert sweep.main([*words, "--set", "validation=null"]) == 0
    printed = capsys.readouterr().out
    assert "csa-2-0: done, without a score" in printed
    assert printed.splitlines()[-1].split() == ["csa", "-"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_that_somebody_stops_is_noted_and_the_rest_goes_on(plan, tmp_path, processes):
    out = tmp_path / "out"
    process = start(plan(labelled=[2]), out, "--processes", processes)
    small_runs.wait_for(lambda: (out / "oracle-2-0/pid").exists(), process)
    os.kill(int((out / "oracle-2-0/pid").read_text()), signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "oracle-2-0: failed: ended by signal 15" in printed
    assert completed(out) == ["csa-2-0", "csa-2-1", "oracle-2-1"]


def test_runs_of_other_settings_are_not_mixed_in(plan, tmp_path, capsys):
    words = ["--config", str(plan(labelled=[2], seeds=[0])), "--out", str(tmp_path / "out")]
    assert sweep.main(words) == 0
    assert sweep.main([*words, "--set", "optimiser.lr=0.5"]) == 2
    assert "holds a run of other settings" in capsys.readouterr().err


def test_asked_to_stop_it_stops_the_run_and_no_further_one_begins(plan, tmp_path):
    out = tmp_path / "out"
    process = start(plan(), out)
    small_runs.wait_for(lambda: (out / "oracle-2-0/config.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert len(list(out.glob("*/config.json"))) == 1, printed


def test_several_processes_share_the_runs(plan, tmp_path):
    out = tmp_path / "out"
    process = start(plan(), out, "--processes", "3")
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert completed(out) == sorted(cell.name for cell in plans.cells_of(tmp_path / "plan.json"))
    assert not (out / "clash.log").exists()
    assert printed.count("mIoU of the last snapshot") == 1
    cores = sorted(os.sched_getaffinity(0))
    shares = [str(cores[i % len(cores) :: 3]) for i in range(3)]
    assert {(out / name / "cores").read_text() for name in completed(out)} <= set(shares)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_asked_to_stop_all_processes_stop(plan, tmp_path, number):
    out = tmp_path / "out"
    process = start(plan(), out, "--processes", "2")
    small_runs.wait_for(lambda: len(list(out.glob("*/config.json"))) == 2, process)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # Ctrl-C reaches the whole group
    process.communicate(timeout=30)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    time.sleep(1.5)
    assert len(list(out.glob("*/config.json"))) == 2


@pytest.mark.parametrize("words", [["--processes", "0"], ["--processes", "two"]])
def test_a_number_of_processes_that_cannot_be_is_refused(plan, tmp_path, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        sweep.main(["--config", str(plan()), "--out", str(tmp_path / "out"), *words])
    assert "must be a whole number from 1 to 256" in capsys.readouterr().err


@pytest.mark.slow
def test_kills_and_company_leave_every_run_made_once(plan, tmp_path):
    out, rng = tmp_path / "out", random.Random(0)
    file = plan(methods={**METHODS, "joint": "joint.json"}, labelled=[1, 2, "all"], seeds=[0, 1])
    for _ in range(10):
        pair = [start(file, out), start(file, out)]
        time.sleep(rng.uniform(1.5, 4.0))
        pair[rng.randrange(2)].kill()
        time.sleep(rng.uniform(0.0, 0.5))
        for process in pair:
            process.kill()
            process.communicate()
    pair = [start(file, out), start(file, out)]
    for process in pair:
        printed, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    names = sorted(cell.name for cell in plans.cells_of(file))
    assert completed(out) == names
    assert not (out / "clash.log").exists()
    assert printed.count("31.50") == 0  # joint has 32.50
    assert printed.count("32.50") == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sweep.json", "{", "no valid JSON"),
        ("sweep.json", "{}", "the file must hold a JSON list. Received: {}."),
        ("sweep.json", '[{"name": "x"}]', "each entry must have name, method, variant, labelled, seed"),
        ("csa-2-0/result.json", "", "no valid JSON"),
        ("csa-2-0/result.json", '{"last": {"miou": "good"}}', "last.miou must be a number. Received: good."),
        ("csa-2-0/config.json", "[]", "the file must hold a JSON object. Received: []."),
    ],
)
def test_damaged_file_of_a_sweep_is_named_in_one_line(plan, tmp_path, capsys, name, content, message):
    words = ["--config", str(plan(seeds=[0], labelled=[2])), "--out", str(tmp_path / "out")]
    assert sweep.main(words) == 0
    (tmp_path / "out" / name).write_text(content)
    before = small_runs.content(tmp_path / "out")
    capsys.readouterr()
    assert sweep.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path / 'out' / name}: ")
    assert message in err
    assert err.count("\n") == 1
    assert {k: v for k, v in small_runs.content(tmp_path / "out").items() if k != "sweep.json"} == {
        k: v for k, v in before.items() if k != "sweep.json"
    }


def test_damaged_note_of_a_run_is_no_hindrance(plan, tmp_path):
    words = ["--config", str(plan(seeds=[0], labelled=[2])), "--out", str(tmp_path / "out")]
    assert sweep.main(words) == 0
    (tmp_path / "out/csa-2-0/result.json").unlink()
    (tmp_path / "out/status/csa-2-0.json").write_text("{")
    assert sweep.main(words) == 0


def test_locks_that_may_not_hold_are_told_when_a_sweep_starts(plan, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "mount_of", lambda folder: ("fuse.sshfs", ["rw"]))
    assert sweep.main(["--config", str(plan(seeds=[0], labelled=[2])), "--out", str(tmp_path / "out")]) == 0
    told = f"note: file locks in {tmp_path / 'out'} (fuse.sshfs) may hold on this machine only."
    assert told in capsys.readouterr().out.splitlines()


def test_maps_of_a_plan_are_relative_to_it(plan, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/m.json").write_text("{}")
    changes = {"source.dataset": "folder", "source.mapping": "maps/m.json"}
    cells_of = plans.cells_of(plan(seeds=[0], labelled=[2], set=changes))
    assert {cell.settings.source.mapping for cell in cells_of} == {str(tmp_path / "maps/m.json")}
