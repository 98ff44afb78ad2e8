"""The documents: every command parses, links lead somewhere, the README is short, and the settings page is current."""

import argparse
import contextlib
import importlib
import json
import re
import shlex

import pytest
import small_runs
from test_design import ROWS

import ass_tf.__main__
from ass_tf import config
from ass_tf.config import page

ROOT = small_runs.ROOT
README = ROOT / "README.md"
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
LONGEST, README_LINES, README_WIDTH = 119, 150, 110

SUBCOMMANDS = {name: module for name, (module, _) in ass_tf.__main__.COMMANDS.items()}
SCRIPTS = {
    "export/to_onnx.py": "ass_tf.export.to_onnx",
    "export/to_saved_model.py": "ass_tf.export.to_saved_model",
    "export/infer_onnx.py": "street_inference.command",
    "export/bench.py": "ass_tf.export.bench",
    "infer.pyz": "street_inference.command",
}
MODULES = {
    **{f"ass_tf.{name}": module for name, module in SUBCOMMANDS.items() if module.startswith(f"ass_tf.{name}")},
    "ass_tf.export.to_onnx": "ass_tf.export.to_onnx",
    "ass_tf.export.to_saved_model": "ass_tf.export.to_saved_model",
    "street_inference": "street_inference.command",
}
OTHERS = ("pip", "docker", "find", "python3 -m venv", "python3.11 -m venv")  # programs that are not ours


class Parsed(Exception):
    """The arguments were understood."""


def blocks(document, *languages):
    """Text of the fenced blocks of a document in one of some languages."""
    found = re.findall(r"^ *```(\w+)\n(.*?)^ *```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def command_lines():
    """(document, words) of every command in the documents' shell blocks."""
    for document in DOCUMENTS:
        for text in blocks(document, "sh", "bash"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words:
                    end = next((i for i, word in enumerate(words) if word in ("&&", ";", "|", ">")), len(words))
                    if words[:end]:
                        yield document, words[:end]
                    words = [] if words[end : end + 1] == [">"] else words[end + 1 :]


def module_of(words):
    """Module of one of our commands and the arguments that it gets; None for another program."""
    program, *rest = words
    if program == "ass-tf" and rest:
        return SUBCOMMANDS[rest[0]], rest[1:]
    if program == "ass-tf-infer":
        return SUBCOMMANDS["infer"], rest
    if re.fullmatch(r"(.*/)?python[\d.]*", program):
        if rest[0] == "-m" and rest[1] in MODULES:
            return MODULES[rest[1]], rest[2:]
        if rest[0] in SCRIPTS:
            return SCRIPTS[rest[0]], rest[1:]
    return None


@pytest.fixture
def parse(monkeypatch, capsys):
    """Runs the parser of a command, and nothing behind it."""
    whole = argparse.ArgumentParser.parse_args

    def stop_after(*arguments):
        whole(*arguments)
        raise Parsed

    def run(module, words):
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop_after)
        try:
            importlib.import_module(module).main(words)
        except Parsed:
            return None
        except SystemExit:
            return capsys.readouterr().err
        pytest.fail(f"{module} parses no arguments")

    return run


COMMANDS = list(command_lines())


@pytest.mark.parametrize(("document", "words"), COMMANDS, ids=[f"{d.stem}: {' '.join(w)}" for d, w in COMMANDS])
def test_command_is_understood(document, words, parse):
    if words[0] == "make":
        assert words[1] in targets()
    elif (found := module_of(words)) is not None:
        assert parse(*found) is None
    elif words[0] == "python":
        assert words[1].startswith("-m") or (ROOT / words[1]).is_file()
    elif words[0] != ".":
        assert " ".join(words).startswith(OTHERS) or words[0].endswith("/pip"), f"{document.name}: what is {words[0]}?"


def targets():
    found = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return set(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_commands_in_a_sentence_exist_with_their_options(document, monkeypatch):
    outside = re.sub(r"^ *```.*?^ *```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for text in re.findall(r"`([^`]+)`", outside):
        text = " ".join(text.split())
        if target := re.match(r"make ([\w.-]+)", text):
            wrong += [text] if target[1] not in targets() else []
        if (
            text.startswith(("ass-tf ", "ass-tf-infer ", "python -m ass_tf.", "python export/"))
            and "COMMAND" not in text
            and text not in ("ass-tf --version", "ass-tf --help")
        ):
            try:
                found = module_of(text.split())
            except KeyError:
                found = None
            known = options_of(found[0], monkeypatch) if found else ()
            wrong += [text] if not found or set(re.findall(r"--[\w-]+", text)) - set(known) else []
    assert wrong == []


def options_of(module, monkeypatch):
    """Names of a command's options."""
    known = []

    def stop(parser, *_):
        known.extend(name for action in parser._actions for name in action.option_strings)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with contextlib.suppress(Parsed):
            importlib.import_module(module).main([])
    return known


def test_settings_in_sentences_are_settings():
    """`section.key`, with or without a value."""
    schema = config.Config.model_fields
    sections = {name: page.section_of(field.annotation) for name, field in schema.items()}
    known = {f"{name}.{key}" for name, section in sections.items() if section for key in section.model_fields}
    for document in DOCUMENTS:
        for text in re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8")):
            key = re.match(r"(?:--set )?([a-z]+\.[a-z_0-9]+)(?=$|=)", text)
            if key and sections.get(key[1].partition(".")[0]) and not key[1].endswith((".py", ".onnx")):
                assert key[1] in known, f"{document.name}: {text}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_links_lead_to_files_and_headings(document):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        file = (document.parent / name).resolve() if name else document
        inside = file.exists() and file.is_relative_to(ROOT)
        if not inside or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def anchors(document):
    """Names of a document's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme():
    reached, left = set(), [README]
    while left:
        document = left.pop()
        if document not in reached:
            reached.add(document)
            links = re.findall(r"\]\(([^)#\s]+\.md)", document.read_text(encoding="utf-8"))
            left += [file for link in links if (file := (document.parent / link).resolve()).exists()]
    assert set(DOCUMENTS) - reached == set()


def test_readme_is_short():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    assert [line for line in lines if len(line) > README_WIDTH] == []


def test_first_commands_of_the_readme_are_those_of_ci():
    first = [words for document, words in COMMANDS if document == README][:2]
    assert first == [["make", "demo"], ["make", "test"]]
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert {"make demo", "make test"} <= set(ci)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_lines_of_sentences_are_short(document):
    if document.stem == "CHANGELOG":
        return
    lines = document.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > LONGEST and not line.startswith("|")] == []


def test_nothing_that_a_user_reads_names_a_place_of_ours():
    files = [*DOCUMENTS, ROOT / "Makefile", *(ROOT / "configs").rglob("*.json"), *(ROOT / "docs/examples").iterdir()]
    files += [*(ROOT / "ass_tf").rglob("*.py"), *(ROOT / "export").rglob("*.py"), *(ROOT / "results").rglob("*.md")]
    ours = re.compile(r"\.\./shared|/work/(main|shared)|/home/|/root/|/tmp/")
    assert [file.name for file in files if ours.search(file.read_text(encoding="utf-8"))] == []


def test_blocks_of_json_and_python_are_such():
    for document in DOCUMENTS:
        for text in blocks(document, "json"):
            json.loads(text)
        for text in blocks(document, "python"):
            compile(text, document.name, "exec")
    (settings,) = blocks(README, "json")
    assert config.from_dict(json.loads(settings)).method == "csa"


def test_settings_page_is_current():
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == page.markdown(), "make docs writes it again"


def test_settings_page_holds_every_setting_once():
    text = page.markdown()
    rows = re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)
    assert len(rows) == len(set(rows))
    for name, field in config.Config.model_fields.items():
        section = page.section_of(field.annotation)
        if section is None:
            assert name in rows
        elif "The keys are those of `source`" not in text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]:
            assert [key for key in section.model_fields if f"{name}.{key}" not in rows] == []


def test_ranks_on_the_design_page_are_those_of_the_test():
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| ([^|]+) \|", text, re.MULTILINE)
    assert [set(re.findall(r"\w+", row)) for row in rows] == list(ROWS)
