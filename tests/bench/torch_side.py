"""The step of GA+CSA in plain PyTorch, for comparison: the networks that `ass_tf` builds, transcribed."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
import torch_transcription as reference

WIDTHS, COUNTS, STRIDES = (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 2, 1, 2, 1)


def _norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1).requires_grad_(False)


def _unit(channels_in, channels, **options):
    convolution = nn.Conv2d(channels_in, channels, bias=False, **options)
    return nn.Sequential(convolution, _norm(channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1x1 to six times the channels, 3x3 for each channel, 1x1 back."""

    def __init__(self, channels_in, channels, factor, stride, dilation):
        super().__init__()
        hidden = factor * channels_in
        units = [_unit(channels_in, hidden, kernel_size=1)] if factor > 1 else []
        units.append(
            _unit(hidden, hidden, kernel_size=3, stride=stride, padding=dilation, dilation=dilation, groups=hidden)
        )
        self.units = nn.Sequential(*units, nn.Conv2d(hidden, channels, 1, bias=False), _norm(channels))
        self.adds = stride == 1 and channels_in == channels

    def forward(self, x):
        return x + self.units(x) if self.adds else self.units(x)


class MobileNetV2(nn.Module):
    """Output stride 8, with DeepLab-v2's head; normalised images -> features, logits."""

    def __init__(self, num_classes, rates):
        super().__init__()
        self.num_classes = num_classes
        blocks, channels, dilation, reached = [], 32, 1, 2
        for width, count, stride in zip(WIDTHS, COUNTS, STRIDES):
            before = dilation
            if reached * stride > 8:
                stride, dilation = 1, dilation * stride
            reached *= stride
            for index in range(count):
                factor = 6 if blocks else 1
                first = not index
                blocks.append(
                    InvertedResidual(channels, width, factor, stride if first else 1, before if first else dilation)
                )
                channels = width
        self.body = nn.Sequential(_unit(3, 32, kernel_size=3, stride=2, padding=1), *blocks)
        self.layer5 = nn.ModuleList(nn.Conv2d(channels, num_classes, 3, padding=r, dilation=r) for r in rates)

    def forward(self, images):
        features = self.body(images)
        return features, sum(branch(features) for branch in self.layer5)

    parameter_groups = reference.DeepLab.parameter_groups


def build_step(backbone, images, labels, rates, precision, layout):
    """A function that takes one step and returns its losses.

    Args:
        backbone: mobilenetv2 or resnet101.
        images, labels: arrays, three (b, h, w, 3) and two (b, h, w).
        rates: of the head.
        precision: float32, bfloat16 or float16, by PyTorch's autocast; float16 without scaling of losses.
        layout: nchw or nhwc.
    """
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True  # as its convolutions do, and as TensorFlow does
        torch.backends.cudnn.benchmark = True
    if backbone == "mobilenetv2":
        generator, channels = MobileNetV2(19, rates), 320
    else:
        generator, channels = reference.DeepLab(19, rates=rates), 2048
    method = reference.Method(
        "csa", generator, reference.GlobalDiscriminator(19), reference.CellDiscriminator(19, channels)
    )
    memory = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    for network in (generator, *method.discriminators):
        network.to(device, memory_format=memory)
    source, labelled, unlabelled = (
        torch.from_numpy(array.transpose(0, 3, 1, 2)).to(device).contiguous(memory_format=memory) for array in images
    )
    labels = [torch.from_numpy(array).long().to(device) for array in labels]

    def step():
        with torch.autocast(device, dtype=getattr(torch, precision), enabled=precision != "float32"):
            losses = method.step(source, labels[0], labelled, labels[1], unlabelled)
        if device == "cuda":
            torch.cuda.synchronize()
        return losses

    return step
