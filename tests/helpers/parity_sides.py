"""The two sides of the parity with PyTorch: networks, discriminators and games with the same weights, and batches."""

import re

import games
import goldens
import keras
import numpy as np
import tensorflow as tf
import torch
import torch_transcription as reference

from ass_tf.config import schema
from ass_tf.config.backbones import Backbone
from ass_tf.labels import IGNORE
from ass_tf.models import discriminators
from ass_tf.models.generator import build_generator
from ass_tf.weights import torch_files, torch_names

BLOCKS, CLASSES, SIZE = (1, 1, 1, 1), 5, (65, 97)
BACKBONE = Backbone("resnet", {"blocks": BLOCKS})
WIDTHS = {"global_width": 16, "semantic_width": 64}
PAPER = {**schema.Optimiser().model_dump(), **schema.Losses().model_dump()}
OURS_ALONE = (  # PyTorch's side is the paper's method, with SGD and Adam
    *("generator", "generator_options", "discriminator", "discriminator_options", "warmup_steps", "clip_norm"),
    *("class_weights", "hard_pixels"),
)
TO_KERAS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}  # axes of PyTorch's kernels, by rank
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


def to_torch(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def to_keras(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def arrays(state):
    """What of a state dict has a counterpart here, copied."""
    return {name: t.detach().numpy().copy() for name, t in state.items() if not name.endswith("num_batches_tracked")}


def _model(rates, batch_norm="batch"):
    return schema.Model(backbone="resnet50", rates=rates, weights=None, batch_norm=batch_norm)


def networks(rates=(6, 12), classes=CLASSES, batch_norm="batch"):
    """Ours and PyTorch's generator with the same weights, drawn as in the base code but with gamma and beta spread.

    Features are small: at the size that batch norm would give these random ones the head overshoots at the paper's
    rates, and five steps then multiply the rounding of float32 by more than a thousand, in PyTorch alone as well.
    """
    torch.manual_seed(0)
    theirs = reference.DeepLab(classes, BLOCKS, rates)
    for name, tensor in theirs.state_dict().items():
        if ("bn" in name or "downsample.1" in name) and not name.endswith("tracked"):
            calm = 0.03 if re.match(r"layer4.*(bn3|downsample.1).(weight|bias)", name) else 1.0
            tensor.copy_(calm * torch.from_numpy(goldens.draw(name, tuple(tensor.shape))))
    ours = build_generator(classes, _model(rates, batch_norm), backbone=BACKBONE)
    give(ours, theirs)
    return ours, theirs


def give(ours, theirs):
    """Gives our generator the weights of PyTorch's, by the importer."""
    state = arrays(theirs.state_dict())
    tensors = {n: torch_files.Tensor(v.shape, str(v.dtype), lambda v=v: v) for n, v in state.items()}
    rows, others = torch_names.take(ours, tensors)
    assert not others
    assert {row.verdict for row in rows} == {"taken"}


def give_discriminator(ours, theirs):
    """The same for a discriminator, whose layers stand in the same order."""
    ours.set_weights(list(state_of_discriminator(theirs).values()))


def state_of_discriminator(network):
    """PyTorch's weights in Keras' axes."""
    return {name: value.transpose(TO_KERAS[value.ndim]) for name, value in arrays(network.state_dict()).items()}


def draw_batch(seed, classes=CLASSES, count=2):
    """Images and labels of the three domains."""
    rs = np.random.RandomState(seed)
    images = rs.uniform(0, 255, (3, count, *SIZE, 3)).astype("f")
    labels = rs.randint(0, classes, (2, count, *SIZE)).astype("i4")
    labels[:, :, : SIZE[0] // 3] = labels[:, :, :1, :1]  # large areas, so that class means are of many cells
    labels[rs.uniform(size=labels.shape) < 0.1] = IGNORE
    labels[0, 0][labels[0, 0] == 1] = IGNORE  # a class that one image lacks
    return {"source": (images[0], labels[0]), "labelled": (images[1], labels[1]), "unlabelled": images[2]}


def discriminator_pairs(classes=CLASSES, channels=2048):
    """(ours, PyTorch's, input of ours) by name."""
    rs = np.random.RandomState(1)
    probs = rs.dirichlet(np.ones(classes), (2, 64, 96)).astype("f")
    vectors = rs.standard_normal((2, classes, channels)).astype("f")
    features = rs.standard_normal((2, 9, 13, channels)).astype("f")
    semantic = WIDTHS["semantic_width"]
    return {
        "D_g": (
            discriminators.build_global_discriminator(classes, WIDTHS["global_width"]),
            reference.GlobalDiscriminator(classes, WIDTHS["global_width"]),
            probs,
        ),
        "D_s of FCSA": (
            discriminators.build_fcsa_discriminator(classes, channels, semantic),
            reference.VectorDiscriminator(classes, channels, semantic),
            vectors,
        ),
        "D_s of CSA": (
            discriminators.build_csa_discriminator(classes, channels, semantic),
            reference.CellDiscriminator(classes, channels, semantic),
            features,
        ),
    }


def _keep_biased_variance(network):
    """Our running variance is of the biased one, PyTorch's of n / (n - 1) of that: PyTorch's is brought to it."""

    def before(norm, inputs):
        norm.old = norm.running_var.clone()

    def after(norm, inputs, output):
        if norm.training:
            count = inputs[0].numel() / inputs[0].shape[1]
            new = norm.running_var - 0.9 * norm.old
            norm.running_var.data.copy_(0.9 * norm.old + new * (count - 1) / count)

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(before)
            module.register_forward_hook(after)


def step_of_theirs(method, batch):
    """One step of PyTorch's side on a batch of ours."""
    source, labelled = (to_torch(batch[role][0]) for role in ("source", "labelled"))
    labels = [torch.from_numpy(batch[role][1]).long() for role in ("source", "labelled")]
    return method.step(source, labels[0], labelled, labels[1], to_torch(batch["unlabelled"]))


def build_games(method, rates, optimiser, changes):
    """The two sides of `steps`, with the same weights."""
    keras.utils.set_random_seed(0)
    settings = {**schema.Optimiser().model_dump(), **optimiser}
    weights = {**schema.Losses().model_dump(), **changes}
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        ours = games.assemble(
            method,
            build_generator(CLASSES, _model(rates), backbone=BACKBONE),
            strategy,
            widths=schema.Discriminators(**WIDTHS),
            optimiser=optimiser,
            losses=changes,
        )
    nets = ours.networks
    generator = networks(rates)[1]
    _keep_biased_variance(generator)
    give(nets.generator, generator)
    pairs = discriminator_pairs()
    d_g = pairs["D_g"][1]
    d_s = {"fcsa": pairs["D_s of FCSA"][1], "csa": pairs["D_s of CSA"][1]}.get(method)
    for network, values in zip(nets[1:], (d_g, d_s)):
        if network is not None:
            give_discriminator(network, values)
    beta_1, beta_2 = settings.pop("beta_1"), settings.pop("beta_2")
    for name in OURS_ALONE:
        value = (settings if name in settings else weights).pop(name)
        assert value == PAPER[name], f"PyTorch's side has no {name}"
    return ours, reference.Method(method, generator, d_g, d_s, betas=(beta_1, beta_2), **settings, **weights)


def weights_of(game):
    """Our weights by network, under PyTorch's names and in its axes."""
    found = {"G": torch_names.state_of(game.networks.generator)}
    for name, network in zip(("D_g", "D_s"), game.networks[1:]):
        if network is not None:
            found[name] = {str(i): w.transpose(TO_TORCH[w.ndim]) for i, w in enumerate(network.get_weights())}
    return found


def weights_of_theirs(method):
    """The same of PyTorch's."""
    found = {"G": arrays(method.generator.state_dict())}
    for name, network in zip(("D_g", "D_s"), method.discriminators):
        found[name] = {str(i): w for i, w in enumerate(arrays(network.state_dict()).values())}
    return found
