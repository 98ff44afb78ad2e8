"""Seconds of a GA+CSA step: ours, that of a plain PyTorch transcription, and the passes of G that no step can spare.

    python tests/bench/bench_step.py [--backbones mobilenetv2 resnet101] [--precisions float32 bfloat16] [--rounds 5]
    python tests/bench/bench_step.py --size 512x1024 --images 2 --precisions float32 bfloat16 float16
    python tests/bench/bench_step.py --earlier CHECKOUT

Every contender is a process of its own, and they take turns; the medians' ratios count. With --earlier, the step of
another checkout of this package takes its turns, too. All use the first GPU where there is one. bfloat16 is left out
where the device cannot multiply it. On GPUs, float32 means TensorFloat-32 in both libraries' products.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import turns

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# (height, width), images of each domain, rates of the head
SHAPES = {"mobilenetv2": ((192, 256), 2, (2, 6, 12)), "resnet101": ((256, 512), 1, (6, 12, 18, 24))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--size", type=size, metavar="HxW", help="of the images, in place of each network's own")
    parser.add_argument("--images", type=int, help="of each domain, in place of each network's own number")
    parser.add_argument("--rounds", type=int, default=5)
    text = "start the contenders at the same time: sooner done, but the times to the first step say nothing"
    parser.add_argument("--together", action="store_true", help=text)
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--earlier", type=Path, metavar="CHECKOUT", help="another checkout, for comparison")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(*options.worker, shape_of(options.worker[1], options))

    sys.path.insert(0, str(ROOT))
    from ass_tf.system import machine

    print(machine.describe())
    fast = bool(machine.gpus() or machine.BFLOAT16 & set(machine.cpu_features()))
    for backbone in options.backbones:
        for precision in options.precisions or (["float32", "bfloat16"] if fast else ["float32"]):
            compare(backbone, precision, options)


def size(text):
    height, _, width = text.partition("x")
    return int(height), int(width)


def shape_of(backbone, options):
    """(height, width), images of each domain and rates, as the options say or as SHAPES does."""
    own_size, count, rates = SHAPES[backbone]
    return options.size or own_size, options.images or count, rates


def compare(backbone, precision, options):
    """Prints the times of all contenders for one network and one precision."""
    (h, w), count, _ = shape_of(backbone, options)

    def worker(kind, root=ROOT):
        command = [sys.executable, __file__, "--worker", kind, backbone, precision]
        command += ["--size", f"{h}x{w}", "--images", str(count)]
        process = turns.Worker(command, {"PYTHONPATH": str(root)})
        return process if options.together else process.prepare()

    workers = {"step": worker("step"), "passes of G": worker("passes")}
    if options.earlier:
        workers["earlier"] = worker("step", options.earlier.resolve())
    if not options.without_torch:
        workers |= {f"PyTorch {layout}": worker(f"torch-{layout}") for layout in ("nchw", "nhwc")}
    for process in workers.values() if options.together else ():
        process.prepare()
    first = {name: process.first for name, process in workers.items()}
    memory = {name: process.facts["memory"] for name, process in workers.items()}
    results = turns.take_turns(workers, options.rounds)
    print(f"\n{backbone}, {precision}, {h} x {w}, {count} + {count} + {count} images")
    for name, (median, times) in results.items():
        print(
            f"  {name:<13} {median:7.3f} s  {' '.join(f'{t:.3f}' for t in times)}; "
            f"command to first step {first[name]:.1f} s, {memory[name]:.0f} MB"
        )
    own = results["step"][0]
    ratios = {"passes of G": results["passes of G"][0]}
    if options.earlier:
        ratios["earlier step"] = results["earlier"][0]
    torch = [median for name, (median, _) in results.items() if name.startswith("PyTorch")]
    if torch:
        ratios["PyTorch's faster layout"] = min(torch)
    for name, seconds in ratios.items():
        print(f"  step / {name} = {own / seconds:.3f}")


def work(kind, backbone, precision, shape):
    """A contender's process."""
    (h, w), count, rates = shape
    rs = np.random.RandomState(0)
    images = [rs.uniform(0, 255, (count, h, w, 3)).astype("f") for _ in range(3)]
    labels = [rs.randint(0, 19, (count, h, w)).astype("i4") for _ in range(2)]
    if kind.startswith("torch"):
        import torch_side

        step = torch_side.build_step(backbone, images, labels, rates, precision, kind.removeprefix("torch-"))
    else:
        step = our_step(kind, backbone, images, labels, rates, precision)
    step()
    from ass_tf.system import process

    turns.serve(step, memory=process.resident_memory() or 0)


def our_step(kind, backbone, images, labels, rates, precision):
    """A function that takes our step, or the passes of G that it needs."""
    from ass_tf.system import process

    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf import config
    from ass_tf.runs import session

    count, policy = len(images[0]), precision if precision == "float32" else f"mixed_{precision}"
    words = [f"model.backbone={backbone}", "model.weights=null", f"model.rates={list(rates)}"]
    words += [f"train.precision={policy}", *(f"batch.{role}={count}" for role in ("source", "labelled", "unlabelled"))]
    settings = config.load(ROOT / "configs" / "gta_csa.json", words)
    game, _ = session.build_step(settings, session.build_strategy())
    images = [tf.constant(array) for array in images]
    labels = [tf.constant(array) for array in labels]
    if kind == "step":
        batch = {"source": (images[0], labels[0]), "labelled": (images[1], labels[1]), "unlabelled": images[2]}
        return lambda: list(map(float, game.take(batch).values()))
    passes = passes_of(game.networks.generator, images)
    return lambda: passes().numpy()


def passes_of(generator, images):
    """Forward and backward for I_s and I_tl, forward for I_tu, as a graph function."""
    import tensorflow as tf

    from ass_tf.methods.optimisers import raw
    from ass_tf.models.generator import variables_of

    backbone, head = variables_of(generator)
    variables = raw(backbone + head)
    pull = tf.random.stateless_normal(generator(images[0])[1].shape, (0, 0))  # a gradient of the logits

    @tf.function
    def passes():
        totals = []
        for image in images[:2]:
            with tf.GradientTape() as tape:
                logits = generator(image, training=True)[1]
            gradients = tape.gradient(logits, variables, output_gradients=pull)
            totals += [tf.reduce_sum(g) for g in gradients]  # so that nothing is pruned
        return tf.add_n(totals) + tf.reduce_sum(generator(images[2], training=True)[1])

    return passes


if __name__ == "__main__":
    sys.path.insert(0, os.environ.get("PYTHONPATH") or str(ROOT))
    sys.exit(main())
