"""One step's time over that of the passes of G that it needs: forward and backward for I_s and I_tl, forward for I_tu.

    python tests/bench/bench_step.py [--backbone resnet101] [--size 256x512] [--method csa] [--rounds 5]
    python tests/bench/bench_step.py --allocator

Both are timed in turn in one run; the quotient of the medians is what counts. With --allocator: a step of the
demo's oracle with freed memory kept, as the commands do, over one with the C library's defaults, in
runs that take turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


TRAIN = """
import sys
from ass_tf import train
from ass_tf.system import process
if sys.argv.pop(1) == "default":
    process.keep_freed = lambda: None
sys.exit(train.main(sys.argv[1:]))
"""


def compare_allocators(rounds):
    """Prints the time of a demo oracle's step in training, with freed memory kept over that without."""
    from ass_tf import demo, streets

    times = {"kept": [], "default": []}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        streets.write_gta5(data / "gta5", 1, 0, demo.DRAWN)
        streets.write_cityscapes(data / "cityscapes", {"train": 8, "val": 1}, 0, demo.DRAWN)
        for turn in range(rounds):
            for way, values in times.items():
                run = data / f"{way}{turn}"
                words = [way, "--config", str(demo.SETTINGS), "--run", str(run), "--set"]
                words += [*demo.overrides("oracle", data, 0), "train.steps=75"]
                subprocess.run([sys.executable, "-c", TRAIN, *words], cwd=ROOT, check=True, capture_output=True)
                records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
                speed = {r["step"]: r["images_per_second"] for r in records if "images_per_second" in r}
                values.append(4 / speed[75])  # a batch of 4
    for way, values in times.items():
        print(f"freed memory {way:<8} {np.median(values):.3f} s a step  ({', '.join(f'{t:.3f}' for t in values)})")
    print(f"the demo's oracle: kept / default = {np.median(times['kept']) / np.median(times['default']):.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--allocator", action="store_true")
    parser.add_argument("--backbone", default="resnet101")
    parser.add_argument("--size", default="256x512")
    parser.add_argument("--method", default="csa")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.allocator:
        return compare_allocators(options.rounds)

    from ass_tf.system import process

    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf import config
    from ass_tf.models.generator import variables_of
    from ass_tf.runs import session

    words = [f"method={options.method}", f"model.backbone={options.backbone}", "model.weights=null"]
    settings = config.load(ROOT / "configs" / "gta_csa.json", words)
    game, _ = session.build_step(settings, session.build_strategy())
    generator, rs = game.networks.generator, np.random.RandomState(0)
    h, w = (int(n) for n in options.size.split("x"))
    images = [tf.constant(rs.uniform(0, 255, (1, h, w, 3)), tf.float32) for _ in range(3)]
    labels = [tf.constant(rs.randint(0, 19, (1, h, w)), tf.int32) for _ in range(2)]
    batch = {"source": (images[0], labels[0]), "labelled": (images[1], labels[1]), "unlabelled": images[2]}
    backbone, head = variables_of(generator)
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
    work = {"step": lambda: game.take(batch), "passes of G": passes}
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
