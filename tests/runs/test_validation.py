"""What a run notes of itself beside its losses."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_runs import draw_scenes

from ass_tf import datasets, labels
from ass_tf.config import schema
from ass_tf.runs import features, validation
from ass_tf.runs.folder import RunFolder

NAMES = ("road", "sky", "person", "train")
CELL = 8


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    root = draw_scenes(tmp_path_factory.mktemp("milestones"))
    section = schema.Domain(dataset="gta5", root=str(root / "gta5"), size=(33, 65))
    return datasets.open_domain(NAMES, section)


def forward(images):
    """Features: the image's colours under each cell's centre; scores: always the first class."""
    cells = images[:, ::CELL, ::CELL]
    return cells, tf.one_hot(tf.zeros(tf.shape(cells)[:3], tf.int32), len(NAMES))


def test_class_means_are_those_of_the_cells_of_a_class_then_of_the_images(domain, tmp_path):
    file = tmp_path / "features/after.npz"
    features.write_means(file, forward, {"source": domain, "target": domain}, len(NAMES), 3)
    found = dict(np.load(file))
    assert set(found) == {"source", "target", "spread"}
    expected = []
    for pair in datasets.spread(domain.pairs, 3):
        image = np.asarray(Image.open(pair.image).convert("RGB").resize((65, 33), Image.Resampling.BICUBIC), np.float32)
        truth = np.asarray(Image.open(pair.label))
        truth = np.asarray(Image.fromarray(truth).resize((65, 33), Image.Resampling.NEAREST))[::CELL, ::CELL]
        expected.append(image[::CELL, ::CELL][truth == 7].mean(0))  # road
    np.testing.assert_allclose(found["source"][0], np.mean(expected, 0), rtol=1e-4)
    assert np.isnan(found["source"][3]).all()  # no train is ever drawn
    assert [p.name for p in file.parent.iterdir()] == ["after.npz"]


def test_images_are_spread_over_the_domain_unless_the_run_began_with_the_first_ones(domain, tmp_path, monkeypatch):
    seen = []

    def read(forward, domain, num_classes):
        seen.append([pair.name for pair in domain.pairs])
        return np.zeros(3)

    def note(when):
        features.write_means(tmp_path / f"{when}.npz", forward, {"source": domain}, len(NAMES), 2)

    monkeypatch.setattr(features, "_means_of", read)
    note("before")
    note("after")
    np.savez(tmp_path / "before.npz", source=np.zeros(3))  # of version 0.1.0
    note("after")
    assert seen == [["00001", "00003"], ["00001", "00003"], ["00001", "00002"]]


def test_validation_scores_and_keeps_pictures_that_can_be_coloured_again(domain, tmp_path):
    scores, picture = validation.validate(RunFolder(tmp_path), forward, domain, NAMES)
    assert picture.shape[2] == 3
    confusion = scores.confusion
    assert confusion[:, 1:].sum() == 0
    assert scores.iou["road"] == pytest.approx(100 * confusion[0, 0] / confusion.sum())
    kept = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert kept == [f"{i}_{kind}.png" for i in range(4) for kind in ("image", "prediction", "truth")]
    truth = np.asarray(Image.open(tmp_path / "pictures/0_truth.png"))
    assert set(np.unique(truth)) <= {*range(len(NAMES)), labels.IGNORE}
    assert not np.asarray(Image.open(tmp_path / "pictures/0_prediction.png")).any()


def test_kept_pictures_of_large_images_are_shrunk():
    large = validation._shrink(np.zeros((1024, 2048), np.uint8), smooth=False)
    assert large.shape == (320, 640)
    assert validation._shrink(np.zeros((30, 50, 3), np.uint8), smooth=True).shape == (30, 50, 3)


def test_an_interrupted_validation_keeps_nothing(domain, tmp_path):
    with pytest.raises(validation.Interrupted):
        validation.validate(RunFolder(tmp_path), forward, domain, NAMES, lambda: True)
    assert list(tmp_path.iterdir()) == []
