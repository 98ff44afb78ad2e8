"""Damages of pictures, lists, weights, models and any bytes, for `check_inputs`."""

import io

import numpy as np
import odd_files
from bad_inputs_trial import damage
from PIL import Image

RUN_FILES = ("result", "history", "state", "cells", "status", "tables")
BYTES = ("index", "data", "tensors", "torch", "h5", "model")


def _random(draw, count):
    return bytes(draw.randrange(256) for _ in range(count))


@damage("cut short", "image", "label", "photo", "tensors", "torch", "h5", "model", "index")
def _cut(file, draw, _):
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(1, len(content) // 2)])
    return []


@damage("cut short", "data", "log", "board", "picture", "feature", "names", certain=False)
def _cut_perhaps(file, draw, _):
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content))])
    return []


@damage("empty", "image", "label", "photo", "list", *BYTES)
@damage("empty", "log", "board", "picture", "feature", "names", certain=False)
def _empty(file, *_):
    file.write_bytes(b"")
    return []


@damage("missing", *BYTES, "list")
@damage("missing", "picture", "feature", "names", "log", certain=False)
def _missing(file, *_):
    file.unlink()
    return []


@damage("zeros", "image", "label", "photo", *BYTES)
@damage("zeros", "log", "board", "picture", "feature", "names", certain=False)
def _zeros(file, *_):
    file.write_bytes(bytes(file.stat().st_size))
    return []


@damage("text", "image", "label", "photo", "tensors", "torch", "h5", "model", "index")
@damage("text", "log", "board", "picture", "feature", certain=False)
def _text(file, draw, _):
    file.write_text(draw.choice(["no image at all\n", "<html><body>404 Not Found</body></html>\n" * 20, "{}"]))
    return []


@damage("bytes overwritten", "image", "label", "photo", *BYTES, "log", "board", "picture", "feature", "names",
        *RUN_FILES, "config", certain=False)  # fmt: skip
def _overwritten(file, draw, _):
    content = bytearray(file.read_bytes())
    for _ in range(draw.choice([1, 1, 5])):
        count = min(draw.choice([1, 16, 200]), len(content))
        start = draw.randrange(len(content) - count + 1)
        content[start : start + count] = _random(draw, count)
    file.write_bytes(content)
    return []


@damage("image missing", "image")
def _image_missing(file, draw, trial):
    """Harmless where no list names it: the data set has one image less."""
    if not trial.form.listed:
        return None
    file.unlink()
    if draw.random() < 0.5:
        file.mkdir()
    return []


@damage("image missing, not listed", "image", certain=None)
def _image_missing_unlisted(file, draw, trial):
    if trial.form.listed:
        return None
    file.unlink()
    if draw.random() < 0.5:
        file.mkdir()
    return []


@damage("label missing", "label")
def _label_missing(file, draw, _):
    file.unlink()
    if draw.random() < 0.5:
        file.mkdir()
    return []


@damage("a label that is none", "label")
def _label(file, draw, _):
    with Image.open(file) as label:
        label.load()
    numbers = np.asarray(label)
    h, w = numbers.shape
    colours = Image.fromarray(np.stack([numbers] * 3, -1))
    stranger = numbers.copy()
    stranger[h // 3 : h // 2, w // 3 : w // 2] = 200
    deep = Image.fromarray(np.where(stranger == 200, 40000, numbers).astype(np.uint16))
    found = {
        "other proportions": (Image.fromarray(numbers[:, : w // 2]), "PNG"),
        "one column": (Image.fromarray(numbers[:, :1]), "PNG"),
        "an unknown id": (Image.fromarray(stranger), "PNG"),
        "an unknown id of 16 bits": (deep, "PNG"),
        "colours": (colours, "PNG"),
        "colours and alpha": (colours.convert("RGBA"), "PNG"),
        "a JPEG": (Image.fromarray(numbers), "JPEG"),
        "a JPEG of colours": (colours, "JPEG"),
        "a GIF": (Image.fromarray(numbers), "GIF"),
        "floats": (Image.fromarray(numbers.astype(np.float32)), "TIFF"),
    }
    name = draw.choice(sorted(found))
    picture, form = found[name]
    stream = io.BytesIO()
    picture.save(stream, form)
    file.write_bytes(stream.getvalue())
    return [name]


@damage("a broken picture", "image", "photo")
def _broken(file, draw, _):
    found = odd_files.broken_files(draw.randrange(5))
    name = draw.choice(sorted(set(found) - {"animated.gif.jpg", "bomb.png", "bomb_bits.png", "floats.tif"}))
    file.write_bytes(found[name])
    return [name]


@damage("another kind of picture", "image", "photo", certain=None)
def _other_kind(file, draw, _):
    found = {**odd_files.sound_files(draw.randrange(5)), **odd_files.broken_files(0)}
    name = draw.choice(sorted(found))
    file.write_bytes(found[name])
    return [name[:30]]


@damage("wrong lines", "list")
def _list(file, draw, _):
    text = file.read_bytes()
    found = {
        "an unknown name": text + b"view99\n",
        "a path": text + b"../images/view0\n",
        "another suffix": text.replace(b"view1", b"view1.tga"),
        "binary": _random(draw, 300) + b"\xff",
        "UTF-16": text.decode().encode("utf-16"),
        "blank lines": b"\n \n\n",
        "a long line": b"view0" * 5000,
    }
    name = draw.choice(sorted(found))
    file.write_bytes(found[name])
    return [name]


@damage("wrong suffix", "tensors", "torch", "h5")
def _suffix(file, draw, trial):
    suffixes = (".safetensors", ".h5") if file.suffix == ".pth" else (".safetensors", ".pth", ".h5", ".txt", "")
    other = draw.choice([suffix for suffix in suffixes if suffix != file.suffix])
    renamed = file.with_name(f"renamed{other}")
    file.rename(renamed)
    place = file.relative_to(trial.folder).as_posix()
    trial.words = [word.replace(place, f"weights/{renamed.name}") for word in trial.words]
    return [renamed.name]


@damage("other tensors", "tensors", "torch")
def _tensors(file, draw, _):
    """Tensors that the network cannot take, in a sound file."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(file.with_name("own.safetensors"))
    name = draw.choice(sorted(name for name in tensors if "layer5" not in name))
    value = tensors[name]
    changed, why = draw.choice(
        [
            ({}, "none"),
            ({k: v for k, v in tensors.items() if k != name}, "one is missing"),
            ({**tensors, name: np.full_like(value, np.nan)}, "NaN"),
            ({**tensors, name: value.astype(np.int32)}, "integers"),
            ({**tensors, name: np.concatenate([value, value])}, "another shape"),
            ({**tensors, name: np.float32(1.0).reshape(())}, "a scalar"),
        ]
    )
    if file.suffix == ".safetensors":
        save_file(changed, file, {"layout": "adaptsegnet", "format": "pt"})
    else:
        import torch

        torch.save({k: torch.from_numpy(np.array(v)) for k, v in changed.items()}, file)
    return [f"{why} {name}", name]


@damage("another object", "torch")
def _object(file, draw, _):
    import torch

    torch.save(draw.choice([[1, 2], {}, None, {"state_dict": {}}, {"a": "b"}, np.float64, print, torch.ones(3)]), file)
    return []


@damage("metadata", "tensors", certain=False)
def _tensors_metadata(file, draw, _):
    from safetensors.numpy import load_file, save_file

    key = draw.choice(["layout", "rates", "format"])
    value = draw.choice(["x", "", "[", "5", "{}", "[1, [2]]", "null", "[99]", "torchvision"])
    save_file(load_file(file), file, {"layout": "adaptsegnet", "format": "pt", "rates": "[1]", key: value})
    return [f"{key}={value}"]


@damage("another model", "model")
def _model(file, *_):
    file.write_bytes(file.with_name("other.onnx").read_bytes())
    return []


@damage("metadata", "model", certain=False)
def _model_metadata(file, draw, _):
    import onnx

    model = onnx.load(file)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    key = draw.choice(["class_names", "train_ids", "colours", "size", "all"])
    value = draw.choice(
        ["x", "", "[", "5", "{}", "[]", "null", "[300]", "[-1]", '["a", "b"]', "[[1, 2], [3]]", "[1e9, 2]"]
    )
    entries = {} if key == "all" else {**entries, key: value}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, file)
    return [f"{key}={value}"]
