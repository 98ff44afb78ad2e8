"""A static web page that runs an exported model in the visitor's browser, which keeps the photographs.

    ass-tf page MODEL.onnx --out DIR [--runtime DIR] [--examples IMAGE...] [--title TEXT]

DIR is written whole or not at all. The page's own files lie in `export/web`; what it must know of the model is in
`page.json`. `--runtime` copies onnxruntime-web from its npm package; without it the page loads RUNTIME from a public
server.

A browser may hold what it read of an earlier page at the same address. So what differs from page to page has a digest
of its content in its address, but for `index.html`, and `page.json`, which is asked for anew.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import importlib.resources
import json
import os
import re
import secrets
import shlex
import shutil
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ass_tf
from ass_tf.system import option, storage, terminal

MADE_BY = "ass-tf page"
RUNTIME = "1.30.0"  # of onnxruntime-web; `make test-page` tests it
SERVER = "https://cdn.jsdelivr.net"
BUNDLES = {"wasm": "ort.wasm.bundle.min.mjs", "webgpu": "ort.webgpu.bundle.min.mjs"}
BINARIES = {"wasm": "ort-wasm-simd-threaded.wasm", "webgpu": "ort-wasm-simd-threaded.asyncify.wasm"}
BINARY = re.compile(r"\bort-wasm[\w.-]*\.wasm\b")
VERSION = re.compile(r"ONNX Runtime Web v([\w.-]+)")
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}


def describe(model: Path) -> dict[str, Any]:
    """What the page must know of a model.

    Returns:
        entries: `model` (file, name, bytes, precision), `size` [h, w] that it was judged on, `fixed` [n, h, w] that
            it takes, null where it takes any, and `classes` (id, name, colour as #rrggbb).

    Raises:
        ValueError: the file is no model of `ass-tf export`.
        OSError: it cannot be read.
    """
    import onnx

    content = model.read_bytes()
    try:
        described = onnx.load_model_from_string(content)
        about = {entry.key: entry.value for entry in described.metadata_props}
        images = [given.type.tensor_type for given in described.graph.input if given.name == "image"]
        if [image.elem_type for image in images] != [onnx.TensorProto.UINT8]:
            raise ValueError("it lacks an input image of uint8")
        height, width = (int(side) for side in json.loads(about["size"]))
        columns = (json.loads(about[key]) for key in ("train_ids", "class_names", "colours"))
        classes = [
            {"id": int(number), "name": str(name), "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for number, name, colour in zip(*columns, strict=True)
        ]
    except KeyError as error:
        raise ValueError(f"{model}: no model of ass-tf export (it lacks {error}).") from None
    except Exception as error:  # onnx and protobuf raise many kinds
        raise ValueError(f"{model}: no model of ass-tf export ({terminal.reason(error)}).") from None
    fixed = [dim.dim_value or None for dim in images[0].shape.dim[:3]]
    known = {
        "file": f"model.onnx?{_digest(content)}",
        "name": model.name,
        "bytes": len(content),
        "precision": about.get("precision", "float32"),
    }
    return {"model": known, "size": [height, width], "fixed": fixed, "classes": classes}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def find_runtime(folder: Path | None) -> tuple[dict[str, Any], list[Path]]:
    """What the page must know of onnxruntime-web, and the files to copy.

    Args:
        folder: the npm package or its dist/; None for the public server.

    Raises:
        ValueError: files that the page needs are not there.
    """
    if folder is None:
        address = f"{SERVER}/npm/onnxruntime-web@{RUNTIME}/dist/"
        known = {name: {"bundle": BUNDLES[name], "binary": BINARIES[name]} for name in BUNDLES}
        return {"version": RUNTIME, "folder": address, **known}, []
    place = next((p for p in (folder, folder / "dist") if (p / BUNDLES["wasm"]).is_file()), None)
    if place is None:
        rule = f"must be the folder of onnxruntime-web (npm install onnxruntime-web@{RUNTIME})"
        raise ValueError(f"--runtime {rule}. Received: {folder}, which lacks {BUNDLES['wasm']}.")
    files, known, version = [], {}, "unknown"
    for name, bundle in BUNDLES.items():
        text = storage.read_text(place / bundle)
        binaries = sorted(set(BINARY.findall(text)))  # other versions have other names
        missing = [file for file in binaries if not (place / file).is_file()]
        if len(binaries) != 1 or missing:
            lack = f"lacks {missing[0]}" if missing else f"has a {bundle} of another kind"
            raise ValueError(f"--runtime {place}: it {lack}; version {RUNTIME} is tested.")
        known[name] = {"bundle": bundle, "binary": binaries[0]}
        files += [place / bundle, place / binaries[0]]
        version = found[1] if (found := VERSION.search(text)) else version
    return {"version": version, "folder": f"onnxruntime-web-{version}/", **known}, files


def check_examples(photographs: Sequence[Path]) -> list[dict[str, str]]:
    """The addresses under which photographs lie beside the page, and their own names.

    Raises:
        ValueError: one is missing, damaged, or of a kind that browsers do not show.
    """
    from PIL import Image

    from street_inference import images

    found = []
    for number, path in enumerate(photographs, 1):
        try:
            images.decode(path)
        except images.Unreadable as error:
            raise ValueError(f"{path}: {error}") from None
        with Image.open(path) as opened:
            kind = opened.format or "unknown"
        if kind not in SUFFIXES:
            raise ValueError(f"{path}: an example must be JPEG, PNG, WebP, GIF or BMP. Received: {kind}.")
        address = f"examples/{number}{SUFFIXES[kind]}?{_digest(path.read_bytes())}"
        found.append({"file": address, "name": path.name})
    return found


def check_out(out: Path) -> None:
    """Refuses a folder that cannot be written, or that holds anything but an earlier page.

    Raises:
        ValueError: so it is; the message names the folder.
    """
    storage.check_folder(out, "--out")
    storage.check_folder(out.parent, "the folder of --out")
    if not out.exists():
        return
    if Path.cwd().is_relative_to(out):
        raise ValueError(f"--out must not be the folder in which the command runs. Received: {out}.")
    found = (path for path in out.rglob("*") if path.is_symlink() or not path.is_dir())
    inside = sorted(path.relative_to(out).as_posix() for path in found)
    page = storage.read_json(out / "page.json", missing={}) if inside else {"made_by": MADE_BY}
    earlier = page.get("files", [])
    if page.get("made_by") != MADE_BY or not isinstance(earlier, list):
        raise ValueError(f"--out must be a new or empty folder, or an earlier page. Received: {out}.")
    strange = [name for name in inside if name not in earlier]
    if strange:
        raise ValueError(f"--out is replaced, so it must hold nothing but an earlier page. {out} holds {strange[0]}.")


def write(model: Path, out: Path, runtime: Path | None, examples: Sequence[Path], title: str | None) -> dict[str, Any]:
    """Writes the folder of the page, in place of an earlier one.

    Returns:
        about: what is in its page.json.

    Raises:
        ValueError: as `describe`, `find_runtime`, `check_examples`, `check_out`; or the title is no line of text.
        OSError: a file cannot be read or written.
    """
    out = Path(os.path.realpath(out))
    check_out(out)
    if title is not None:
        storage.check_name(title, "--title")
    about = {"made_by": MADE_BY, "title": title or model.stem, "ass_tf_version": ass_tf.__version__, **describe(model)}
    about["runtime"], libraries = find_runtime(runtime)
    about["examples"] = check_examples(examples)
    copies = {"model.onnx": model}
    copies.update({about["runtime"]["folder"] + file.name: file for file in libraries})
    copies.update({example["file"].partition("?")[0]: path for example, path in zip(about["examples"], examples)})
    texts = _texts(about)
    about["files"] = sorted([*copies, *texts, "page.json"])
    start = os.fsencode(out.name)[:100].decode(errors="ignore")
    unfinished = out.with_name(f".{start}.{secrets.token_hex(4)}.part")
    try:
        unfinished.mkdir(parents=True)
        for name, source in copies.items():
            (unfinished / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, unfinished / name)
        for name, text in {**texts, "page.json": storage.as_json(about)}.items():
            storage.write_text(unfinished / name, text)
        _replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return about


def _texts(about: dict[str, Any]) -> dict[str, str]:
    """The page's own files, by their places in the folder; `about` gets the folder of its scripts."""
    web = importlib.resources.files("ass_tf.export").joinpath("web").iterdir()
    own = {file.name: file.read_text(encoding="utf-8") for file in sorted(web, key=lambda file: file.name)}
    first = own.pop("index.html")
    about["scripts"] = f"page-{_digest(storage.as_json(own).encode())}"
    return {"index.html": _filled(first, about), **{f"{about['scripts']}/{name}": own[name] for name in own}}


def _filled(text: str, about: dict[str, Any]) -> str:
    """The page with its title and its last line, and with leave to load from elsewhere only where it must."""
    sentences = [
        f"Model: {about['model']['name']}, {len(about['classes'])} classes, {about['model']['precision']}",
        f"made by ass_tf {about['ass_tf_version']}, run by onnxruntime-web {about['runtime']['version']}",
    ]
    return string.Template(text).substitute(
        title=html.escape(about["title"]),
        about=html.escape("; ".join(sentences)) + ".",
        scripts=about["scripts"],
        elsewhere=SERVER if about["runtime"]["folder"].startswith(SERVER) else "",
    )


def _replace(unfinished: Path, out: Path) -> None:
    """Renames a folder to another, which stays as it was if that fails."""
    if not out.exists():
        os.rename(unfinished, out)
        return
    earlier = unfinished.with_suffix(".earlier")
    os.rename(out, earlier)
    try:
        os.rename(unfinished, out)
    except BaseException:  # Ctrl-C, too
        os.rename(earlier, out)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.page") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=option.path, metavar="MODEL", help="a model of ass-tf export")
    add("--out", type=option.path, required=True, metavar="DIR", help="folder of the page; an earlier page is replaced")
    add("--runtime", type=option.path, metavar="DIR", help="folder of onnxruntime-web from npm, to be copied "
        f"(default: the page loads version {RUNTIME} from {SERVER})")  # fmt: skip
    add("--examples", type=option.path, nargs="+", default=[], metavar="IMAGE", help="photographs to show beside it")
    add("--title", metavar="TEXT", help="heading of the page (default: the model's name)")
    given = parser.parse_args(arguments)
    try:
        about = write(given.model, given.out, given.runtime, given.examples, given.title)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    print(f"Written: {given.out} ({len(about['files'])} files)")
    print(f"Show it:\n  python -m http.server --directory {shlex.quote(str(given.out))}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
