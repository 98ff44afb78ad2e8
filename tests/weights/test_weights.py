"""Weights from files of others, and for them: what is taken, what is not and why, and what is refused."""

import importlib.util
import json
import subprocess
import sys

import goldens
import keras
import numpy as np
import pytest
import small_runs
from safetensors.numpy import load_file, save_file
from small_networks import CLASSES, assert_holds, build, small_state, take, tensors

from ass_tf.models import CAFFE_BGR_MEAN
from ass_tf.runs import trained
from ass_tf.weights import __main__ as weights_command
from ass_tf.weights import torch_files, torch_names

with_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not here: make test-torch"
)


def test_names_are_the_base_codes():
    for ours, theirs in {
        "conv1_conv": "conv1",
        "conv1_bn": "bn1",
        "conv2_block1_0_conv": "layer1.0.downsample.0",
        "conv4_block23_2_bn": "layer3.22.bn2",
        "conv5_block3_3_conv": "layer4.2.conv3",
        "head_1": "layer5.conv2d_list.1",
    }.items():
        assert torch_names.name_of(ours) == theirs


@pytest.mark.parametrize("prefix", ["", "module.", "Scale.", "module.Scale."])
def test_prefixes_of_the_base_codes_files_are_dropped(prefix):
    generator, rows = take({prefix + name: value for name, value in small_state().items()})
    assert {row.verdict for row in rows.values()} == {"taken"}
    assert_holds(generator, small_state())


def test_a_resnet_under_a_prefix_beside_other_tensors_is_found():
    backbone = {f"backbone.{n}": v for n, v in small_state().items() if not n.startswith("layer5")}
    _, rows = take({**backbone, "classifier.4.weight": np.zeros((21, 256, 1, 1), "f")})
    assert rows["layer4.0.conv3.weight"].verdict == "taken"
    assert rows["classifier.4.weight"].verdict == "skipped"


def test_the_layout_is_told_from_the_head_or_from_the_file_itself(tmp_path):
    nowhere = tmp_path / "x.pth"
    assert torch_names.layout_of(nowhere, ["conv1.weight", "layer5.conv2d_list.0.weight"]) == "adaptsegnet"
    for names in (["conv1.weight", "fc.weight"], ["classifier.conv2d_list.0.weight"], ["conv1.weight"]):
        assert torch_names.layout_of(nowhere, names) is None  # Caffe's and torchvision's are alike
    torch_files.save(tmp_path / "ours.safetensors", {"conv1.weight": np.zeros(1, "f")}, {})
    assert torch_names.layout_of(tmp_path / "ours.safetensors", ["conv1.weight"]) == "adaptsegnet"


def test_two_networks_in_one_file_are_refused():
    both = {**small_state(), **{f"backbone.{name}": value for name, value in small_state().items()}}
    with pytest.raises(ValueError, match=r"holds both backbone\.conv1\.weight and conv1\.weight"):
        torch_names.tidy(tensors(both))


def test_a_deeper_resnet_is_refused():
    _, rows = take({**small_state(), "layer3.1.conv1.weight": np.zeros((256, 1024, 1, 1), "f")})
    ours, others = list(rows.values())[:-1], list(rows.values())[-1:]
    with pytest.raises(ValueError, match=r"holds layer3\.1\.conv1\.weight, .* another backbone"):
        torch_names.refuse_gaps(ours, others)


def test_the_multi_level_model_gives_its_main_head():
    head = {n: v for n, v in small_state().items() if n.startswith("layer5")}
    auxiliary = {"layer5.conv2d_list.0.weight": np.ones((CLASSES, 1024, 3, 3), "f")}
    state = {n: v for n, v in small_state().items() if n not in head}
    main = {n.replace("layer5", "layer6"): v for n, v in head.items()}
    generator, rows = take({**state, **auxiliary, **main})
    assert_holds(generator, small_state())
    assert rows["auxiliary.conv2d_list.0.weight"].verdict == "skipped"
    assert "auxiliary head" in rows["auxiliary.conv2d_list.0.weight"].reason


def test_a_head_of_other_classes_stays_at_its_initialisation():
    generator = build(classes=7)
    before = generator.get_layer("head_0").get_weights()
    _, rows = take(small_state(), generator)
    for old, new in zip(before, generator.get_layer("head_0").get_weights()):
        np.testing.assert_array_equal(old, new)
    assert rows["layer5.conv2d_list.0.weight"][2:] == ("skipped", "the network's is 7x2048x3x3")
    assert rows["layer4.0.conv3.weight"].verdict == "taken"


def test_every_tensor_has_a_verdict_and_a_reason():
    state = dict(small_state())
    del state["bn1.bias"]
    state |= {
        "layer5.conv2d_list.2.weight": np.zeros((CLASSES, 2048, 3, 3), "f"),
        "fc.weight": np.zeros((10, 2048), "f"),
        "bn1.num_batches_tracked": np.zeros((), "i8"),
        "layer1.0.conv1.weight": np.zeros((64, 64, 1, 1), "i4"),
        "layer1.0.conv2.weight": small_state()["layer1.0.conv2.weight"].astype("f2"),
    }
    _, rows = take(state)
    expected = {
        "bn1.bias": ("missing", "not in the file"),
        "bn1.weight": ("skipped", "its layer is not complete"),
        "layer5.conv2d_list.2.weight": ("skipped", "the head has no such branch (model.rates)"),
        "fc.weight": ("skipped", "classifies whole images"),
        "bn1.num_batches_tracked": ("skipped", "counts batches, is no weight"),
        "layer1.0.conv1.weight": ("skipped", "holds int32"),
        "layer1.0.conv2.weight": ("taken", "from float16"),
    }
    assert {name: rows[name][2:] for name in expected} == expected
    assert len(rows) == len(small_state()) + 3  # none is left out


def test_weights_that_are_not_finite_are_refused_by_name():
    state = {**small_state(), "bn1.running_var": np.full(64, np.nan, "f")}
    with pytest.raises(ValueError, match=r"bn1\.running_var must be finite"):
        take(state)
    with pytest.raises(ValueError, match=r"bn1\.running_var must not be negative"):
        take({**state, "bn1.running_var": np.full(64, -1.0, "f")})


def test_a_written_file_starts_a_network_bit_for_bit(tmp_path):
    torch_files.save(tmp_path / "w.safetensors", small_state(), {})
    assert_holds(build(file=tmp_path / "w.safetensors"), small_state())
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_mobilenet_and_its_depthwise_kernels_survive_the_round_trip(tmp_path):
    first = build(backbone="mobilenetv2")
    state = torch_names.state_of(first)
    assert state["block_3_depthwise.weight"].shape == (144, 1, 3, 3)  # (channels, 1, kh, kw), as PyTorch groups them
    torch_files.save(tmp_path / "w.safetensors", state, {})
    for ours, theirs in zip(
        build(backbone="mobilenetv2", file=tmp_path / "w.safetensors").get_weights(), first.get_weights()
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_torchvisions_input_is_taken_into_account():
    # Both networks see the same picture, each normalised its own way: inside the image the first layers agree.
    state = small_state()
    images = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype("f")
    mean, spread = np.array([0.485, 0.456, 0.406], "f"), np.array([0.229, 0.224, 0.225], "f")
    theirs, _ = take(state)
    ours = build()
    torch_names.take(ours, torch_names.from_torchvision(tensors(state)))
    normalised = (images / 255 - mean) / spread
    stem = [keras.Model(g.get_layer("conv1_conv_pad").input, g.get_layer("conv1_bn").output) for g in (theirs, ours)]
    expected = stem[0](normalised).numpy()
    found = stem[1](images[..., ::-1] - np.array(CAFFE_BGR_MEAN, "f")).numpy()
    inside = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "damaged"), (b"\xff" * 64, "damaged"), ("foreign", "ass_tf.weights"), ("gap", "layer2.0.conv1.weight")],
)
def test_a_safetensors_file_that_does_not_fit_is_named(tmp_path, content, words):
    file = tmp_path / "bad.safetensors"
    state = dict(small_state())
    if content == "foreign":
        save_file(state, file)
    elif content == "gap":
        del state["layer2.0.conv1.weight"]
        torch_files.save(file, state, {})
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.safetensors") as error:
        build(file=file)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def settings_for(tmp_path, **model):
    """A settings file of a small network."""
    text = json.dumps(
        small_runs.settings(tmp_path, model={"backbone": "tiny", "weights": None, "rates": [1, 2], **model})
    )
    (tmp_path / "small.json").write_text(text)
    return str(tmp_path / "small.json")


def test_the_command_converts_and_prints_every_tensor(tmp_path, capsys):
    generator = build(backbone="tiny", rates=(1, 2), classes=19)
    state = torch_names.state_of(generator)
    save_file({f"module.{n}": v for n, v in state.items()}, tmp_path / "in.safetensors")
    out = tmp_path / "out.safetensors"
    assert (
        weights_command.main([str(tmp_path / "in.safetensors"), "--out", str(out), "--config", settings_for(tmp_path)])
        == 0
    )
    printed = capsys.readouterr().out
    assert all(name in printed for name in state)
    assert f"{len(state)} taken, 0 skipped, 0 missing" in printed
    for name, value in load_file(out).items():
        np.testing.assert_array_equal(value, state[name])


def test_a_converted_head_is_not_converted_again_for_other_rates(tmp_path, capsys):
    state = torch_names.state_of(build(backbone="tiny", rates=(1, 2), classes=19))
    torch_files.save(tmp_path / "in.safetensors", state, {"rates": "[1, 2]"})
    words = [str(tmp_path / "in.safetensors"), "--out", str(tmp_path / "out.safetensors"), "--config"]
    assert weights_command.main([*words, settings_for(tmp_path, rates=[1, 3])]) == 1
    assert "in.safetensors: holds a head of rates [1, 2]" in capsys.readouterr().err
    assert weights_command.main([*words, settings_for(tmp_path)]) == 0


def test_a_file_without_all_of_the_backbone_writes_nothing(tmp_path, capsys):
    state = {"stem0.weight": np.zeros((24, 3, 5, 5), "f"), "other.weight": np.zeros(3, "f")}
    save_file(state, tmp_path / "in.safetensors")
    out = tmp_path / "out.safetensors"
    words = [str(tmp_path / "in.safetensors"), "--out", str(out), "--config", settings_for(tmp_path)]
    assert weights_command.main(words) == 1
    printed = capsys.readouterr()
    assert "24  missing  not in the file" in printed.out
    assert "in.safetensors: 49 tensors of the backbone are not taken, the first is stem0_bn.weight" in printed.err
    assert not out.exists()


def test_a_resnet_that_may_be_torchvisions_or_caffes_is_asked_about(tmp_path, capsys):
    save_file({"conv1.weight": np.zeros((64, 3, 7, 7), "f"), "fc.bias": np.zeros(9, "f")}, tmp_path / "in.safetensors")
    assert weights_command.main([str(tmp_path / "in.safetensors"), "--out", str(tmp_path / "out.safetensors")]) == 1
    error = capsys.readouterr().err
    assert "say which by --layout torchvision or --layout adaptsegnet" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("out", ["no/such/out.safetensors", ".", "in.safetensors"])
def test_an_output_that_cannot_be_is_told_before_any_work(tmp_path, capsys, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    save_file({"conv1.weight": np.zeros(3, "f")}, "in.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    out = "folder.safetensors" if out == "." else out
    assert weights_command.main(["in.safetensors", "--out", out]) == 1
    assert f"error: {out}: --out must be" in capsys.readouterr().err


def test_a_trained_run_is_written_out(finished, tmp_path, capsys):
    assert weights_command.main([str(finished), "--out", str(tmp_path / "run.safetensors")]) == 0
    _, generator, step = trained.load(finished)
    written = load_file(tmp_path / "run.safetensors")
    assert set(written) == set(torch_names.state_of(generator))
    assert_holds(generator, written)
    assert f"step {step}" in capsys.readouterr().out


@with_torch
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"state": {}}}])
def test_pytorch_to_ours_to_pytorch_is_bit_identical(tmp_path, wrap):
    import torch
    from safetensors.torch import load_file as load_torch

    state = {name: torch.from_numpy(value) for name, value in small_state().items()}
    torch.save(wrap({f"Scale.{name}": value for name, value in state.items()}), tmp_path / "in.pth")
    generator = build()
    torch_names.take(generator, torch_names.tidy(torch_files.read(tmp_path / "in.pth")))
    torch_files.save(tmp_path / "out.safetensors", torch_names.state_of(generator), {})
    written = load_torch(tmp_path / "out.safetensors")
    assert set(written) == set(state)
    assert all(torch.equal(written[name], value) for name, value in state.items())


@with_torch
@pytest.mark.slow
def test_a_full_resnet101_survives_the_command_bit_for_bit(tmp_path):
    import torch
    from safetensors.torch import load_file as load_torch
    from torch_transcription import DeepLab

    names = {n: v.shape for n, v in DeepLab(19).state_dict().items() if not n.endswith("tracked")}
    state = {name: torch.from_numpy(goldens.draw(name, tuple(shape))) for name, shape in names.items()}
    torch.save(state, tmp_path / "resnet101.pth")
    command = [sys.executable, "-m", "ass_tf.weights", "resnet101.pth", "--out", "out.safetensors"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = load_torch(tmp_path / "out.safetensors")
    assert set(written) == set(state)
    assert all(torch.equal(written[name], value) for name, value in state.items())
