import os
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import downloads
import numpy as np
import pytest
import tensorflow as tf
from painted import COLOURS, batches, by_pillow, drawn, equal, make_domain
from painted import domain as domain  # a fixture
from PIL import Image

from ass_tf import datasets, labels
from ass_tf.config import schema
from ass_tf.config.layouts import LAYOUTS
from ass_tf.datasets import colour, order, pipeline

ROOT = Path(__file__).parents[2]
PLAIN = {"flip": False, "scale": 1.0, "colour": 0.0}


# The arrays


@pytest.mark.parametrize(("size", "file_sizes"), [((48, 64), ((96, 128), (95, 131))), ((50, 70), ((33, 41),))])
@pytest.mark.parametrize("raw_dtype", [np.uint8, np.uint16])
def test_arrays_are_pillows_bit_for_bit(tmp_path, size, file_sizes, raw_dtype):
    domain = make_domain(tmp_path, 4, size, file_sizes, raw_dtype)
    expected = {image.tobytes(): label for image, label in (by_pillow(pair, domain) for pair in domain.pairs)}
    for images, train_ids in batches(domain, 2):
        assert (images.shape, images.dtype) == ((2, *size, 3), np.float32)
        assert (train_ids.shape, train_ids.dtype) == ((2, *size), np.int32)
        for image, label in zip(images, train_ids):
            assert np.array_equal(expected.pop(image.astype(np.uint8).tobytes()), label)
    assert expected == {}


def test_shapes_are_static(domain):
    data = pipeline.batches(domain, batch=3, seed=0, stream=0)
    assert [spec.shape.as_list() for spec in data.element_spec] == [[3, 48, 64, 3], [3, 48, 64]]
    assert [spec.dtype for spec in data.element_spec] == [tf.float32, tf.int32]
    data = pipeline.batches(domain, batch=3, seed=0, stream=0, with_labels=False)
    assert data.element_spec == tf.TensorSpec([3, 48, 64, 3], tf.float32)


def test_synthia_ids_reach_the_batch(tmp_path):
    from test_datasets import photograph, write, write_synthia

    ids = np.repeat([[3, 1, 0, 22]], 4, axis=0)
    write(tmp_path / "RGB" / "0000000.png", photograph((4, 4)))
    write_synthia(tmp_path / "GT/LABELS/0000000.png", ids)
    table = labels.lookup_table(LAYOUTS["synthia"].raw, labels.CLASS_SETS["synthia16"])
    pair = datasets.Pair("0000000", tmp_path / "RGB/0000000.png", tmp_path / "GT/LABELS/0000000.png")
    [(_, train_ids)] = batches(datasets.Domain((pair,), table, (8, 8), "synthia"), 1, batch=1)
    assert train_ids[0].tolist() == [[0, 0, 9, 9, 255, 255, 255, 255]] * 8


# The order


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_each_epoch_draws_each_file_once(count):
    draw = tf.function(lambda sample: order.index_of(sample, count, 123))
    orders = {tuple(int(draw(tf.constant(e * count + p, tf.int64))) for p in range(count)) for e in range(12)}
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(count))}
    assert count < 3 or len(orders) > 2


def test_batches_that_span_epochs_skip_and_repeat_nothing(domain):
    read = drawn(domain, 15)
    assert [sorted(read[i : i + 5]) for i in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    pairwise = [image for images, _ in batches(domain, 6) for image in images]
    single = [images[0] for images, _ in batches(domain, 12, batch=1)]
    assert equal(pairwise, single)


def test_order_is_the_same_on_every_machine():
    key = order.key_of(0, "source", "order")
    places = [int(order.index_of(tf.constant(i, tf.int64), 10, key)) for i in range(10)]
    assert places == [5, 8, 6, 1, 7, 2, 3, 9, 4, 0]


@pytest.mark.parametrize("augmentation", [PLAIN, {"flip": True, "scale": 2.0, "colour": 0.5}])
def test_batches_from_a_later_step_are_those_of_the_whole_run(domain, augmentation):
    whole = batches(domain, 7, **augmentation)
    assert equal(whole[4:], batches(domain, 3, start_step=4, **augmentation))
    assert equal(whole, batches(domain, 7, **augmentation))


def test_streams_and_seeds_draw_independently(tmp_path):
    domain = make_domain(tmp_path, 12)
    orders = [drawn(domain, 12, **given) for given in ({}, {"stream": "labelled"}, {"stream": 3}, {"seed": 1})]
    assert len({tuple(order) for order in orders}) == 4


# Augmentation


def paint_agrees(images, train_ids):
    """Share of the pixels whose colour is nearest to the one that their label is painted in."""
    distance = np.linalg.norm(images[..., None, :] - COLOURS.astype(np.float32), axis=-1)
    return np.mean(distance.argmin(-1) == train_ids)


def test_augmentation_is_off_by_default(domain):
    assert equal(batches(domain, 3), batches(domain, 3, **PLAIN))
    for augmentation in ({"flip": True}, {"scale": 2.0}, {"colour": 0.5}):
        assert not equal(batches(domain, 3), batches(domain, 3, **augmentation))


@pytest.mark.parametrize("augmentation", [{"flip": True}, {"scale": 3.0}, {"flip": True, "scale": 1.7}])
def test_image_and_label_move_together(domain, augmentation):
    elements = batches(domain, 10, **augmentation)
    assert min(paint_agrees(images, train_ids) for images, train_ids in elements) > 0.93
    assert {i for _, train_ids in elements for i in np.unique(train_ids)} == {0, 1, 2, 3}
    moved = [not equal(a, b) for a, b in zip(elements, batches(domain, 10))]
    assert np.mean(moved) > 0.5


def test_flip_mirrors_about_half_of_the_images(domain):
    mirrored = Counter()
    for (flipped, _), (images, _) in zip(batches(domain, 40, flip=True), batches(domain, 40)):
        for ours, plain in zip(flipped, images):
            assert np.array_equal(ours, plain) or np.array_equal(ours, plain[:, ::-1])
            mirrored[np.array_equal(ours, plain)] += 1
    assert 25 <= mirrored[True] <= 55


def test_scale_crops_inside_the_image_and_keeps_its_shape(domain):
    seen = []
    for draw in np.random.default_rng(0).random((50, pipeline.DRAWS)).astype(np.float32):
        image, label = pipeline.read_pair(domain.pairs[0], domain, draw, scale=4.0)
        assert (image.shape, label.shape) == ((48, 64, 3), (48, 64))
        seen.append(len(np.unique(label)))
    edge = np.full(pipeline.DRAWS, np.nextafter(np.float32(1), np.float32(0)))
    image, label = pipeline.read_pair(domain.pairs[0], domain, edge, scale=4.0)
    whole = by_pillow(domain.pairs[0], domain)[1]
    assert np.array_equal(label[-1, -1], whole[-1, -1])  # the last corner
    assert min(seen) < 4


def test_colour_changes_images_only_and_stays_in_range(domain):
    for (images, train_ids), (plain, plain_ids) in zip(batches(domain, 5, colour=1.0), batches(domain, 5)):
        assert np.array_equal(train_ids, plain_ids)
        assert not np.array_equal(images, plain)
        assert images.min() >= 0
        assert images.max() <= 255


def test_recolour_by_hand():
    images = tf.constant([[[[100.0, 100, 100], [50, 50, 50]]]])
    draws = np.full((1, pipeline.DRAWS), 0.5, np.float32)  # no change
    np.testing.assert_allclose(colour.recolour(images, draws, 1.0), images, rtol=1e-6)
    draws[0, 4] = 1.0  # brightness x 1.5: 150 and 75
    np.testing.assert_allclose(colour.recolour(images, draws, 1.0)[0, 0, :, 0], [150, 75], rtol=1e-6)
    draws[0, 5] = 0.0  # contrast x 0.5 about the mean, 112.5
    np.testing.assert_allclose(colour.recolour(images, draws, 1.0)[0, 0, :, 0], [131.25, 93.75], rtol=1e-6)
    draws = np.full((1, pipeline.DRAWS), 0.5, np.float32)
    draws[0, 6] = 0.0  # saturation x 0.5: red, whose grey is 29.9, comes half way to it
    red = tf.constant([[[[100.0, 0, 0]]]])
    np.testing.assert_allclose(colour.recolour(red, draws, 1.0)[0, 0, 0], [64.95, 14.95, 14.95], rtol=1e-5)
    draws[0, 6:] = [0.5, 1.0, 0.5, 0.0]  # tint: red x 1.1, blue x 0.9
    np.testing.assert_allclose(colour.recolour(images, draws, 1.0)[0, 0, 0], [110, 100, 90], rtol=1e-5)


def test_operations_are_the_same_eager_and_in_tf_data():
    images = tf.random.stateless_uniform([2, 4, 4, 3], [1, 2], 0, 255)
    draws = tf.random.stateless_uniform([2, pipeline.DRAWS], [3, 4])
    data = tf.data.Dataset.from_tensors((images, draws)).map(lambda i, d: colour.recolour(i, d, 0.8))
    np.testing.assert_allclose(next(iter(data)), colour.recolour(images, draws, 0.8), rtol=1e-5)
    samples = tf.data.Dataset.range(20)
    indices = [int(i) for i in samples.map(lambda sample: order.index_of(sample, 7, 5))]
    assert indices == [int(order.index_of(tf.constant(i, tf.int64), 7, 5)) for i in range(20)]


# Training and evaluation


def test_training_reads_the_roles_that_there_are(domain):
    batch = {"source": 1, "labelled": 2, "unlabelled": 3}
    unlabelled = datasets.Domain(
        tuple(datasets.Pair(pair.name, pair.image, None) for pair in domain.pairs), domain.table, (32, 32), "folder"
    )
    roles = {"source": domain, "labelled": domain, "unlabelled": unlabelled}
    element = next(iter(pipeline.training_dataset(roles, batch, pipeline.PLAIN, seed=0)))
    assert sorted(element) == ["labelled", "source", "unlabelled"]
    assert element["source"][0].shape == (1, 48, 64, 3)
    assert element["labelled"][1].shape == (2, 48, 64)
    assert element["unlabelled"].shape == (3, 32, 32, 3)
    only = pipeline.training_dataset({"labelled": domain}, {"labelled": 2}, pipeline.PLAIN, seed=0, start_step=5)
    images, train_ids = next(iter(only))["labelled"]
    assert equal([(images, train_ids)], batches(domain, 1, stream="labelled", start_step=5))


def test_replicas_of_one_machine_share_what_one_reads(domain, two_replicas):
    words = {"source": domain, "labelled": domain}, {"source": 2, "labelled": 4}, schema.Augmentation(flip=True), 0, 2
    whole = pipeline.training_dataset(*words)
    shared = two_replicas.distribute_datasets_from_function(
        lambda _: pipeline.training_dataset(*words, replicas=range(2), of=2)
    )
    for expected, parts in zip(islice(whole, 3), islice(iter(shared), 3)):
        for role in expected:
            for i in range(2):
                joined = np.concatenate(two_replicas.experimental_local_results(parts[role][i]))
                assert np.array_equal(joined, expected[role][i])


@pytest.mark.parametrize("shares", [(range(4),), (range(2), range(2, 4)), (range(1), range(1, 3), range(3, 4))])
def test_workers_read_each_image_of_a_step_once(domain, shares):
    words = {"source": domain, "labelled": domain}, {"source": 4, "labelled": 8}, schema.Augmentation(flip=True), 0, 1
    whole = islice(pipeline.training_dataset(*words), 3)
    readers = [iter(pipeline.training_dataset(*words, replicas=replicas, of=4)) for replicas in shares]
    for expected in whole:
        parts = [part for reader, replicas in zip(readers, shares) for part in islice(reader, len(replicas))]
        for role in expected:
            for i in range(2):
                assert np.array_equal(np.concatenate([part[role][i] for part in parts]), expected[role][i])


def test_files_that_cannot_be_used_are_named(domain, tmp_path):
    bare = datasets.Domain((datasets.Pair("0", tmp_path / "0.png", None),), domain.table, (32, 32), "folder")
    with pytest.raises(datasets.DataError, match=r"0\.png: has no label"):
        batches(bare, 1)
    with pytest.raises(datasets.DataError, match="at least one image"):
        batches(datasets.Domain((), domain.table, (32, 32), "folder"), 1)
    Image.fromarray(np.full((96, 128), 77, np.uint8)).save(domain.pairs[0].label)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0_ids\.png: an id must be in the class map.*\[77\]"):
        batches(domain, 5)
    with pytest.raises(datasets.DataError, match=r"0_ids\.png: an id must be in the class map.*\[77\]"):
        list(pipeline.evaluation_pairs(domain))


def test_evaluation_reads_in_order_and_leaves_labels_at_their_size(tmp_path):
    domain = make_domain(tmp_path, 40, (32, 32), ((96, 128), (90, 100)))
    read = list(pipeline.evaluation_pairs(domain))
    assert [name for name, _, _ in read] == [pair.name for pair in domain.pairs]
    for pair, (_, image, label) in zip(domain.pairs, read):
        assert (image.dtype, label.dtype) == (np.float32, np.uint8)
        assert np.array_equal(image, by_pillow(pair, domain)[0])
        assert np.array_equal(label, domain.table[np.asarray(Image.open(pair.label))])
    assert len(list(islice(pipeline.evaluation_pairs(domain), 2))) == 2  # and the threads end


SCRIPT = """
import threading, time, sys
import tensorflow as tf
from pathlib import Path
from ass_tf.datasets import pipeline
sys.path.insert(0, "tests/helpers")
from painted import make_domain
tf.config.experimental.enable_op_determinism()
inside, most = [0], [0]
lock, read = threading.Lock(), pipeline.read_pair
def slow(*args, **given):
    with lock:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
    time.sleep(0.05)
    with lock:
        inside[0] -= 1
    return read(*args, **given)
pipeline.read_pair = slow
batches = iter(pipeline.batches(make_domain(Path(sys.argv[1])), batch=1, seed=0, stream=0).prefetch(4))
for _ in range(6):
    next(batches)
print("at once:", most[0])
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core reads one file at a time")
def test_deterministic_mode_reads_in_parallel_and_an_open_iterator_lets_the_program_end(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.partition("at once:")[2]) > 1


def test_a_data_set_as_it_is_distributed_makes_batches(tmp_path):
    root = str(downloads.write_camvid(tmp_path, 3))
    section = schema.Domain(dataset="camvid", root=str(root), size=(90, 120), split="val")
    domain = datasets.open_domain(labels.CLASS_SETS["cityscapes19"], section)
    for images, train_ids in batches(domain, 3, flip=True, scale=1.5, colour=0.5):
        assert 20 < images.mean() < 235
        assert {0, 2} < set(np.unique(train_ids))  # road and building are on every street
        assert set(np.unique(train_ids)) <= {*range(19), labels.IGNORE}


def test_label_of_other_proportions_than_its_image_is_refused_where_it_is_scored(tmp_path):
    domain = make_domain(tmp_path, count=1)
    Image.fromarray(np.ones((96, 1), np.uint8)).save(domain.pairs[0].label)
    with pytest.raises(datasets.DataError, match=r"must have the proportions of its image .* Received: 96 x 1\."):
        list(pipeline.evaluation_pairs(domain))
