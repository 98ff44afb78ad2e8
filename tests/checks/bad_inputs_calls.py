"""Damages of a command line, of what stands where results go, and of whole run folders, for `check_inputs`."""

import shutil

from bad_inputs_forms import DONE
from bad_inputs_trial import damage

CHANGES = [  # word of --set, what the message may name
    ("train.steps", "train.steps"),
    ("nonsense", "nonsense"),
    ("=5", "=5"),
    ("", "--set"),
    ("unknown.key=1", "unknown"),
    ("train.step=5", "step"),
    ("train.steps=many", "train.steps"),
    ("train.steps=0", "train.steps"),
    ("train.log_every=[1]", "train.log_every"),
    ("train=5", "train"),
    ("optimiser.lr=NaN", "optimiser.lr"),
    ("optimiser.lr=Infinity", "optimiser.lr"),
    ("optimiser.lr=", "optimiser.lr"),
    ("method=", "method"),
    ("method.x=1", "method"),
    ("a.b.c.d.e=1", "a"),
    ("..=1", "--set"),
    ("source.size=[1,1]", "source.size"),
    ("source.size=64x64", "source.size"),
    ("classes=[]", "classes"),
    ("seed=1e400", "seed"),
    ("batch.source=" + "9" * 5000, "batch.source"),
    ("model=" + "[" * 2000, "model"),
    ("\u00e4\u00f6=1", "\u00e4\u00f6"),
    ("train.st\neps=1", "train.st"),
]
VALIDATION = [
    ("nonsense", "nonsense"),
    ("split=nowhere", "nowhere"),
    ("root=nowhere", "nowhere"),
    ("dataset=nuscenes", "dataset"),
    ("dataset=folder", "data/cityscapes"),
    ("size=[1,1]", "size"),
    ("size=0x0", "size"),
    ("extra=1", "extra"),
    ("list=nothing.txt", "nothing.txt"),
    ("class_file=nothing.json", "class_file"),
    ("settings", "settings"),
    ("photographs", "photographs"),
    ("", "--data"),
    ("=", "--data"),
]
OPTIONS = {  # command -> words that no option takes; the message must name the first of them, or what stands behind |
    "datasets": ["--list nothing", "--unknown", "extra", "--set"],
    "train": ["--steps 5", "--config", "extra", "--config nothing.json|nothing.json"],
    "evaluate": [
        *("--snapshot first", "--scales 0", "--scales nan", "--scales x", "--scales", "--scales -1", "--strips x"),
        *("--data", "--run nowhere|nowhere", "--scales 1e-400", "extra"),
    ],
    "sweep": [
        *("--processes 0", "--processes x", "--processes -1", "--config nothing.json|nothing.json"),
        *("--config settings|settings", "extra"),
    ],
    "report": ["--title", "extra", "--pictures"],
    "weights": ["--out new.pth", "--layout keras", "--snapshot first", "--out", "extra"],
    "to_onnx": [
        *("--size 0x5", "--size 5", "--size axb", "--size 32x64x3", "--batch 0", "--batch x", "--opset 5", "--opset x"),
        *("--precision int4", "--precision float16 --calibrate photographs|--calibrate", "--run nowhere|nowhere"),
        *("--precision int8 --calibrate nowhere|nowhere", "--snapshot first"),
    ],
    "infer_onnx": [
        *("--tile 5x5", "--tile 32", "--tile 32x32 --overlap 32|--overlap", "--overlap -1", "--batch 0", "--threads 0"),
        *("--outputs x", "--threads 5000", "--provider x", "--provider cuda", "--max-pixels 0", "--max-pixels 9"),
        *("--max-side x", "--outputs", "--out photographs", "--out"),
    ],
}
ODD_OPTIONS = {  # that a command may take or not
    "datasets": ["--set seed=5", "--list source"],
    "train": ["--set train.steps=2"],
    "evaluate": [
        *("--strips 0", "--strips -1", "--strips 99999999999", "--scales 1e-9", "--scales 1e30", "--scales 1e308"),
        "--snapshot best",
    ],
    "sweep": ["--set train.log_every=1"],
    "report": ["--title <script>", "--title ", "--without-pictures"],
    "weights": ["--layout torchvision", "--snapshot best"],
    "to_onnx": [
        *("--size 1x1", "--size 99999999x99999999", "--batch 99999999999", "--snapshot best", "--precision float16"),
    ],
    "infer_onnx": [
        *("--max-side 1", "--max-side 99999999999999999999", "--max-pixels 99999999999999999999"),
        *("--tile 9999999999x9999999999", "--batch 99999999999999999999", "--tile 16x16 --overlap 15"),
    ],
}


@damage("a wrong option", "words")
def _option(file, draw, trial):
    words, _, named = draw.choice(OPTIONS[trial.form.command]).partition("|")
    if "cuda" in words and _has_cuda():
        return None
    trial.words += words.split(" ")
    return [words, named or words.split(" ")[0]]


def _has_cuda():
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@damage("an odd option", "words", certain=None)
def _odd_option(_, draw, trial):
    words = draw.choice(ODD_OPTIONS[trial.form.command])
    trial.words += words.split(" ")
    trial.outputs = ("stdout",)
    return [words]


@damage("a word is missing", "words")
def _fewer(_, draw, trial):
    if trial.form.command in ("weights", "to_onnx"):
        return None
    if trial.words.pop(0).startswith("-"):
        trial.words.pop(0)
    if trial.form.command == "infer_onnx":
        trial.words = trial.words[-2:]
    return ["required", "CONFIG", "RUN_OR_SWEEP", "MODEL", "--config", "--run"]


@damage("--set", "set")
def _set(_, draw, trial):
    word, named = draw.choice(CHANGES)
    if word.partition("=")[0] in trial.form.masked:
        return None
    trial.words += ["--set", word]
    return [word[:40], named, "--set"]


@damage("--data", "validation")
def _data(_, draw, trial):
    word, named = draw.choice(VALIDATION)
    trial.words += ["--data", word]
    return [word, named, "--data"]


@damage("results cannot go there", "out")
def _out(_, draw, trial):
    option, kind = trial.form.out
    blocked = trial.folder / "blocked"
    blocked.write_text("of somebody")
    (trial.folder / "folder.onnx").mkdir()
    (trial.folder / "folder.safetensors").mkdir()
    suffix = ".safetensors" if trial.form.command == "weights" else ".onnx"
    if kind == "folder":
        found = ["blocked", "blocked/a", "blocked/a/b", "n" * 300, "a/" + "n" * 300, "/proc/nothing"]
    else:
        found = [
            f"folder{suffix}",
            f"blocked/a{suffix}",
            f"blocked/a/b{suffix}",
            "n" * 300 + suffix,
            f"/proc/a{suffix}",
        ]
    path = draw.choice(found)
    trial.words += [option, path]
    return [f"{option} {path[:30]}", option, path[:20], "blocked/a" if path.startswith("blocked") else ""]


@damage("odd name of the results", "out", certain=None)
def _odd_out(_, draw, trial):
    option, kind = trial.form.out
    suffix = {"weights": ".safetensors", "to_onnx": ".onnx"}.get(trial.form.command, "")
    name = draw.choice(
        ["", "a\nb", "a\tb", "-x", "~", " ", "[a]*?", "\u00e4", "a\\b", "\udc80", "..//new/./x", "%s{x}"]
    )
    if kind == "file" and not name:
        return None
    trial.words.append(f"{option}={name}{suffix}")
    trial.outputs = ("stdout",)
    return [repr(name), option]


@damage("a folder in place of a result", "block")
def _block(file, draw, trial):
    if file.is_dir():
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    if file.name in ("strips", "data"):  # which are folders
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of somebody")
    else:
        (file / "kept").mkdir(parents=True)
    return [file.parent.name, file.parent.parent.name]


@damage("no folder", "run", "snapshots")
def _gone(file, *_):
    shutil.rmtree(file)
    return []


@damage("a file in place of the folder", "run", "snapshots")
def _file(file, draw, _):
    shutil.rmtree(file)
    file.write_bytes(draw.choice([b"", b"of somebody", bytes(1000)]))
    return []


@damage("empty folder", "run", "snapshots")
def _emptied(file, *_):
    shutil.rmtree(file)
    file.mkdir()
    return [DONE]
