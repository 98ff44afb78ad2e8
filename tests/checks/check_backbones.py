"""Every backbone with both heads: size, work, time, and whether its ONNX graph gives the labels that Keras gives.

    python tests/checks/check_backbones.py --images DIR [--backbones NAME ...] [--size 360x640]

Networks have ImageNet weights where those are at hand (--weights BACKBONE=FILE, or the extra `lite`), else random ones;
their running statistics are those of the images. Times are medians of onnxruntime's on all cores, for one image. A
network of random weights prefers no class by much, so that rounding decides many of its pixels. The exit status is 0 if
at most 0.01 % of the pixels of the other networks differ, and no logit of any by over a hundredth of the logits'
standard deviation.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1e-4  # share of pixels
ERROR = 0.01  # of a logit, over the standard deviation of all
HEADS = {"deeplabv2": (8, (6, 12, 18, 24)), "deeplabv3plus": (16, (2, 6, 12))}
CLASSES = 19


def main():
    from ass_tf.config.backbones import BACKBONES
    from ass_tf.system import option, process

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=option.path, required=True, metavar="DIR")
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--weights", nargs="+", default=[], metavar="BACKBONE=FILE")
    parser.add_argument("--size", type=option.size(), default=(360, 640), metavar="HxW")
    options = parser.parse_args()
    process.start_tensorflow()
    files = dict(word.split("=", 1) for word in options.weights)
    print(
        "| backbone | weights | head, stride | million parameters | GFLOP | ms | pixels that differ | largest error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    sound = [check(name, head, files.get(name), options) for name in options.backbones for head in HEADS]
    return 0 if all(sound) else 1


def check(name, head, weights, options):
    """Prints the row of one network; returns whether its labels are those of Keras."""
    import keras

    from ass_tf.config import schema
    from ass_tf.config.backbones import BACKBONES
    from ass_tf.export import agreement, onnx_graph, serving
    from ass_tf.models.batch_norm import norms_of, take_statistics
    from ass_tf.models.generator import build_generator
    from ass_tf.weights import initial

    keras.backend.clear_session()  # else the graphs of all networks stay in memory
    stride, rates = HEADS[head]
    weights = weights or ("imagenet" if BACKBONES[name].package else None)
    model = schema.Model(backbone=name, head=head, output_stride=stride, rates=rates, weights=weights)
    generator = build_generator(CLASSES, model)
    initial.load_initial(generator, model)
    images = pictures(options)
    if norms_of(generator):
        take_statistics(generator, [image[None].astype("float32") for image in images])
    graph = onnx_graph.convert(serving.Serving(generator))
    shapes = [(1, *options.size), (1, 203, 331), (1, 512, 512)]
    with tempfile.TemporaryDirectory() as folder:
        saved = serving.save(serving.Serving(generator, probabilities=True), Path(folder))
        rows = agreement.compare(generator, saved, graph, shapes, images)
    differ = max(row.worst for row in rows)
    session = agreement.session_of(graph)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        session.run(None, {"image": images[0][None]})
        times.append(time.perf_counter() - start)
    parameters = sum(weight.shape.num_elements() if hasattr(weight.shape, "num_elements") else prod(weight.shape)
                     for weight in generator.weights) / 1e6  # fmt: skip
    error = error_of(generator, graph, images[0])
    print(
        f"| {name} | {'ImageNet' if weights else 'random'} | {head}, {stride} | {parameters:.1f} | "
        f"{flops(graph, options.size):.1f} | {1000 * statistics.median(times[2:]):.0f} | {100 * differ:.4f} % | "
        f"{error:.1e} |",
        flush=True,
    )
    return error <= ERROR and (differ <= LIMIT or not weights)


def error_of(generator, graph, image):
    """Largest difference of a logit between Keras and ONNX, over the standard deviation of the logits."""
    import numpy as np

    from ass_tf.export import agreement

    logits = generator(image[None].astype("float32"), training=False)[1].numpy()
    found = agreement.session_of(agreement.with_scores(graph, upsampled=False)).run(None, {"image": image[None]})[-1]
    if found.shape != logits.shape:
        found = np.moveaxis(found, 1, -1)
    return np.abs(found - logits).max() / logits.std()


def prod(shape):
    result = 1
    for n in shape:
        result *= int(n)
    return result


def pictures(options):
    """uint8 (h, w, 3) each."""
    import numpy as np
    from PIL import Image

    files = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".png"))[:4]
    return [np.asarray(Image.open(file).convert("RGB").resize(options.size[::-1])) for file in files]


def flops(graph, size):
    """GFLOP of the convolutions and products for one image: twice the number of multiplications."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    for dim, value in zip(fixed.graph.input[0].type.tensor_type.shape.dim, (1, *size, 3)):
        dim.dim_value = value
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*inferred.value_info, *inferred.output]
    }
    kernels = {tensor.name: numpy_helper.to_array(tensor).shape for tensor in inferred.initializer}
    total = 0
    for node in inferred.node:
        if node.op_type in ("Conv", "MatMul", "Gemm") and node.input[1] in kernels:
            kernel = kernels[node.input[1]]
            inner = np.prod(kernel[1:]) if node.op_type == "Conv" else kernel[0]
            total += 2 * np.prod(shapes.get(node.output[0], [0])) * inner
    return total / 1e9


if __name__ == "__main__":
    sys.exit(main())
