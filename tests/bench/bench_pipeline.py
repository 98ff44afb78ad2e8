"""Images per second of the input pipeline over those of a plain Pillow loop doing the same work, on one core.

    python tests/bench/bench_pipeline.py [--count 24] [--rounds 5]

Both read drawn pairs of GTA5's size (1914 x 1052) as training does, at 1280 x 720, in rounds that alternate in one
process; their median ratio is what counts. Importing `pipeline` has Pillow keep freed memory, which speeds the loop up,
too: the loop is measured with Pillow's defaults, and a second time with what `pipeline` sets.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PIL import Image

from ass_tf import datasets, labels, streets
from ass_tf.config import schema

SIZE = (720, 1280)


def plain(pair, table):
    """float32 image and int32 labels, by Pillow and NumPy alone."""
    with Image.open(pair.image) as file:
        image = np.asarray(file.resize(SIZE[::-1], Image.Resampling.BICUBIC)).astype(np.float32)
    with Image.open(pair.label) as file:
        label = table[np.asarray(file.resize(SIZE[::-1], Image.Resampling.NEAREST))].astype(np.int32)
    return image, label


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=24, help="pairs drawn, and read per round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        streets.write_gta5(Path(root), options.count, 0, (1052, 1914))
        if hasattr(os, "sched_setaffinity"):  # before TensorFlow starts its threads
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        sizes = [path.stat().st_size for path in Path(root).rglob("images/*.png")]
        print(f"{len(sizes)} images of {statistics.mean(sizes) / 1e6:.2f} MB on average, one core")
        measure(root, options.count, options.rounds)


def measure(root, count, rounds):
    defaults = Image.core.get_block_size(), Image.core.get_blocks_max()
    from ass_tf.datasets import pipeline

    kept = Image.core.get_block_size(), Image.core.get_blocks_max()
    section = schema.Domain(dataset="gta5", root=str(root), size=SIZE)
    domain = datasets.open_domain(labels.CLASS_SETS["cityscapes19"], section)
    data = pipeline.training_dataset({"source": domain}, {"source": 1}, pipeline.PLAIN, seed=0)

    def set_memory(block_size, blocks_max):
        Image.core.clear_cache()
        Image.core.set_block_size(block_size)
        Image.core.set_blocks_max(blocks_max)

    def loop_speed(memory):
        set_memory(*memory)
        for pair in domain.pairs[:2]:
            plain(pair, domain.table)
        start = time.perf_counter()
        for pair in domain.pairs:
            plain(pair, domain.table)
        return count / (time.perf_counter() - start)

    def pipeline_speed():
        set_memory(*kept)
        batches = iter(data)
        for _ in range(
            16
        ):  # until the buffers no longer grow, so that the work in `count` reads is that of `count` images
            next(batches)
        start = time.perf_counter()
        for _ in range(count):
            next(batches)
        return count / (time.perf_counter() - start)

    ratios, ratios_kept = [], []
    for _ in range(rounds):
        loop, ours, loop_kept = loop_speed(defaults), pipeline_speed(), loop_speed(kept)
        ratios.append(ours / loop)
        ratios_kept.append(ours / loop_kept)
        print(f"images/s: loop {loop:.2f}, pipeline {ours:.2f}, loop with kept memory {loop_kept:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}; with kept memory {statistics.median(ratios_kept):.2f}")
    check_arrays(domain, data)


def check_arrays(domain, data):
    """One epoch of the pipeline against the loop, bit for bit."""
    expected = {image.tobytes(): label for image, label in (plain(pair, domain.table) for pair in domain.pairs)}
    for batch in data.take(len(domain.pairs)):
        image, label = (array.numpy()[0] for array in batch["source"])
        if not np.array_equal(expected.pop(image.tobytes(), None), label):
            raise SystemExit("the pipeline's arrays must equal the loop's.")
    print("arrays are equal, bit for bit")


if __name__ == "__main__":
    main()
