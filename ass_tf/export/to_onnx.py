"""A trained run as an ONNX model, compared with Keras and SavedModel once it is written.

    python export/to_onnx.py [--run DIR] [--out FILE] [--size HxW] [--precision float32|float16|int8]
        [--target any|vnni] [--probabilities] [--confidence] [--temperature T]

image: uint8 (n, h, w, 3), RGB -> labels: uint8 (n, h, w), train ids; with --probabilities also float32 (n, h, w, c),
and with --confidence uint8 (n, h, w), 255 times the probability of the label.
The file carries class names, colours and settings (`card.description`). `infer_onnx.py` runs it on images.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ass_tf import config, datasets
from ass_tf.export import card
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder
from ass_tf.system import machine, option, process, storage, terminal

if TYPE_CHECKING:
    import onnx

    from ass_tf.export import agreement

CALIBRATION = 64  # images


class Disagreement(ValueError):
    """The written model gives other labels than Keras."""


def convert(options: argparse.Namespace, run: Path, out: Path) -> None:
    """Write the float32 model, or the smaller one made of it, and say how it agrees with Keras.

    Raises:
        ValueError: the run, its images or the options cannot be used.
        Disagreement: more than 0.1 % of the pixels differ at one size; the new file stays next to an older one.
    """
    RunFolder(run).settings()  # else a folder would be made for a run that is not there
    storage.check_file(out, "--out")
    process.start_tensorflow()
    import onnx

    from ass_tf.export import agreement, onnx_graph, serving

    settings, generator, step = trained.load(run, options.snapshot, options.network)
    entries = card.description(run, settings, options.snapshot, step, options.network)
    size = options.size or trained.judged_size(settings)
    calibration = _calibration(options, settings, size) if options.precision == "int8" else []
    target = (options.target or _default_target()) if options.precision == "int8" else None
    fixed = options.size or (None, None)
    divisor = options.temperature if options.confidence else None
    if divisor:
        entries["temperature"] = str(divisor)
    asked = {"probabilities": options.probabilities, "temperature": divisor}
    served = serving.Serving(generator, **asked, size=fixed, batch=options.batch)
    model = onnx_graph.convert(served, opset=options.opset)
    stem = os.fsencode(out.stem)[:200].decode(errors="ignore")  # file systems take 255 bytes
    unverified = out.with_name(f"{stem}.unverified.onnx")
    if options.precision == "float32":
        onnx_graph.stamp(model, {**entries, "precision": "float32"})
        onnx_graph.write(model, unverified)
        model = onnx.load(unverified)
    shapes = agreement.shapes_for(size, (options.batch, *fixed))
    with tempfile.TemporaryDirectory() as folder:
        saved = serving.save(serving.Serving(generator, probabilities=True), Path(folder))
        found = agreement.compare(generator, saved, model, shapes, agreement.pictures_for(settings), divisor)
    _show(found)
    failed = next((row for row in found if row.worst > agreement.LIMIT), None)
    if failed:
        raise Disagreement(
            f"{unverified if options.precision == 'float32' else run}: at {_text(failed.shape)} {failed.worst:.2%} of "
            f"the pixels have another label than Keras gives (at most {agreement.LIMIT:.1%} may)."
        )
    if options.precision == "float32":
        os.replace(unverified, out)
    else:
        del generator, served
        process.give_back()
        reduced = _reduce(options.precision, model, calibration, target)
        made_for = {"target": target} if target else {}
        onnx_graph.stamp(reduced, {**entries, "precision": options.precision, **made_for})
        onnx_graph.write(reduced, out)
    beside = card.write(run, {**entries, "precision": options.precision}, out, options.command)
    print(f"Written: {out} ({out.stat().st_size / 1e6:.1f} MB), {beside.name}", flush=True)
    if options.precision != "float32":
        _compare_precisions(settings, model, onnx.load(out), options, calibration)
    if target == "vnni" and _default_target() == "any":
        print("note: the agreement above is that of a CPU without VNNI, since this one has none.", file=sys.stderr)


def _default_target() -> str:
    """The kind of CPU that int8 is made for unless told otherwise: this machine's."""
    return "any" if machine.INT8.isdisjoint(machine.cpu_features()) else "vnni"


def _text(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _calibration(options: argparse.Namespace, settings: config.Config, size: Sequence[int]) -> list[Any]:
    """Images uint8 (1, h, w, 3) from which the quantiser takes its ranges, found before the long work begins."""
    from ass_tf.export import agreement

    if options.calibrate:
        domain = datasets.open_photographs(options.calibrate, size)
    else:
        try:
            domain = datasets.open_roles(settings, ["unlabelled"])["unlabelled"]
        except datasets.DataError as error:
            raise datasets.DataError(f"{error} Name images for the calibration by --calibrate DIR.") from None
    chosen = datasets.spread(domain.pairs, CALIBRATION)
    images = list(agreement.resized((pair.image for pair in chosen), size))
    if not images:
        raise datasets.DataError(f"none of the {len(chosen)} images for the calibration can be read.")
    return images


def _reduce(precision: str, model: onnx.ModelProto, calibration: list[Any], target: str | None) -> onnx.ModelProto:
    from ass_tf.export import precision as smaller

    if precision == "float16":
        return smaller.halve(model)
    print(f"Calibrating on {len(calibration)} images", flush=True)
    return smaller.quantise(model, calibration, target)


def _show(found: Sequence[agreement.Comparison]) -> None:
    """The comparison with Keras as a table."""
    print(f"{'n x h x w':<18}{'largest difference of a probability':>37}{'other labels: SavedModel':>26}{'ONNX':>10}")
    for row in found:
        print(f"{_text(row.shape):<18}{row.difference:>37.1e}{row.saved_model:>26.4%}{row.onnx:>10.4%}")


def _compare_precisions(
    settings: config.Config, model: onnx.ModelProto, reduced: onnx.ModelProto, options: Any, calibration: list[Any]
) -> None:
    """Agreement with float32, on validation images where there are some, and the mIoU of both."""
    from ass_tf.export import agreement

    domain, hindrance = None, "the run has no validation set."
    if settings.validation:
        try:
            domain = datasets.open_domain(settings.class_names, settings.validation)
        except datasets.DataError as error:
            hindrance = str(error)
    if domain and options.size not in (None, domain.size):
        domain, hindrance = None, f"the validation images have {_text(domain.size)} pixels, the model takes others."
    if domain:
        kind, images = "validation", agreement.resized((pair.image for pair in domain.pairs), domain.size)
    else:
        shape = (1, *(options.size or trained.judged_size(settings)))
        kind = "calibration" if calibration else "target (or noise, where the run's are not here)"
        images = calibration or [agreement.batch_of([p], shape) for p in agreement.pictures_for(settings)]
    share = agreement.agreeing(model, reduced, images)
    print(f"{options.precision} and float32 give the same label to {share:.2%} of the pixels of the {kind} images")
    try:
        both = [agreement.miou(m, domain, settings.class_names) for m in (model, reduced)] if domain else None
    except datasets.DataError as error:
        both, hindrance = None, str(error)
    if both:
        difference = f" ({both[1] - both[0]:+.2f})" if None not in both else ""
        print(f"mIoU: float32 {terminal.percent(both[0])}, {options.precision} {terminal.percent(both[1])}{difference}")
    else:
        print(f"No mIoU: {hindrance}")


def temperature(text: str) -> float:
    if not 0.01 <= (value := float(text)) <= 100:
        raise argparse.ArgumentTypeError(f"must be from 0.01 to 100. Received: {text}")
    return value


def _name(options: argparse.Namespace) -> str:
    """Default name of a model's file: what is asked for beyond the ordinary is in it."""
    parts = ["model"] + [options.precision] * (options.precision != "float32")
    parts += [options.target] if options.target else []
    parts += ["best"] * (options.snapshot == "best")
    parts += ["student"] * (options.network == "student")
    parts += [f"{options.size[0]}x{options.size[1]}"] if options.size else []
    parts += [f"batch{options.batch}"] if options.batch else []
    return "_".join(parts + ["probabilities"] * options.probabilities + ["confidence"] * options.confidence)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.export.to_onnx") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--run",
        type=option.path,
        metavar="DIR",
        help="folder that ass_tf.train wrote (default: the newest finished in runs/)",
    )
    add(
        "--out",
        type=option.path,
        metavar="FILE",
        help="default: RUN/export/model.onnx, or model_int8.onnx and so on",
    )
    add("--snapshot", choices=["last", "best"], default="last", help="default: last")
    add("--network", choices=trained.NETWORKS, help=trained.NETWORK_HELP)
    add("--size", type=option.size(), metavar="HxW", help="take images of this size only (default: any)")
    add(
        "--batch",
        type=option.number(most=9999),
        metavar="N",
        help="take this number of images only (default: any)",
    )
    add("--opset", type=int, choices=range(14, 19), default=17, help="version of ONNX' operators (default: 17)")
    add("--probabilities", action="store_true", help="give the softmax as well as the labels")
    add("--confidence", action="store_true", help="give the probability of the label as well, 0 to 255")
    text = "what the logits are divided by for --confidence, as `evaluate` finds it (default: 1)"
    add("--temperature", type=temperature, default=1.0, metavar="T", help=text)
    add("--precision", choices=["float32", "float16", "int8"], default="float32", help="of weights; int8: of all")
    add(
        "--calibrate",
        type=option.path,
        metavar="DIR",
        help="int8: images for the ranges (default: the run's target images)",
    )
    add(
        "--target",
        choices=["any", "vnni"],
        help="int8: vnni has weights of 8 bits, for CPUs with VNNI or AMX; any of 7 (default: by this CPU)",
    )
    options = parser.parse_args(arguments)
    for name in ("calibrate", "target"):
        if getattr(options, name) and options.precision != "int8":
            parser.error(f"--{name} goes with --precision int8")
    if options.temperature != 1 and not options.confidence:
        parser.error("--temperature goes with --confidence")
    options.command = [*prog.split(), *(sys.argv[1:] if arguments is None else arguments)]
    run = options.run
    try:
        run = run or trained.newest_finished()
        convert(options, run, options.out or RunFolder(run).export / f"{_name(options)}.onnx")
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    except Exception as error:  # of TensorFlow and onnxruntime, out of memory mostly
        return terminal.complain(f"{run}: {terminal.reason(error)}", 1)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
