"""The ONNX graph of every backbone gives the logits that Keras gives."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from ass_tf.config import schema
from ass_tf.config.backbones import BACKBONES
from ass_tf.export import agreement, onnx_graph, serving
from ass_tf.models.generator import build_generator

FAST = ("tiny", "mobilenetv2")
CASES = [(name, head) for name in FAST for head in ("deeplabv2", "deeplabv3plus")]
CASES += [pytest.param(name, "deeplabv3plus", marks=pytest.mark.slow) for name in BACKBONES if name not in FAST]


@pytest.mark.parametrize(("name", "head"), CASES)
def test_graph_of_every_backbone_gives_what_keras_gives(name, head):
    keras.utils.set_random_seed(0)
    model = schema.Model(backbone=name, head=head, output_stride=16, rates=(1, 2), weights=None)
    generator = build_generator(5, model)
    graph = onnx_graph.convert(serving.Serving(generator))
    assert onnx_graph.CATCHING not in os.environ
    assert [value.name for value in graph.graph.input] == ["image"]
    session = agreement.session_of(agreement.with_scores(graph, upsampled=False))
    for size in ((64, 96), (75, 101)):
        image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
        logits = generator(image.astype("f"), training=False)[1].numpy()
        found = np.moveaxis(session.run(None, {"image": image})[-1], 1, -1)
        np.testing.assert_allclose(found, logits, atol=1e-3 * logits.std())


def test_graph_with_inputs_of_its_own_is_refused():
    held = tf.constant([1.0, 2.0, 3.0])  # a tensor, which tf2onnx makes an input

    class Served:
        @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.uint8, name="image")])
        def serve(self, image):
            return {"labels": tf.cast(tf.argmax(tf.cast(image, tf.float32) * held, -1), tf.uint8)}

    with pytest.raises(ValueError, match="the conversion fails: its inputs are "):
        onnx_graph.convert(Served())
