"""The sections of the settings: every key with its type, range, default and meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ass_tf.config.backbones import BACKBONES
from ass_tf.config.layouts import LAYOUTS

Positive = Annotated[int, Field(gt=0, le=10**12)]
NotNegative = Annotated[int, Field(ge=0, le=10**12)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Options = dict[str, bool | int | float | str | None]
# Above any use: a number with too many digits is an error and does not fill the memory.
Size = tuple[Annotated[int, Field(ge=32, le=16384)], Annotated[int, Field(ge=32, le=16384)]]
Images = Annotated[int, Field(gt=0, le=4096)]
Width = Annotated[int, Field(gt=0, le=16384)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Domain(Section):
    dataset: Literal[tuple(LAYOUTS)]  # type: ignore[valid-type]
    """Layout and label ids of the files under `root`."""
    root: str
    """Folder of the data set, relative to the working directory."""
    size: Size
    """(height, width) that images and labels are resized to before the network sees them."""
    split: str = "train"
    """Which part, for data sets that have parts, by the name of its folder; vistas and kitti take `train`, too."""
    images: str = "images"
    """dataset=folder, carla..., camvid_colours, camvid_32: folder of the images under `root`."""
    labels: str = "labels"
    """dataset=folder, carla..., camvid_colours, camvid_32: folder of the label PNGs, named like the images."""
    class_file: str | None = None
    """dataset=folder: JSON of raw label id -> class name; default `root`/classes.json."""
    mapping: str | None = None
    """JSON of class name -> name in `classes`, its train id, or null; default: equal names."""
    list: str | None = None
    """Text file with one image name per line, as `ass-tf datasets --list` prints them: use only these images."""
    licence: str | None = None
    """Terms under which these data may be used, for the card of an exported model."""


class Target(Domain):
    labelled: NotNegative | Literal["all"] = "all"
    """Number of labelled images, drawn at random from `labelled_seed`; a smaller number draws a subset."""
    labelled_seed: int = 0
    """Seed of that draw."""
    labelled_list: str | None = None
    """Text file that names the labelled images instead, one per line."""


class Batch(Section):
    source: Images = 1
    """Source images per step, over all replicas."""
    labelled: Images = 1
    """Labelled target images per step, over all replicas."""
    unlabelled: Images = 1
    """Unlabelled target images per step, over all replicas."""


class Augmentation(Section):
    flip: bool = False
    """Mirror half of the images."""
    scale: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Enlarge by a random factor from 1 to this, then crop back to `size`."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of random brightness, contrast, saturation and tint."""


class Sampling(Section):
    rare_class: Rate | None = None
    """Temperature T of rare-class sampling for source and labelled images: a class c of frequency f is drawn with
    probability ~ exp((1 - f) / T), then an image that holds it. Small T prefers rare classes. null: all images."""


class Model(Section):
    backbone: Literal[tuple(BACKBONES)] = "resnet101"  # type: ignore[valid-type]
    """`tiny` is a small network for tests and the demo, trained from random weights."""
    head: Literal["deeplabv2", "deeplabv3plus"] = "deeplabv2"
    """`deeplabv2`: the paper's. `deeplabv3plus`: also sees the backbone's features of stride 4, so that thin and small
    things are found."""
    head_width: Width = 128
    """Channels of the deeplabv3plus head."""
    output_stride: Literal[8, 16, 32] = 8
    """Pixels per feature cell of the backbone; later strides become dilations."""
    rates: Annotated[tuple[Width, ...], Field(min_length=1)] = (6, 12, 18, 24)
    """Dilations of the head's 3x3 branches; [6, 12] is what AdaptSegNet's code runs."""
    weights: str | None = "imagenet"
    """Initial weights: `imagenet` (keras.applications), a weights file of that model, a file that `ass-tf weights`
    wrote, or null for random ones."""
    batch_norm: Literal["batch", "target", "frozen"] = "batch"
    """`batch`: normalise by the statistics of each batch; all domains update the running statistics. `target`: only
    target images update them, if the run has any, also those into which self-training pastes. `frozen`: normalise by
    the loaded running statistics."""
    learn_scale: bool = False
    """Also learn gamma and beta of the normalisation layers, which the paper's base code keeps as they are."""


class Discriminators(Section):
    global_width: Width = 64
    """Channels of D_g's first convolution; the next three have 2, 4 and 8 times as many."""
    semantic_width: Width = 1024
    """Hidden channels of D_s."""


class Losses(Section):
    lambda_seg: Weight = 1.0
    """Weight of the segmentation losses (eq. 1)."""
    lambda_gadv: Weight = 0.001
    """Weight of the global adversarial loss (eq. 2)."""
    lambda_sadv: Weight | None = None
    """Weight of the semantic-level adversarial loss (eq. 5, 7); null: 0.01 for csa, 0.04 for fcsa."""
    lambda_gd: Weight = 1.0
    """Weight of the global discriminator's loss (eq. 3)."""
    lambda_sd: Weight = 1.0
    """Weight of the semantic-level discriminator's loss (eq. 6, 8)."""
    direction: Literal["source_to_target", "target_to_source"] = "source_to_target"
    """Whose features the adversarial terms move: the source's (the paper) or the target's (AdaptSegNet)."""
    class_weights: Rate | tuple[Weight, ...] | None = None
    """Weights of the classes in the segmentation losses: a list in the order of `classes`; or the power p of (median
    frequency / frequency)^p, from 0.1 to 10, with the mean of the frequencies in source and labelled images."""
    hard_pixels: Fraction | None = None
    """Online hard example mining: only pixels whose own class has at most this probability count in the segmentation
    losses, but always a sixteenth of an image; null: all count."""


class SelfTraining(Section):
    weight: Weight = 0.0
    """Weight of the loss on unlabelled photographs whose labels a teacher predicts; 0: no self-training."""
    start: NotNegative = 100
    """Steps before it begins."""
    warmup: NotNegative = 0
    """Steps in which its weight then grows from 0."""
    momentum: Fraction = 0.99
    """The teacher is the moving average of G: min(1 - 1 / step, momentum) of it stays in each step."""
    threshold: Fraction = 0.0
    """Pixels of which the teacher is less sure are ignored."""
    class_weights: bool = False
    """Whether `losses.class_weights` count in this loss, too."""
    class_mix: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the photographs into which half of the classes of a source or labelled image are pasted."""
    adaptive: bool = True
    """Paste preferably the classes of which the teacher is least sure."""
    cut_mix: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the photographs into which a rectangle of another one is pasted."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Strength of random brightness, contrast, saturation and tint for G, not for the teacher."""
    grey: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the photographs that G sees without colours."""
    blur: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the photographs that G sees blurred."""


class Optimiser(Section):
    generator: str = "SGD"
    """G's optimiser: `SGD` with PyTorch's formula, or another by its Keras name: `AdamW`, `Addons>LAMB`."""
    generator_options: Options = {}
    """Keywords of an optimiser other than SGD, e.g. {"weight_decay": 1e-4}."""
    discriminator: str = "Adam"
    """The discriminators' optimiser: `Adam` with PyTorch's formula, or the Keras name of another."""
    discriminator_options: Options = {}
    """Keywords of an optimiser other than Adam."""
    lr: Rate = 2.5e-4
    """Initial rate of G's backbone."""
    momentum: Fraction = 0.9
    """Momentum of SGD."""
    nesterov: bool = True
    """Nesterov momentum for SGD."""
    weight_decay: Weight = 5e-4
    """L2 that SGD adds to the gradients of G's kernels and head biases before momentum."""
    backbone_multiplier: Weight = 1.0
    """Factor of `lr` for the backbone; 3 is what AdaptSegNet's code amounts to."""
    head_multiplier: Weight = 10.0
    """Factor of `lr` for the head."""
    discriminator_lr: Rate = 1e-4
    """Initial rate of the discriminators."""
    beta_1: Fraction = 0.9
    """Adam's first decay."""
    beta_2: Fraction = 0.99
    """Adam's second decay."""
    epsilon: Rate = 1e-8
    """Adam's epsilon."""
    power: Weight = 0.9
    """rate(step) = rate0 (1 - step / decay_steps) ^ power, for all optimisers."""
    decay_steps: Positive = 250000
    """Step at which the rates would reach zero."""
    warmup_steps: NotNegative = 0
    """Steps in which all rates grow linearly to the schedule's."""
    clip_norm: Rate | None = None
    """Largest 2-norm of G's gradient, over all its weights; a larger one is scaled down."""


class Train(Section):
    steps: Positive = 150000
    """Steps of the run."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"] = "float32"
    """Arithmetic of the networks. Weights stay float32; float16 uses loss scaling. `auto`: bfloat16 where this machine
    is faster in it, else float32; a run that goes on keeps what it began with."""
    deterministic: bool = True
    """Bit-identical repetition on the same machine; some operations are slower on GPUs."""
    checkpoint_every: Positive = 1000
    """Steps between checkpoints."""
    validate_every: Positive = 5000
    """Steps between validations; the last step is always validated."""
    log_every: Positive = 50
    """Steps between records in log.jsonl, in TensorBoard, and on stdout where it is not a terminal."""
    shares_every: NotNegative = 500
    """Steps between measurements of each term's share of G's gradient; such a step takes twice as long. 0: never."""
    feature_images: NotNegative = 16
    """Number of images per domain whose feature means are kept by class, before the first and after the last step."""
    trackers: tuple[Literal["mlflow", "wandb"], ...] = ()
    """Trackers of experiments that get the records, too: MLflow, Weights & Biases. Nothing else depends on them."""
