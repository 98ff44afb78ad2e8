"""A trained run as an ONNX model, compared with Keras and SavedModel once it is written.

    python export/to_onnx.py [--run DIR] [--out FILE] [--size HxW] [--precision float32|float16|int8] [--probabilities]

image: uint8 (n, h, w, 3), RGB -> labels: uint8 (n, h, w), train ids; with --probabilities also float32 (n, h, w, c).
The file carries class names, colours and settings (`ass_tf.trained.description`). `infer_onnx.py` runs it on images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ass_tf import config, files, process, terminal, trained

if TYPE_CHECKING:
    import onnx

CALIBRATION = 64  # images


class Disagreement(ValueError):
    """The written model gives other labels than Keras."""


def convert(options: argparse.Namespace, run: Path, out: Path) -> tuple[Any, onnx.ModelProto]:
    """Write the float32 model, or the smaller one made of it, and say how it agrees with Keras.

    Raises:
        ValueError: the run, its images or the options cannot be used.
        Disagreement: more than 0.1 % of the pixels differ at one size; the files stay.
    """
    process.start_tensorflow()
    import agreement
    import conversion

    from ass_tf import serving

    settings, generator, step = trained.load(run, options.snapshot)
    entries = trained.description(run, settings, options.snapshot, step)
    given = {"probabilities": options.probabilities, "size": options.size or (None, None), "batch": options.batch}
    calibration = _calibration(options, settings) if options.precision == "int8" else []
    model = conversion.convert(serving.Serving(generator, **given), opset=options.opset)
    conversion.stamp(model, {**entries, "precision": "float32"})
    if options.precision == "float32":
        conversion.write(model, out)
        print(f"Written: {out} ({out.stat().st_size / 1e6:.1f} MB)", flush=True)
    shapes = agreement.shapes_for(trained.judged_size(settings), (options.batch, *given["size"]))
    with tempfile.TemporaryDirectory() as folder:
        saved = serving.save(serving.Serving(generator, probabilities=True), Path(folder))
        found = agreement.compare(generator, saved, model, shapes, agreement.pictures_for(settings))
    _show(found)
    for comparison in found:
        if max(comparison.onnx, comparison.saved_model) > agreement.LIMIT:
            n, h, w = comparison.shape
            share = max(comparison.onnx, comparison.saved_model)
            raise Disagreement(
                f"{out}: at {n} x {h} x {w} {share:.2%} of the pixels have another label than Keras gives "
                f"(at most {agreement.LIMIT:.1%} may)."
            )
    if options.precision != "float32":
        reduced = _reduce(options.precision, model, calibration)
        conversion.stamp(reduced, {**entries, "precision": options.precision})
        conversion.write(reduced, out)
        print(f"Written: {out} ({out.stat().st_size / 1e6:.1f} MB)", flush=True)
        _compare_precisions(settings, model, reduced, options, calibration)
    return settings, model


def _calibration(options: argparse.Namespace, settings: config.Config) -> list[Any]:
    """Images uint8 (n, h, w, 3) from which the quantiser takes its ranges, found before the long work begins."""
    import agreement
    import numpy as np

    size = options.size or trained.judged_size(settings)
    if options.calibrate:
        batches = agreement.batches_in(options.calibrate, size, CALIBRATION)
    else:
        try:
            domain = agreement.unlabelled(settings)
        except files.DataError as error:
            raise files.DataError(f"{error} Name images for the calibration by --calibrate DIR.") from None
        pairs = agreement.spread(domain.pairs, CALIBRATION)
        batches = [agreement.batch_of([files.read_image(pair.image)], (1, *size)) for pair in pairs]
    return [np.repeat(batch, options.batch or 1, 0) for batch in batches]


def _reduce(precision: str, model: onnx.ModelProto, calibration: list[Any]) -> onnx.ModelProto:
    import precision as smaller

    if precision == "float16":
        return smaller.halve(model)
    print(f"Calibrating on {len(calibration)} images", flush=True)
    return smaller.quantise(model, calibration)


def _show(found: Sequence[Any]) -> None:
    """The comparison with Keras as a table."""
    print(f"{'n x h x w':<18}{'largest difference of a probability':>37}{'other labels: SavedModel':>26}{'ONNX':>10}")
    for row in found:
        shape = " x ".join(str(n) for n in row.shape)
        print(f"{shape:<18}{row.difference:>37.1e}{row.saved_model:>26.4%}{row.onnx:>10.4%}")


def _compare_precisions(
    settings: config.Config, model: onnx.ModelProto, reduced: onnx.ModelProto, options: Any, calibration: list[Any]
) -> None:
    """Agreement with float32, on validation images where there are some, and the mIoU of both."""
    import agreement

    from ass_tf import datasets

    domain, batches = None, calibration
    fixed = options.size or options.batch
    try:
        if settings.validation and not fixed:
            domain = datasets.open_domain(settings.class_names, **settings.validation.model_dump())
            batches = agreement.batches_of(domain, len(domain.pairs))
    except files.DataError as error:
        print(f"No mIoU: {error}")
    if not batches:
        shape = (options.batch or 1, *(options.size or trained.judged_size(settings)))
        batches = [agreement.batch_of([p], shape) for p in agreement.pictures_for(settings)]
    share = agreement.agreeing(model, reduced, batches)
    print(f"{options.precision} and float32 give the same label to {share:.2%} of the pixels of {len(batches)} images")
    if domain is not None:
        both = [agreement.miou(m, domain, settings.class_names) for m in (model, reduced)]
        print(f"mIoU: float32 {both[0]:.2f}, {options.precision} {both[1]:.2f} ({both[1] - both[0]:+.2f})")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH in pixels, 512x1024 for instance. Received: {text}")
    return int(height), int(width)


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a number above 0. Received: {text}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python export/to_onnx.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--run", type=Path, metavar="DIR", help="folder that ass_tf.train wrote (default: the newest finished in runs/)"
    )
    add("--out", type=Path, metavar="FILE", help="default: RUN/export/model.onnx, or model_int8.onnx and so on")
    add("--snapshot", choices=["last", "best"], default="last", help="default: last")
    add("--size", type=_size, metavar="HxW", help="take images of this size only (default: any)")
    add("--batch", type=_positive, metavar="N", help="take this number of images only (default: any)")
    add("--opset", type=int, choices=range(14, 19), default=17, help="version of ONNX' operators (default: 17)")
    add("--probabilities", action="store_true", help="give the softmax beside the labels")
    add("--precision", choices=["float32", "float16", "int8"], default="float32", help="of weights; int8: of all")
    add("--calibrate", type=Path, metavar="DIR", help="int8: images for the ranges (default: the run's target images)")
    options = parser.parse_args(arguments)
    if options.calibrate and options.precision != "int8":
        parser.error("--calibrate goes with --precision int8")
    try:
        run = options.run or trained.newest_finished()
        suffix = "" if options.precision == "float32" else f"_{options.precision}"
        convert(options, run, options.out or run / "export" / f"model{suffix}.onnx")
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
