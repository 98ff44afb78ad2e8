"""Many photographs through an exported model by Ray Data: python ray_inference.py MODEL IMAGES... --out DIR

Without a cluster, Ray starts one on this machine; in a job of a cluster, or with RAY_ADDRESS set, it uses that one. All
of its machines need ass_tf and must see MODEL, IMAGES and DIR under the same names. Each actor has a session of its
own; Ray starts an actor that dies anew, and gives its photographs to it or to another.

    pip install 'ass_tf[ray]'
"""

import argparse
import sys
from pathlib import Path

import ray

from street_inference import drawing, flow, images, naming, segmenter, summary


class Segment:
    """One actor: reads, segments and writes photographs."""

    def __init__(self, model, options, threads):
        self.model = segmenter.Segmenter(model, threads=threads)
        self.options = options

    def __call__(self, batch):
        rows = {}
        columns = (batch[key] for key in ("number", "path", "name"))
        jobs = (flow.Photograph(Path(path), name, number) for number, path, name in zip(*columns))
        flow.segment(self.model, jobs, self.options, lambda p: rows.update({p.number: self.row(p)}))
        return {"number": list(rows), "row": list(rows.values())}

    def row(self, photograph):
        return summary.row_of(photograph, len(self.model.names))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--actors", type=int, default=2, help="how many sessions (default: %(default)s)")
    parser.add_argument("--cpus", type=int, default=1, help="cores of each (default: %(default)s)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="photographs that an actor takes at a time")
    given = parser.parse_args()

    model = segmenter.Segmenter(given.model)
    given.out.mkdir(parents=True, exist_ok=True)
    options = flow.Options(
        out=given.out.resolve(),
        outputs=drawing.DEFAULTS,
        max_pixels=images.MAX_PIXELS,
        max_side=max(model.size),
        fixed=model.fixed[1:],
    )
    paths = images.find(given.images, given.out)
    names = naming.folder_names(paths, given.images)
    jobs = [{"number": n, "path": str(p.resolve()), "name": name} for n, (p, name) in enumerate(zip(paths, names))]
    done = ray.data.from_items(jobs).map_batches(
        Segment,
        fn_constructor_args=(str(given.model.resolve()), options, given.cpus),
        compute=ray.data.ActorPoolStrategy(size=given.actors),
        batch_size=given.batch,
        num_cpus=given.cpus,
        num_gpus=given.gpus,
    )
    table = summary.Summary(given.out, summary.WHOLE, model.names)
    try:
        for found in done.iter_rows():
            table.add(int(found["number"]), list(found["row"]))
    finally:
        table.close()
    print(f"{table.count - table.skipped} images in {given.out}, {table.skipped} skipped")
    return 1 if table.skipped or table.count < len(jobs) else 0


if __name__ == "__main__":
    sys.exit(main())
