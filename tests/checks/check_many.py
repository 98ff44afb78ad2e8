"""Inference on a mountain of photographs: shards that share a folder, one of them killed and started again.

    python tests/checks/check_many.py [--count 100000] [--shards 4] [--model FILE] [--folder DIR]

Draws the photographs, runs all shards at once, kills one by signal 9 half-way, starts it again by --resume, and joins
the tables. The exit status is 0 if each photograph has its results once, whole, in its folder, and if each process
holds at its end at most 5 % more memory than after its first 1,000 images. It also prints images a second, next to
those of one process on a part of them. Without --model, a small one with random weights is taken.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1] / "helpers"), str(HERE.parents[2]), str(HERE.parents[2] / "export")]

import exports
import numpy as np
import small_runs
from PIL import Image

SIZE = (64, 96)
FOLDER = 1000  # photographs in a folder
FIRST, GROWTH = 1000, 1.05


def draw(folder, count):
    """Photographs of blocks of colour, a thousand to a folder."""
    random = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"{number // FOLDER:03}" / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize(SIZE[::-1]).save(file, quality=90)


class Shard:
    """A process that works on one share, and what memory it holds after its first images and at its end."""

    def __init__(self, model, photographs, out, place, count, kept=0):
        words = [sys.executable, str(exports.EXPORT / "infer_onnx.py"), str(model), str(photographs), "--out", str(out)]
        words += ["--keep-folders", "--shard", f"{place}/{count}", "--resume", "--threads", "1", "--outputs", "labels"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.table, self.process = out / f".summary-{place}-of-{count}.csv.part", subprocess.Popen(words, **quiet)
        self.kept = kept  # rows of the process before it
        self.first = self.last = None

    def look(self):
        """Notes what it holds; returns whether it still works."""
        rows, held = self.rows(), self.held()
        if rows > self.kept + FIRST and held:
            self.first = self.first or held
            self.last = held
        return self.process.poll() is None

    def held(self):
        """Pages of memory; 0 when it has ended."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0

    def rows(self):
        """Of its table while it is written."""
        try:
            return self.table.read_bytes().count(b"\n") - 1
        except OSError:
            return 0


def model_in(folder):
    """A small model, exported."""
    from ass_tf.export import to_onnx

    run = exports.finished_run(folder / "run", small_runs.draw_scenes(folder))
    if to_onnx.main(["--run", str(run), "--out", str(folder / "model.onnx")]):
        raise SystemExit("the model cannot be exported.")
    return folder / "model.onnx"


def check(options, folder):
    """Prints what was found; returns whether all of it is as it must be."""
    model = options.model or model_in(folder)
    photographs, out = folder / "photographs", folder / "out"
    draw(photographs, options.count)
    print(f"{options.count} photographs of {SIZE[0]} x {SIZE[1]} drawn", flush=True)

    part = sorted(photographs.iterdir())[: max(1, options.count // FOLDER // 20)]
    command = [sys.executable, str(exports.EXPORT / "infer_onnx.py"), str(model), *map(str, part)]
    command += ["--out", str(folder / "alone"), "--outputs", "labels"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = float(done.stdout.splitlines()[-1].split()[0])
    alone = len(part) * min(FOLDER, options.count) / seconds
    print(f"one process: {alone:.0f} images a second, without loading", flush=True)

    start = time.perf_counter()
    shards = [Shard(model, photographs, out, place + 1, options.shards) for place in range(options.shards)]
    victim, killed = shards[1], None
    while sum(shard.look() for shard in shards):
        if killed is None and victim.rows() > options.count / options.shards / 2:
            victim.process.kill()
            victim.process.wait()
            killed = victim.rows()
            shards[1] = Shard(model, photographs, out, 2, options.shards, killed)
        time.sleep(0.5)
    wall = time.perf_counter() - start
    print(f"{options.shards} shards: {options.count / wall:.0f} images a second, with loading and the kill", flush=True)
    print(f"killed after {killed} rows" if killed else "NOT killed: it was too fast")
    subprocess.run([sys.executable, str(exports.EXPORT / "infer_onnx.py"), "join", str(out)], check=True)

    with open(out / "summary.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    expected = {f"{number // FOLDER:03}/{number:06}" for number in range(options.count)}
    whole = {row["name"] for row in rows} == expected and len(rows) == options.count
    whole &= not any(row["error"] for row in rows)
    labels = {str(path.relative_to(out)): path for path in out.rglob("*.png")}
    whole &= labels.keys() == {f"{name}_labels.png" for name in expected}
    for path in labels.values():
        with Image.open(path) as image:
            image.load()
            whole &= image.size == SIZE[::-1]
    print(f"{len(rows)} rows, {len(labels)} label maps: {'each once, whole' if whole else 'NOT each once, whole'}")
    growth = [shard.last / shard.first for shard in shards if shard.first]
    held = [shard.last * 4096 / 2**20 for shard in shards if shard.first]
    print("memory at the end over that after 1,000 images:", ", ".join(f"{ratio:.3f}" for ratio in growth))
    print("MB:", ", ".join(f"{mb:.0f}" for mb in held))
    return whole and bool(killed) and all(status.process.returncode == 0 for status in shards) and max(growth) <= GROWTH


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--folder", type=Path, help="where the files go (default: a temporary folder)")
    options = parser.parse_args()
    if options.folder:
        return 0 if check(options, options.folder) else 1
    with tempfile.TemporaryDirectory() as folder:
        return 0 if check(options, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
