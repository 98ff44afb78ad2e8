"""The weights that training starts from, as `model.weights` names them."""

from pathlib import Path

from ass_tf.config.backbones import BACKBONES
from ass_tf.weights import applications, lite, torch_names


def load_initial(generator, model):
    """Gives a generator the weights that its settings name; none where they are null.

    Args:
        generator: keras.Model that `build_generator` made of the same settings.
        model: schema.Model. `weights` is "imagenet", a weights file of the `keras.applications` model without top, or a
            file of `ass_tf.weights` (.safetensors), whose head is taken if it fits.

    Raises:
        ValueError: the weights cannot be read or do not fit the backbone.
    """
    if model.weights is None:
        return
    if model.weights.endswith(".safetensors"):
        torch_names.load_into(generator, Path(model.weights))
    elif package := BACKBONES[model.backbone].package:
        file = lite.installed(package) if model.weights == "imagenet" else Path(model.weights)
        ours, _ = torch_names.take(generator, lite.renamed(generator, lite.read(file)))
        torch_names.refuse_gaps(ours, [])
    else:
        applications.load_backbone(generator, model.backbone, model.weights)
