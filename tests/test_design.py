"""Rules that the tree keeps: which folder may import which, and what no file holds."""

import ast
import collections
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ass_tf"
# Folders and files at the top, from the bottom up: what stands in a row imports only from rows above it, or its own.
ROWS = (
    {"system", "labels"},
    {"config"},
    {"datasets", "streets", "models"},
    {"weights", "scoring", "annotations"},
    {"methods"},
    {"runs"},
    {"studies", "export"},
    {"commands"},
)
FILES = sorted(PACKAGE.rglob("*.py"))
STANDALONE = sorted((ROOT / "export/street_inference").glob("*.py"))
LAUNCHERS = sorted((ROOT / "export").glob("*.py"))
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}
WITHOUT_TENSORFLOW = tuple(
    f"ass_tf.{name}" for name in ("annotations", "config", "labels", "streets", "studies", "system")
)
LONGEST = 300  # lines
MOST = 12  # files in a folder


def place_of(module):
    """Folder of a module within the package; `commands` of what has a command line only."""
    parts = module.split(".")
    if len(parts) == 1:
        return "system"  # the version
    return "commands" if parts[-1] == "__main__" or (len(parts) == 2 and parts[1] not in folders()) else parts[1]


def folders():
    return {"labels", *(file.parent.name for file in FILES if file.parent != PACKAGE)}


def rank(place):
    return next(rank for rank, row in enumerate(ROWS) if place in row)


@functools.cache
def tree_of(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(tree):
    """Dotted names of what a syntax tree imports, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def ours(module):
    """Modules of the package that one imports."""
    return {name for name in imported(tree_of(module)) if name in MODULES} - {"ass_tf", module}


def frameworks(module):
    return {name for name in imported(tree_of(module)) if name.split(".")[0] in ("tensorflow", "keras", "tensorboard")}


def arrows():
    return [(module, other) for module in MODULES for other in ours(module)]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_place(module):
    assert rank(place_of(module)) in range(len(ROWS))


def test_imports_point_down_by_folder():
    up = [
        (one, other)
        for one, other in arrows()
        if place_of(one) != place_of(other) and rank(place_of(one)) <= rank(place_of(other))
    ]
    assert sorted(up) == []


def test_no_import_leads_back():
    left = {module: ours(module) - {module.rpartition(".")[0]} for module in MODULES}
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_imports_of_our_own_modules_are_absolute():
    assert [(module, name) for module in MODULES for name in imported(tree_of(module)) if name.startswith(".")] == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(WITHOUT_TENSORFLOW)])
def test_modules_for_plain_values_and_files_import_no_tensorflow(module):
    assert frameworks(module) == set()


def test_command_lines_answer_without_tensorflow():
    commands = [module for module in MODULES if place_of(module) == "commands"]
    code = f"import sys; import {', '.join(commands)}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("file", [*FILES, *STANDALONE, *LAUNCHERS], ids=lambda file: str(file.relative_to(ROOT)))
def test_file_is_short_says_what_it_does_and_asserts_nothing(file):
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(tree)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []


def test_no_file_of_tests_is_long():
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in ROOT.glob("tests/**/*.py")}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_files_of_tests_have_names_of_their_own():
    names = collections.Counter(file.name for file in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []  # pytest imports them without their folders


def test_folders_are_small():
    count = {folder: len(list(folder.glob("*.py"))) for folder in {file.parent for file in FILES}}
    assert {folder.name: files for folder, files in count.items() if files > MOST} == {}
    assert len({file.parent for file in FILES if file.parent.parent == PACKAGE}) <= MOST


def test_no_file_is_a_drawer_for_all_things():
    stems = {file.stem for file in FILES}
    assert stems & {"utils", "common", "helpers", "misc"} == set()
    assert [stem for stem in stems if stem.startswith("base")] == []


@pytest.mark.parametrize("file", [ROOT / "export/infer_onnx.py", *STANDALONE], ids=lambda file: file.stem)
def test_what_leaves_the_laboratory_for_inference_imports_nothing_of_ours(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    libraries = {module.split(".")[0] for module in imported(tree)} - set(sys.stdlib_module_names)
    assert libraries <= {"numpy", "PIL", "onnxruntime", "street_inference"}


def test_a_checkout_installed_before_the_folder_of_inference_was_there_still_works(tmp_path):
    """Only the package itself is found, as by the editable installation of version 0.1.0."""
    (tmp_path / "ass_tf").symlink_to(PACKAGE)
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "import importlib.util, ass_tf.datasets, street_inference; print(street_inference.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("export/street_inference/__init__.py")
