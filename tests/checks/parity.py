"""How far the package is from PyTorch modules with the same weights: one figure per quantity.

    python tests/checks/parity.py            prints the README's table (needs PyTorch: make parity)

A figure is the largest difference within a tensor over its largest value (after steps: the 2-norms of the two), and of
several tensors the worst. What the steps have moved is compared as well, since weights that hardly move agree anyway.
`torch_transcription` is the other side, written from the paper's equations alone.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import goldens
import keras
import numpy as np
import tensorflow as tf
import torch
import torch_transcription as reference
from parity_sides import (
    CLASSES,
    SIZE,
    TO_KERAS,
    build_games,
    discriminator_pairs,
    draw_batch,
    give_discriminator,
    networks,
    step_of_theirs,
    to_keras,
    to_torch,
    weights_of,
    weights_of_theirs,
)

from ass_tf.config import schema
from ass_tf.methods import losses, optimisers
from ass_tf.methods.optimisers import raw
from ass_tf.models import resize
from ass_tf.models.generator import build_generator, variables_of
from ass_tf.weights import initial, torch_names

STRONG = {"lambda_gadv": 1.0, "lambda_sadv": 1.0}  # the adversaries' share of G's gradient is then like the labels'
BACKWARDS = {**STRONG, "direction": "target_to_source"}
RELEASED = {"rates": (6, 12), "optimiser": {"backbone_multiplier": 3.0, "nesterov": False}}


def difference(ours, theirs):
    """Largest difference of two arrays over the largest value of the second."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def worst(ours, theirs):
    """The largest `difference` of two dicts of arrays."""
    assert ours.keys() == theirs.keys()
    return max(difference(ours[name], theirs[name]) for name in ours)


def logits_and_features(training):
    """Of a small ResNet, by running statistics or by the batch's."""
    ours, theirs = networks()
    theirs.train(training)
    images = draw_batch(0)["source"][0]
    with torch.no_grad():
        expected = theirs(reference.normalise(to_torch(images)))
    found = ours(images, training=training)
    mode = "batch" if training else "running"
    return {
        f"features, {mode} statistics": difference(found[0], to_keras(expected[0])),
        f"logits, {mode} statistics": difference(found[1], to_keras(expected[1])),
    }


def gradients(training):
    """Of the cross-entropy, for every tensor that learns."""
    ours, theirs = networks(batch_norm="batch" if training else "frozen")
    theirs.train(training)
    images, labels = draw_batch(0)["source"]
    logits = theirs(reference.normalise(to_torch(images)))[1]
    reference.segmentation_loss(reference.upsample(logits, SIZE), torch.from_numpy(labels).long()).backward()
    expected = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.requires_grad}
    backbone, head = variables_of(ours)
    with tf.GradientTape() as tape:
        upsampled = resize.upsample(ours(images, training=True)[1], SIZE)
        loss = tf.reduce_mean(losses.segmentation_loss(upsampled, labels))
    found = dict(zip(_names_of(ours), tape.gradient(loss, raw(backbone + head))))
    found = {n: np.transpose(g, (3, 2, 0, 1)) if g.shape.rank == 4 else g for n, g in found.items()}
    return {f"gradients of the cross-entropy, {'batch' if training else 'running'} statistics": worst(found, expected)}


def _names_of(generator):
    """PyTorch's names of what `deeplab.variables_of` returns, in its order."""
    layers = [x for x in generator.layers if not isinstance(x, keras.layers.BatchNormalization)]
    layers.sort(key=lambda layer: layer.name.startswith("head_"))  # stable: the backbone keeps its order
    names = [[f"{torch_names.name_of(x.name)}.{part}" for part in ("weight", "bias")] for x in layers]
    return [name for x, both in zip(layers, names) for name in both[: len(x.trainable_variables)]]


def outputs_of_discriminators():
    """Outputs, and gradients of a weighted sum of them, of D_g and both D_s."""
    figures = {}
    for name, (ours, theirs, values) in discriminator_pairs().items():
        give_discriminator(ours, theirs)
        maps = values.ndim == 4
        inputs = (to_torch(values) if maps else torch.from_numpy(values)).requires_grad_()
        expected = theirs(inputs)
        weights = np.random.RandomState(2).standard_normal(expected.shape).astype("f")
        (expected * torch.from_numpy(weights)).sum().backward()
        weights = weights.transpose(0, 2, 3, 1) if maps else weights
        given = tf.constant(values)
        with tf.GradientTape() as tape:
            tape.watch(given)
            found = ours(given, training=True)
            total = tf.reduce_sum(found * weights)
        of_input, *of_weights = tape.gradient(total, [given, *raw(ours.trainable_variables)])
        wanted = [p.grad.numpy().transpose(TO_KERAS[p.ndim]) for p in theirs.parameters()]
        back = to_keras if maps else lambda tensor: tensor.detach().numpy()
        pairs = [(of_input, back(inputs.grad)), *zip(of_weights, wanted)]
        figures[f"{name}: outputs"] = difference(found, back(expected))
        figures[f"{name}: gradients"] = max(difference(a, b) for a, b in pairs)
    return figures


def steps_of_optimisers(nesterov):
    """Ten steps of SGD and of Adam on drawn gradients, under the polynomial schedule."""
    figures = {}
    start = np.random.RandomState(0).standard_normal((40, 50)).astype("f")
    schedule = partial(keras.optimizers.schedules.PolynomialDecay, end_learning_rate=0.0, power=0.9)
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    pairs = {
        f"SGD{' with Nesterov momentum' if nesterov else ''}, ten steps": (
            optimisers.SGD(schedule(0.02, 20), 0.9, nesterov, 5e-4),
            torch.optim.SGD([parameter], 0.02, 0.9, nesterov=nesterov, weight_decay=5e-4),
            0.02,
        )
    }
    if nesterov:
        pairs["Adam, ten steps"] = (
            optimisers.Adam(schedule(1e-3, 20), 0.9, 0.99, 1e-8),
            torch.optim.Adam([parameter], 1e-3, (0.9, 0.99), 1e-8),
            1e-3,
        )
    for name, (ours, theirs, rate) in pairs.items():
        variable = tf.Variable(start)
        parameter.data = torch.from_numpy(start.copy())
        for step in range(10):
            gradient = np.random.RandomState(1 + step).standard_normal(start.shape).astype("f")
            ours.apply_gradients([(tf.constant(gradient), variable)])
            theirs.param_groups[0]["lr"] = rate * (1 - step / 20) ** 0.9
            parameter.grad = torch.from_numpy(gradient)
            theirs.step()
        figures[name] = difference(variable.numpy() - start, parameter.detach().numpy() - start)
    return figures


def upsampling():
    """Bilinear, aligned corners, to an even and an odd size."""
    scores = np.random.RandomState(0).standard_normal((2, 9, 17, CLASSES)).astype("f")
    return {
        f"aligned-corner upsampling to {h} x {w}": difference(
            resize.upsample(scores, (h, w)), to_keras(reference.upsample(to_torch(scores), (h, w)))
        )
        for h, w in ((64, 128), (65, 97))
    }


def steps(method, label, count=5, rates=(6, 12, 18, 24), optimiser=None, **changes):
    """Steps of the whole method on as many batches: losses, weights, and how far the weights moved."""
    ours, theirs = build_games(method, rates, optimiser or {}, changes)
    start, losses_apart = weights_of_theirs(theirs), 0.0
    for seed in range(count):
        batch = draw_batch(seed)
        found = ours.take(tf.nest.map_structure(tf.constant, batch)).items()
        terms = {name: float(value) for name, value in found if "_accuracy_" not in name}
        expected = step_of_theirs(theirs, batch)
        assert terms.keys() == expected.keys()
        losses_apart = max(losses_apart, *(abs(terms[n] - expected[n]) / abs(expected[n]) for n in terms))
    weights, movement = apart(weights_of(ours), weights_of_theirs(theirs), start)
    return {f"{label}: losses": losses_apart, f"{label}: weights": weights, f"{label}: movement": movement}


def apart(found, expected, start):
    """Worst relative difference of a tensor, by the 2-norm: of the weights, and of what the steps moved."""
    weights, movement = [], []
    for name, tensors in expected.items():
        assert found[name].keys() == tensors.keys()
        for key, value in tensors.items():
            error = np.linalg.norm(found[name][key] - value)
            weights.append(error / np.linalg.norm(value))
            if np.any(value != start[name][key]):
                movement.append(error / np.linalg.norm(value - start[name][key]))
    return max(weights), max(movement)


def rounding():
    """PyTorch against itself, with initial weights that differ by about one rounding of float32: what to expect."""
    first, second = (build_games("csa", (6, 12, 18, 24), {}, {})[1] for _ in range(2))
    noise = torch.Generator().manual_seed(0)
    for one, other in zip((first.generator, *first.discriminators), (second.generator, *second.discriminators)):
        other.load_state_dict(one.state_dict())
        for p in other.parameters():
            p.data *= 1 + 6e-8 * torch.randn(p.shape, generator=noise)
    start = weights_of_theirs(first)
    for seed in range(5):
        for side in (first, second):
            step_of_theirs(side, draw_batch(seed))
    weights, movement = apart(weights_of_theirs(second), weights_of_theirs(first), start)
    label = "for comparison, PyTorch against itself one rounding apart, GA+CSA, five steps"
    return {f"{label}: weights": weights, f"{label}: movement": movement}


def resnet101(folder, size=(512, 1024)):
    """The full network imported from a PyTorch file by the command; its seconds, and the logits at full size."""
    theirs = reference.DeepLab(19).eval()
    for name, tensor in theirs.state_dict().items():
        if not name.endswith("tracked"):
            tensor.copy_(torch.from_numpy(goldens.draw(name, tuple(tensor.shape))))
    torch.save({f"Scale.{n}": t for n, t in theirs.state_dict().items()}, folder / "resnet101.pth")
    command = [sys.executable, "-m", "ass_tf.weights", str(folder / "resnet101.pth"), "--out"]
    start = time.perf_counter()
    subprocess.run([*command, str(folder / "w.safetensors")], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    weights = str(folder / "w.safetensors")
    model = schema.Model(weights=weights)  # ResNet-101 with four branches
    ours = build_generator(19, model)
    initial.load_initial(ours, model)
    images = np.random.RandomState(0).uniform(0, 255, (1, *size, 3)).astype("f")
    with torch.no_grad():
        expected = theirs(reference.normalise(to_torch(images)))[1]
    return difference(ours(images, training=False)[1], to_keras(expected)), seconds


MEASURES = {
    "running": partial(logits_and_features, training=False),
    "batch": partial(logits_and_features, training=True),
    "gradients_running": partial(gradients, training=False),
    "gradients_batch": partial(gradients, training=True),
    "discriminators": outputs_of_discriminators,
    "nesterov": partial(steps_of_optimisers, nesterov=True),
    "momentum": partial(steps_of_optimisers, nesterov=False),
    "upsampling": upsampling,
    "ga": partial(steps, "ga", "GA, five steps"),
    "fcsa": partial(steps, "fcsa", "GA+FCSA, five steps"),
    "csa": partial(steps, "csa", "GA+CSA, five steps"),
    "released": partial(steps, "csa", "GA+CSA as released, five steps", **RELEASED),
    "strong_fcsa": partial(steps, "fcsa", "GA+FCSA, both lambdas 1, one step", count=1, **STRONG),
    "strong_csa": partial(steps, "csa", "GA+CSA, both lambdas 1, one step", count=1, **STRONG),
    "other_direction_fcsa": partial(steps, "fcsa", "the same towards the source, FCSA", count=1, **BACKWARDS),
    "other_direction_csa": partial(steps, "csa", "the same towards the source, CSA", count=1, **BACKWARDS),
}


def limit(quantity):
    """The most that a quantity may differ by; movement takes more, as a flipped ReLU changes a whole gradient."""
    if quantity.endswith("movement"):
        return 5e-2 if "five" in quantity else 1e-3
    return 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="leave the full ResNet-101 out")
    options = parser.parse_args()
    print("| quantity | largest relative difference |\n|---|---|")
    for measure in (*MEASURES.values(), rounding):
        for name, figure in measure().items():
            print(f"| {name} | {figure:.1e} |", flush=True)
    if not options.small:
        with tempfile.TemporaryDirectory() as folder:
            figure, seconds = resnet101(Path(folder))
        print(f"| ResNet-101 from a PyTorch file, logits at 512 x 1024 | {figure:.1e} |")
        print(f"\nImported in {seconds:.1f} s.")


if __name__ == "__main__":
    main()
