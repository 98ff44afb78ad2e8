"""One step's time over that of the passes of G that it needs: forward and backward for I_s and I_tl, forward for I_tu.

    python tests/bench_step.py [--backbone resnet101] [--size 256x512] [--method csa] [--rounds 5]

Both are timed in turn in one run; the quotient of the medians is what counts.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="resnet101")
    parser.add_argument("--size", default="256x512")
    parser.add_argument("--method", default="csa")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    import tensorflow as tf

    from ass_tf import adversary, config, train

    words = [f"method={options.method}", f"model.backbone={options.backbone}", "model.weights=null"]
    settings = config.load(ROOT / "configs" / "gta_csa.json", words)
    game, _ = train.build_game(settings, train.build_strategy())
    generator, rs = game.networks.generator, np.random.RandomState(0)
    h, w = (int(n) for n in options.size.split("x"))
    images = [tf.constant(rs.uniform(0, 255, (1, h, w, 3)), tf.float32) for _ in range(3)]
    labels = [tf.constant(rs.randint(0, 19, (1, h, w)), tf.int32) for _ in range(2)]
    batch = {"source": (images[0], labels[0]), "labelled": (images[1], labels[1]), "unlabelled": images[2]}
    backbone, head = adversary.deeplab.variables_of(generator)
    variables = [v if isinstance(v, tf.Variable) else v.value for v in backbone + head]
    pull = tf.constant(rs.standard_normal(generator(images[0])[1].shape), tf.float32)  # a gradient of the logits

    @tf.function
    def passes():
        totals = []
        for image in images[:2]:
            with tf.GradientTape() as tape:
                logits = generator(image, training=True)[1]
            gradients = tape.gradient(logits, variables, output_gradients=pull)
            totals += [tf.reduce_sum(g) for g in gradients]  # so that nothing is pruned
        return tf.add_n(totals) + tf.reduce_sum(generator(images[2], training=True)[1])

    times = {"step": [], "passes of G": []}
    work = {"step": lambda: game.step(batch), "passes of G": passes}
    for turn in range(options.rounds + 1):
        for name, function in work.items():
            start = time.perf_counter()
            for value in tf.nest.flatten(function()):
                value.numpy()
            if turn:  # the first traces
                times[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:<12} {value:8.3f} s  ({', '.join(f'{t:.3f}' for t in times[name])})")
    ratio = medians["step"] / medians["passes of G"]
    print(f"{options.method}, {options.backbone}, {options.size}: step / passes = {ratio:.3f}")


if __name__ == "__main__":
    sys.exit(main())
