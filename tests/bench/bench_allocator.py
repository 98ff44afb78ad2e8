"""A step of the demo's oracle with freed memory kept, as commands do, over one with the C library's defaults.

    python tests/bench/bench_allocator.py [--rounds 5]

The runs take turns; the quotient of the medians is what counts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

TRAIN = """
import sys
from ass_tf import train
from ass_tf.system import process
if sys.argv.pop(1) == "default":
    process.keep_freed = lambda: None
sys.exit(train.main(sys.argv[1:]))
"""


def compare(rounds):
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
                words = [way, "--config", str(demo.CONTENDERS["oracle"].file), "--run", str(run), "--set"]
                words += [*demo.overrides("oracle", data, 0), "train.steps=75"]
                subprocess.run([sys.executable, "-c", TRAIN, *words], cwd=ROOT, check=True, capture_output=True)
                records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
                speed = {r["step"]: r["images_per_second"] for r in records if "images_per_second" in r}
                values.append(4 / speed[75])  # a batch of 4
    for way, values in times.items():
        print(f"freed memory {way:<8} {np.median(values):.3f} s a step  ({', '.join(f'{t:.3f}' for t in values)})")
    print(f"the demo's oracle: kept / default = {np.median(times['kept']) / np.median(times['default']):.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    compare(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
