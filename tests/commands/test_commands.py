"""One name for all commands: what they are called, how soon they answer, and what they need to be installed."""

import importlib
import json
import subprocess
import sys

import pytest
import small_runs

import ass_tf
from ass_tf import report
from ass_tf.__main__ import COMMANDS, dispatch
from ass_tf.system import process

# What takes long to import, or is not there everywhere.
HEAVY = ("tensorflow", "keras", "onnx", "tf2onnx", "torch", "matplotlib", "jinja2", "tensorboard", "cityscapesscripts")


def call(*words):
    return subprocess.run(
        [sys.executable, "-m", "ass_tf", *map(str, words)], cwd=small_runs.ROOT, capture_output=True, text=True
    )


def imported_by(*words, cwd):
    """Status and stderr of a command, and which of the heavy libraries it has imported."""
    code = (
        "import json, sys; from ass_tf.__main__ import dispatch\n"
        f"try: status = dispatch({[str(word) for word in words]!r}, 'ass-tf')\n"
        "except SystemExit as end: status = end.code or 0\n"
        f"print(); print(json.dumps([status, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return [*json.loads(done.stdout.splitlines()[-1]), done.stderr]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_parser_that_bears_the_name_it_was_called_by(name, capsys):
    for prog in ("ass-tf", "python -m ass_tf"):
        with pytest.raises(SystemExit) as end:
            dispatch([name, "--help"], prog)
        assert end.value.code == 0
        assert " ".join(capsys.readouterr().out.split()).startswith(f"usage: {prog} {name} ")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "infer"])
def test_a_module_called_as_such_says_so(name, capsys):
    module = COMMANDS[name][0]
    with pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    called = f"usage: python -m {module.removesuffix('.__main__')} "
    assert " ".join(capsys.readouterr().out.split()).startswith(called)


@pytest.mark.parametrize("script", ["to_onnx", "to_saved_model", "bench", "infer_onnx"])
def test_a_script_called_as_such_says_so(script):
    words = [sys.executable, f"export/{script}.py", "--help"]
    done = subprocess.run(words, cwd=small_runs.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: python export/{script}.py ")


@pytest.mark.parametrize(
    "words",
    [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS), ["config", "gta_csa.json"]],
    ids=" ".join,
)
def test_help_and_settings_come_without_heavy_libraries(words, tmp_path):
    assert imported_by(*words, cwd=tmp_path) == [0, [], ""]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "--config", "missing/file.json"], "missing/file.json: No such file"),
        (["train", "--config", "gta_csa.json", "--set", "train.step=4"], "gta_csa.json: train.step is no setting"),
        (["train", "--config", "gta_csa.json", "--set", "train.steps=0"], "gta_csa.json: train.steps must "),
        (["sweep", "--config", "missing/file.json"], "missing/file.json: No such file"),
        (["datasets", "gta.json"], "gta.json: No such file"),
        (["trian", "--config", "gta_csa.json"], "trian is no command; the nearest is train. "),
        (["Export"], "Export is no command; the nearest is export. "),
        (["--verson"], "--verson is no command; "),
    ],
)
def test_what_is_refused_is_refused_without_heavy_libraries(words, text, tmp_path):
    status, heavy, errors = imported_by(*words, cwd=tmp_path)
    assert (status, heavy) == (2, [])
    (line,) = errors.splitlines()
    assert line.startswith(f"error: {text}")


def test_version_and_table_are_printed():
    assert call("--version").stdout == f"ass_tf {ass_tf.__version__}\n"
    done = call("--help")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[lines.index("commands:") + 1 :]] == list(COMMANDS)
    none = call()
    assert (none.returncode, none.stdout, none.stderr) == (2, "", done.stdout)


def test_the_exit_status_is_the_commands(tmp_path):
    done = call("report", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_report_without_its_packages_says_what_to_install(package, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert report.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: a report needs {package}: pip install 'ass_tf[report]'.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_command_without_what_all_need_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ass_tf.sweep", None)
    assert dispatch(["sweep", "--help"], "ass-tf") == 1
    assert capsys.readouterr().err == "error: sweep needs ass_tf.sweep: pip install ass_tf.\n"


def test_a_command_that_comes_to_need_tensorflow_says_so(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert dispatch(["train", "--config", str(file), "--run", str(tmp_path / "run")], "ass-tf") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: train needs tensorflow: pip install ass_tf."


def test_a_package_that_is_there_is_imported():
    assert process.require("json", "none", "a test") is json
