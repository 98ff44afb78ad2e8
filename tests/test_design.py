"""Rules that the tree keeps: which file may import which, and what no file holds."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ass_tf"
LAYERS = (
    {
        *("storage", "locks", "terminal", "process", "paper", "config", "schema", "labels", "files", "layouts"),
        *("torch_files", "torch_layout"),
    },
    {"datasets", "streets", "deeplab", "discriminators", "losses", "metrics", "optimisers", "diagnosis", "alignment"},
    {"adversary", "pipeline", "visualise", "scoring", "journal", "serving", "milestones", "charts"},
    {"run_folder", "checkpoint", "session", "train", "evaluate", "adabn", "trained", "weights", "results", "plans"},
    {"demo", "cells", "sweep", "tables"},
    {"report"},
)
FILES = sorted(PACKAGE.glob("*.py"))
STANDALONE = sorted((ROOT / "export/street_inference").glob("*.py"))
EXPORT = [*sorted((ROOT / "export").glob("*.py")), *STANDALONE]
MODULES = [file.stem for file in FILES if file.stem != "__init__"]
LONGEST = 330  # lines


def is_street(module):
    return module.startswith(("streets", "street_"))


def rank(module):
    """Layer of a module, from 0 at the bottom."""
    module = "streets" if is_street(module) else module
    return {name: rank for rank, layer in enumerate(LAYERS) for name in layer}[module]


@functools.cache
def tree_of(module):
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imported(tree):
    """Dotted names of what a syntax tree imports, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def ours(tree):
    """Modules of the package that a syntax tree imports."""
    parts = [name.split(".") for name in imported(tree)]
    return {part[1] for part in parts if part[0] == "ass_tf" and len(part) > 1 and part[1] in MODULES}


def frameworks(tree):
    return {name for name in imported(tree) if name.split(".")[0] in ("tensorflow", "keras", "tensorboard")}


def of_datasets_command():
    """What `datasets.main`, a command line in a lower layer, imports itself."""
    main = next(n for n in tree_of("datasets").body if isinstance(n, ast.FunctionDef) and n.name == "main")
    return ours(main)


def edges():
    """(importer, imported) pairs, without the one exception: the command line of `datasets` reads settings."""
    found = {(module, other) for module in MODULES for other in ours(tree_of(module))}
    rest = ast.Module([node for node in tree_of("datasets").body if getattr(node, "name", "") != "main"], [])
    if "config" in of_datasets_command() and "config" not in ours(rest):
        found.discard(("datasets", "config"))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_layer(module):
    assert rank(module) in range(len(LAYERS))


def test_imports_point_down():
    assert sorted((a, b) for a, b in edges() if rank(a) < rank(b)) == []


def test_modules_of_layer_1_do_not_import_each_other():
    beside = [(a, b) for a, b in edges() if rank(a) == rank(b) == 1 and not (is_street(a) and is_street(b))]
    assert sorted(beside) == []


def test_no_import_leads_back():
    left = {module: {b for a, b in edges() if a == module} for module in MODULES}
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_imports_of_our_own_modules_are_absolute():
    relative = [(module, name) for module in MODULES for name in imported(tree_of(module)) if name.startswith(".")]
    assert relative == []


def test_only_layers_3_and_4_see_settings():
    assert sorted(a for a, b in edges() - {("config", "schema")} if b in ("config", "schema") and rank(a) < 3) == []


@pytest.mark.parametrize(
    "module",
    [
        "storage",
        "locks",
        "run_folder",
        "terminal",
        "process",
        "config",
        "schema",
        "labels",
        "files",
        "torch_layout",
        "datasets",
        *(m for m in MODULES if is_street(m)),
        "metrics",
        "alignment",
    ],
)
def test_modules_for_plain_values_and_files_import_no_tensorflow(module):
    assert frameworks(tree_of(module)) == set()


def test_command_lines_answer_without_tensorflow():
    names = "config, datasets, streets, train, evaluate, weights"
    code = f"import sys; from ass_tf import {names}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("module", MODULES)
def test_package_holds_no_assert(module):
    assert [node.lineno for node in ast.walk(tree_of(module)) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("module", MODULES)
def test_file_is_short(module):
    length = len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_module_says_what_it_does(file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_no_file_is_a_drawer_for_all_things():
    assert [m for m in MODULES if m in ("utils", "common", "helpers", "misc") or m.startswith("base")] == []


@pytest.mark.parametrize("file", [ROOT / "export/infer_onnx.py", *STANDALONE], ids=lambda file: file.stem)
def test_what_leaves_the_laboratory_for_inference_imports_nothing_of_ours(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    libraries = {module.split(".")[0] for module in imported(tree)} - set(sys.stdlib_module_names)
    assert libraries <= {"numpy", "PIL", "onnxruntime", "street_inference"}


@pytest.mark.parametrize("file", EXPORT, ids=lambda file: file.stem)
def test_commands_of_export_hold_to_the_same_rules(file):
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(tree)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []
    assert ours(tree) & {"run_folder", "checkpoint", "session", "train", "evaluate", "demo"} == set()


def test_a_checkout_installed_before_the_folder_of_inference_was_there_still_works(tmp_path):
    """Only the package itself is found, as by the editable installation of version 0.1.0."""
    (tmp_path / "ass_tf").symlink_to(PACKAGE)
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "import importlib.util, ass_tf.files, street_inference; print(street_inference.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("export/street_inference/__init__.py")
