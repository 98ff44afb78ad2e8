"""The scores of a run are those of Cityscapes' own tool."""

import exports
import numpy as np
import pytest
import small_runs
import tensorflow as tf
from PIL import Image

from ass_tf import datasets, evaluate
from ass_tf.datasets import pipeline
from ass_tf.runs import snapshots, trained
from ass_tf.runs.folder import RunFolder
from ass_tf.scoring import predictions

UNLABELLED, STATIC, CARAVAN, LORRY = 0, 4, 29, 27  # ids of Cityscapes; the first three take no part in its scores


@pytest.fixture
def run(tmp_path):
    """A run of Cityscapes' 19 classes that never predicts a train, on a set with ignored pixels and without trains."""
    scenes = small_runs.draw_scenes(tmp_path / "scenes")
    for file in (scenes / "cityscapes/gtFine/val").rglob("*_gtFine_labelIds.png"):
        ids = np.array(Image.open(file))
        ids[:9, :30], ids[20:30, 50:], ids[40:, :8], ids[12:20, 90:] = UNLABELLED, STATIC, CARAVAN, LORRY
        Image.fromarray(ids).save(file)
    drawn = exports.finished_run(tmp_path / "drawn", scenes, classes="cityscapes19")
    settings, generator, _ = trained.load(drawn)
    domain = datasets.open_domain(settings.class_names, settings.validation)
    logits = [generator(image[None], training=False)[1] for _, image, _ in pipeline.evaluation_pairs(domain)]
    _, bias = generator.get_layer("head_0").weights
    alike = bias.numpy() - np.mean(logits, (0, 1, 2, 3))  # so that other classes win somewhere
    bias.assign(np.where(np.array(settings.class_names) == "train", -1e6, alike))
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_bytes((drawn / "config.json").read_bytes())
    snapshots.save(RunFolder(run), tf.train.Checkpoint(generator=generator), {"step": 8})
    return run


def official_scores(run, folder):
    """What Cityscapes' tool says of the run's predictions, written as it wants them."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as tool
    from cityscapesscripts.helpers.labels import trainId2label

    settings, generator, _ = trained.load(run)
    domain = datasets.open_domain(settings.class_names, settings.validation)
    _, kept = predictions.score(generator, domain, len(settings.class_names), keep=len(domain.pairs))
    folder.mkdir()
    files = []
    for pair, (name, _, _, prediction) in zip(domain.pairs, kept):
        assert name == pair.name
        ids = np.vectorize(lambda train_id: trainId2label[train_id].id, otypes=[np.uint8])(prediction)
        files.append(str(folder / f"{pair.label.stem}.png"))
        Image.fromarray(ids).save(files[-1])
    # Drawn scenes have no instances, and the tool would write beside its own code.
    tool.args.evalInstLevelScore, tool.args.JSONOutput, tool.args.quiet = False, False, True
    return tool.evaluateImgLists(files, [str(pair.label) for pair in domain.pairs], tool.args)


@pytest.mark.slow
def test_iou_of_every_class_and_their_mean_are_those_of_cityscapes_own_tool(run, tmp_path):
    expected = official_scores(run, tmp_path / "predictions")
    found = evaluate.evaluate_run(run)["last"]
    for name, iou in found["iou"].items():
        theirs = 100 * expected["classScores"][name]
        assert theirs == pytest.approx(np.nan if iou is None else iou, abs=1e-6, nan_ok=True), name
    assert found["miou"] == pytest.approx(100 * expected["averageScoreClasses"], abs=1e-6)
    scored = {name: iou for name, iou in found["iou"].items() if iou is not None}
    assert found["iou"]["train"] is None
    assert sum(iou > 0 for iou in scored.values()) > 4
    assert 0 in scored.values()  # of the truth alone, or of the prediction alone
    ignored = expected["confMatrix"][UNLABELLED] + expected["confMatrix"][STATIC] + expected["confMatrix"][CARAVAN]
    assert sum(ignored) == sum(map(sum, expected["confMatrix"])) - np.sum(found["confusion"]) > 0
