"""A step of one run by several workers on this machine, next to what a model of its messages predicts.

    python tests/bench/bench_workers.py [--workers 1 2 4] [--size 96x128] [--backbone mobilenetv2]

Every worker has one core, number i mod the cores. With n workers it measures all-reduces of vectors of several sizes,
from which follow the seconds of a message and of a byte, and GA+CSA's step with one image of each domain for a worker.
Predicted are the seconds of one worker, times how many of them share a core, plus those of all messages that the step's
graph holds. `docs/cluster.md` carries the model on to GPUs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1] / "helpers")]
CHAIN, SHORT, LONG = 50, 1000, 1_000_000  # as many numbers as the statistics of a batch norm have, about
FLOATS = (1, 1000, 30_000, 1_000_000, 10_000_000)  # of the vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--size", default="96x128", metavar="HxW")
    parser.add_argument("--backbone", default="mobilenetv2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options)

    from ass_tf.system import machine

    print(machine.describe())
    alone = None
    for count in options.workers:
        found = measured(count, options)
        alone = alone or found["step"]
        print(f"\n{count} workers: a step takes {found['step']:.3f} s")
        if count == 1:
            continue
        seconds = {int(floats): value for floats, value in found["reduce"].items()}
        print("  all-reduce:", ", ".join(f"{4 * n:,} bytes {1000 * s:.2f} ms" for n, s in seconds.items()))
        largest = max(seconds)
        message, byte = seconds[SHORT], (seconds[largest] - seconds[SHORT]) / (4 * largest)
        messages = found["messages"]
        sent = len(messages) * message + sum(messages) * byte
        shared = -(-count // os.cpu_count())
        print(f"  a message {1000 * message:.2f} ms, a byte {1e9 * byte:.2f} ns")
        small = sum(size < 65536 for size in messages)
        print(f"  the step's graph: {len(messages)} messages ({small} below 64 kB) of {sum(messages) / 1e6:.1f} MB")
        predicted = shared * alone + sent
        ratio = found["step"] / predicted
        print(f"  predicted: {shared} x {alone:.3f} + {sent:.3f} = {predicted:.3f} s; measured over it {ratio:.2f}")
    return 0


def measured(count, options):
    """What the first of `count` workers found."""
    from worker_processes import free_addresses

    addresses = ",".join(free_addresses(count))
    words = [sys.executable, str(HERE), "--size", options.size, "--backbone", options.backbone]
    words += ["--rounds", str(options.rounds), "--worker", addresses]
    workers = [subprocess.Popen([*words, str(i)], stdout=subprocess.PIPE, text=True) for i in range(count)]
    printed = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise SystemExit(f"{count} workers: one of them failed.")
    return json.loads(printed[0].splitlines()[-1])


def work(options):
    """One worker: prints the medians."""
    addresses, index = options.worker[0].split(","), int(options.worker[1])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {index % os.cpu_count()})
    from ass_tf.system import process

    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf import config
    from ass_tf.runs import session
    from ass_tf.system.cluster import Cluster

    cluster = Cluster(tuple(addresses), index) if len(addresses) > 1 else None
    strategy = session.build_strategy(cluster)
    found = {"reduce": {n: reduce_seconds(strategy, n, options.rounds) for n in FLOATS} if cluster else {}}
    h, w = map(int, options.size.split("x"))
    words = [f"model.backbone={options.backbone}", "model.weights=null", "model.rates=[2,6,12]"]
    words += [f"batch.{role}={len(addresses)}" for role in ("source", "labelled", "unlabelled")]
    settings = config.load(HERE.parents[2] / "configs" / "gta_csa.json", words)
    step, _ = session.build_step(settings, strategy)
    random = np.random.RandomState(index)

    def spread(array):
        return strategy.experimental_distribute_values_from_function(lambda _: tf.constant(array))

    images = [spread(random.uniform(0, 255, (1, h, w, 3)).astype("f")) for _ in range(3)]
    labels = [spread(random.randint(0, 19, (1, h, w)).astype("i4")) for _ in range(2)]
    batch = {"source": (images[0], labels[0]), "labelled": (images[1], labels[1]), "unlabelled": images[2]}
    step.take(batch)
    found["step"] = median_seconds(lambda: step.take(batch), options.rounds)
    found["messages"] = messages_of(step, batch)
    print(json.dumps(found))
    return 0


def reduce_seconds(strategy, floats, rounds):
    """Of the sum of a vector over all workers, one of several that wait for one another in a graph."""
    import tensorflow as tf

    ones = strategy.experimental_distribute_values_from_function(lambda _: tf.ones(floats))
    chain = CHAIN if floats < LONG else 3

    def sums(values, count):
        for _ in range(count):
            values = tf.distribute.get_replica_context().all_reduce("MEAN", 1.0 * values)
        return tf.reduce_sum(values)

    @tf.function
    def total(values, count):
        return strategy.run(sums, (values, count))

    for count in (1, chain):
        total(ones, count)
    one, all_of_them = (
        median_seconds(lambda n=n: strategy.experimental_local_results(total(ones, n))[0].numpy(), rounds)
        for n in (1, chain)
    )
    return (all_of_them - one) / (chain - 1)


def messages_of(step, batch):
    """Bytes of every all-reduce in the graph of a step."""
    import tensorflow as tf

    graph = step._take.get_concrete_function(batch, False, False, tf.constant(0.0)).graph
    values = [o.inputs[0] for o in graph.get_operations() if o.type.startswith("CollectiveReduce")]
    return [int(np.prod(value.shape)) * value.dtype.size for value in values]


def median_seconds(action, rounds):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
