import numpy as np
import onnx
import pytest

from ass_tf.export import rounding


def kernel(weight, **settings):
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="conv", **settings)
    return rounding.Kernel(node, np.asarray(weight, np.float32))


def nearest(weight, scale):
    return np.rint(weight / scale.reshape(-1, 1, 1, 1)).clip(-64, 64)


def output_error(one, integers, missing, scale, patches):
    """Mean square of what a rounded kernel adds to its output on patches (count, k), its bias corrected."""
    rounded = integers.reshape(len(scale), -1) * scale[:, None]
    lost = patches @ (one.weight.reshape(len(scale), -1) - rounded).T - missing
    return (lost**2).mean()


def correlated(count, k, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)) @ rng.normal(size=(3, k)) + 0.1 * rng.normal(size=(count, k)) + 2


def test_patches_hold_the_pixels_under_the_kernel():
    one = kernel(np.zeros((1, 1, 3, 3)), pads=[1, 1, 1, 1])
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    seen = {tuple(patch) for patch in one._patches(image, np.random.default_rng(0))[0].astype(int).tolist()}
    # The nine places of a 3x3 kernel on 3x3 pixels, zeros around them; centre and two corners worked by hand.
    assert len(seen) == 9
    assert (1, 2, 3, 4, 5, 6, 7, 8, 9) in seen
    assert (0, 0, 0, 0, 1, 2, 0, 4, 5) in seen
    assert (5, 6, 0, 8, 9, 0, 0, 0, 0) in seen


def test_patches_follow_stride_and_dilation():
    one = kernel(np.zeros((1, 1, 2, 2)), strides=[2, 1], dilations=[1, 2], pads=[0, 0, 0, 0])
    image = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    seen = {tuple(patch) for patch in one._patches(image, np.random.default_rng(0))[0].astype(int).tolist()}
    assert seen == {(0, 2, 4, 6), (1, 3, 5, 7)}


def test_groups_see_their_own_channels_only():
    one = kernel(np.zeros((2, 1, 1, 1)), group=2)
    image = np.stack([np.full((3, 3), 1.0), np.full((3, 3), 2.0)])[None].astype(np.float32)
    patches = one._patches(image, np.random.default_rng(0))
    assert patches.shape == (2, rounding.POSITIONS, 1)
    assert (patches[0] == 1).all()
    assert (patches[1] == 2).all()


@pytest.mark.parametrize("widest", [4608, 10])
def test_better_roundings_change_the_output_less_than_the_nearest(monkeypatch, widest):
    monkeypatch.setattr(rounding, "WIDEST", widest)  # 10: tap by tap
    monkeypatch.setattr(rounding, "POSITIONS", 1)
    rng = np.random.default_rng(1)
    one = kernel(rng.normal(size=(5, 4, 2, 2)))
    patches = correlated(2000, 16)
    for patch in patches:
        one.watch(patch.reshape(1, 4, 2, 2).astype(np.float32), rng)
    scale = np.abs(one.weight).max((1, 2, 3)) / 63
    integers, missing = one.rounded(scale)
    assert integers.dtype == np.int8
    plain = nearest(one.weight, scale)
    mean_lost = patches.mean(0) @ (one.weight.reshape(5, -1) - plain.reshape(5, -1) * scale[:, None]).T
    better = output_error(one, integers, missing, scale, patches)
    assert better < 0.6 * output_error(one, plain, mean_lost, scale, patches)


@pytest.mark.parametrize(("words", "largest"), [([], 64), ([127], 127)])
def test_no_integer_is_beyond_the_largest(words, largest):
    one = kernel([[[[100.0]]], [[[-1000.0]]], [[[60.0]]]])
    one.watch(np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32), np.random.default_rng(0))
    integers, _ = one.rounded(np.ones(3), *words)
    assert integers.ravel().tolist() == [min(100, largest), -largest, 60]


def test_constant_and_absent_inputs_round_to_the_nearest():
    for value in (0.0, 700.0):
        one = kernel(np.random.default_rng(0).normal(size=(3, 8, 1, 1)))
        for _ in range(3):
            one.watch(np.full((1, 8, 4, 4), value, np.float32), np.random.default_rng(0))
        scale = np.abs(one.weight).max((1, 2, 3)) / 63
        integers, missing = one.rounded(scale)
        lost = (one.weight[..., 0, 0] - integers[..., 0, 0] * scale[:, None]).sum(1) * value
        np.testing.assert_allclose(missing, lost, atol=1e-3)
        assert np.abs(integers - nearest(one.weight, scale)).max() <= (0 if value == 0 else 64)


def test_depthwise_kernels_are_rounded_channel_by_channel():
    rng = np.random.default_rng(2)
    one = kernel(rng.normal(size=(4, 1, 3, 3)), group=4, pads=[1, 1, 1, 1])
    one.watch(rng.normal(size=(1, 4, 9, 9)).astype(np.float32), rng)
    scale = np.abs(one.weight).max((1, 2, 3)) / 63
    integers, missing = one.rounded(scale)
    assert (integers.shape, missing.shape) == ((4, 1, 3, 3), (4,))
    assert np.abs(integers * scale.reshape(-1, 1, 1, 1) - one.weight).max() < 4 * scale.max()


def test_stripes_give_what_one_column_after_the_other_gives(monkeypatch):
    rng = np.random.default_rng(3)
    one = kernel(rng.normal(size=(3, 20, 1, 1)))
    one.watch(correlated(400, 20).T.reshape(1, 20, 20, 20).astype(np.float32), rng)
    scale = np.abs(one.weight).max((1, 2, 3)) / 63
    whole = one.rounded(scale)
    monkeypatch.setattr(rounding, "STRIPE", 3)
    for expected, found in zip(whole, one.rounded(scale)):
        np.testing.assert_allclose(found, expected, atol=1e-9)
