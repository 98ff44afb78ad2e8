"""What goes wrong around many images: results of other settings, lists that are none, damaged tables, full disks."""

import csv
import subprocess
import sys

import exports
import odd_files
import pytest
from PIL import Image

from street_inference import command, flow, summary, workers

FULL = (  # for all but the first photographs
    "import sys; sys.path.insert(0, sys.argv[1]); from street_inference import command, drawing; saved = drawing.save\n"
    "def save(path, picture):\n"
    "    with drawing.replacing(path) as unfinished:\n"
    "        if path.name > '1':\n"
    "            raise OSError(28, 'No space left on device')\n"
    "        picture.save(unfinished, 'PNG')\n"
    "drawing.save = save; sys.exit(command.work())"
)


def infer(*words):
    return command.main([*map(str, words), "--outputs", "labels"])


def rows(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def results(out):
    """File -> what it shows."""
    return {path.name: Image.open(path).tobytes() for path in out.glob("*.png")}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Five photographs of 48 x 64."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(5):
        Image.fromarray(odd_files.photograph((48, 64), index)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def small(model, pictures, tmp_path_factory):
    """What they give at 24 x 32."""
    out = tmp_path_factory.mktemp("small")
    assert infer(model, pictures, "--out", out, "--max-side", 32) == 0
    return results(out)


def end_after(monkeypatch, count, how):
    """Has a call end when it has written some photographs, by an exception; SystemExit stands for a kill."""
    write, done = flow.write, []

    def written(*given):
        done.append(given)
        if len(done) > count:
            raise how
        return write(*given)

    monkeypatch.setattr(flow, "write", written)
    monkeypatch.setattr(flow, "WORKERS", 1)
    if how is SystemExit:
        monkeypatch.setattr(summary.Summary, "close", lambda self: self._stream.close())


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
def test_resumed_call_takes_no_results_of_the_settings_before(
    model, pictures, small, tmp_path, monkeypatch, count, how
):
    assert infer(model, pictures, "--out", tmp_path) == 0
    assert results(tmp_path) != small
    with monkeypatch.context() as ending:
        end_after(ending, count, how)
        if how is SystemExit:
            with pytest.raises(SystemExit):
                infer(model, pictures, "--out", tmp_path, "--max-side", 32)
        else:
            assert infer(model, pictures, "--out", tmp_path, "--max-side", 32) == 130
    assert summary.images.holds_results(tmp_path)
    assert infer(model, pictures, "--out", tmp_path, "--max-side", 32, "--resume") == 0
    assert results(tmp_path) == small


def test_tables_of_shards_of_the_settings_before_are_not_added_to(model, pictures, small, tmp_path):
    for shard in ("1/2", "2/2"):
        assert infer(model, pictures, "--out", tmp_path, "--shard", shard) == 0
    assert infer(model, pictures / "0.png", "--out", tmp_path, "--max-side", 32) == 0
    assert infer(model, pictures, "--out", tmp_path, "--max-side", 32, "--resume") == 0
    assert results(tmp_path) == small
    assert sorted(path.name for path in tmp_path.glob("*summary*")) == ["summary.csv"]


@pytest.mark.parametrize("killed", [False, True])
def test_results_of_unknown_settings_are_made_anew(model, pictures, small, tmp_path, monkeypatch, capsys, killed):
    assert infer(model, pictures, "--out", tmp_path) == 0
    (tmp_path / "inference.json").unlink()
    if killed:
        with monkeypatch.context() as ending:
            end_after(ending, 0, SystemExit)
            with pytest.raises(SystemExit):
                infer(model, pictures, "--out", tmp_path, "--max-side", 32, "--resume")
    assert infer(model, pictures, "--out", tmp_path, "--max-side", 32, "--resume") == 0
    assert results(tmp_path) == small
    assert "done before" not in capsys.readouterr().out
    assert infer(model, pictures, "--out", tmp_path, "--max-side", 32, "--resume") == 0
    assert "5 images in" in (out := capsys.readouterr().out)
    assert "(5 done before)" in out


def test_equal_settings_keep_the_rows_until_a_call_has_its_own(model, pictures, tmp_path, monkeypatch):
    assert infer(model, pictures, "--out", tmp_path) == 0
    with monkeypatch.context() as ending:
        end_after(ending, 0, KeyboardInterrupt)
        assert infer(model, pictures, "--out", tmp_path) == 130
    assert len(rows(tmp_path / "summary.csv")) == 5


def test_list_may_begin_with_a_byte_order_mark_and_holds_no_null_bytes(model, pictures, tmp_path, capsys):
    listed = tmp_path / "list.txt"
    listed.write_bytes(f"{pictures / '0.png'}\r\n".encode("utf-8-sig"))
    assert infer(model, "--images-from", listed, "--out", tmp_path / "out") == 0
    for content in (f"{pictures / '0.png'}\0{pictures / '1.png'}\0".encode(), "0.png\n".encode("utf-16")):
        listed.write_bytes(content)
        assert infer(model, "--images-from", listed, "--out", tmp_path / "out") == 2
        told = f"error: --images-from {listed}: must have a path on each line. It has null bytes.\n"
        assert capsys.readouterr().err.endswith(told)


def test_empty_name_is_no_folder(model, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(pictures)
    with pytest.raises(SystemExit):
        infer(model, "", "--out", tmp_path / "out")
    assert "argument IMAGES: a name must not be empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["\n", "a,b\n", "x" * 200_000 + "\n"])
def test_damaged_table_of_a_shard_is_named_and_its_shard_mends_it(model, pictures, tmp_path, capsys, damage):
    for shard in ("1/2", "2/2"):
        assert infer(model, pictures, "--out", tmp_path, "--shard", shard) == 0
    table = tmp_path / "summary-2-of-2.csv"
    table.write_text(table.read_text() + damage)
    assert command.main(["join", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(f"error: {table}: is damaged; run that shard with --resume.\n")
    assert infer(model, pictures, "--out", tmp_path, "--shard", "2/2", "--resume") == 0
    assert command.main(["join", str(tmp_path)]) == 0
    assert len(rows(tmp_path / "summary.csv")) == 5


def test_full_disk_ends_all_workers_with_one_line_that_names_the_file(model, pictures, tmp_path, monkeypatch, capfd):
    started, start = [], workers.Crew._start
    monkeypatch.setattr(workers, "ENTRY", FULL)
    monkeypatch.setattr(workers.Crew, "_start", lambda self, place: started.append(place) or start(self, place))
    assert infer(model, pictures, "--out", tmp_path, "--workers", 2) == 1
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "error" in line)
    assert line.startswith(f"error: {tmp_path}/")
    assert line.endswith("_labels.png: No space left on device.")
    assert len(started) == 2
    assert [row["name"] for row in rows(tmp_path / "summary.csv")] == ["0"]
    assert list(results(tmp_path)) == ["0_labels.png"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_table_that_cannot_be_written_is_named(model, pictures, tmp_path, workers):
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); "
        f"sys.path.insert(0, {str(exports.EXPORT)!r}); from street_inference import command; sys.exit(command.main())"
    )
    given = [model, pictures, "--out", tmp_path, "--outputs", "labels", "--workers", workers, "--max-side", "1"]
    words, env = [sys.executable, "-c", code, *map(str, given)], exports.uncounted()
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path / 'summary.csv'}: File too large."
