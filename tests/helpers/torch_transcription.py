"""Plain PyTorch transcription of the method, as a second opinion for tests.

Written from the equations and the recipe alone; it does not import the package and shares no code with it. Everything
is float32 and NCHW. Letters in shapes: b images, c classes, n feature channels, (h, w) image size, (u, v) feature size.
In the losses z is a domain, 0 = source and 1 = target, as in equations 3, 6 and 8.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

IGNORE = 255
MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
SOURCE, TARGET = 0, 1


def normalise(images):
    """RGB (b, 3, h, w) in 0..255 to BGR minus the mean; no division by a deviation."""
    return images.flip(1) - images.new_tensor(MEAN_BGR).view(1, 3, 1, 1)


def frozen_norm(channels):
    """Batch norm whose statistics move (new value weighs 0.1) while gamma and beta stay fixed."""
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1).requires_grad_(False)


class Bottleneck(nn.Module):
    """1x1 (carries the stride), dilated 3x3, 1x1 with 4 x width outputs, plus the shortcut."""

    def __init__(self, channels, width, stride, dilation, project):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, stride=stride, bias=False)
        self.bn1 = frozen_norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = frozen_norm(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = frozen_norm(4 * width)
        self.downsample = nn.Identity()
        if project:
            shortcut = nn.Conv2d(channels, 4 * width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, frozen_norm(4 * width))

    def forward(self, x):
        """(b, channels, h, w) -> (b, 4 x width, h / stride, w / stride)."""
        shortcut = self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


def residual_layer(channels, width, blocks, stride, dilation):
    """A stack of bottlenecks; the first has the stride and a projected shortcut, all have the dilation."""
    first = Bottleneck(channels, width, stride, dilation, project=True)
    others = [Bottleneck(4 * width, width, 1, dilation, project=False) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)


class DilatedSum(nn.Module):
    """The classification head, (b, 2048, u, v) -> (b, c, u, v): a dilated 3x3 convolution per rate, all summed."""

    def __init__(self, num_classes, rates):
        super().__init__()
        self.conv2d_list = nn.ModuleList(nn.Conv2d(2048, num_classes, 3, padding=r, dilation=r) for r in rates)

    def forward(self, x):
        return sum(conv(x) for conv in self.conv2d_list)


class DeepLab(nn.Module):
    """Single-level DeepLab-v2 ResNet (recipe 3.1), initialised as in 3.2; parameter names are the base code's."""

    def __init__(self, num_classes, blocks=(3, 4, 23, 3), rates=(6, 12, 18, 24)):
        super().__init__()
        self.num_classes = num_classes
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = frozen_norm(64)
        self.layer1 = residual_layer(64, 64, blocks[0], stride=1, dilation=1)
        self.layer2 = residual_layer(256, 128, blocks[1], stride=2, dilation=1)
        self.layer3 = residual_layer(512, 256, blocks[2], stride=1, dilation=2)
        self.layer4 = residual_layer(1024, 512, blocks[3], stride=1, dilation=4)
        self.layer5 = DilatedSum(num_classes, rates)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, images):
        """Normalised images (b, 3, h, w) -> features F (b, 2048, u, v), low-resolution logits (b, c, u, v)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)
        features = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features, self.layer5(features)

    def parameter_groups(self):
        """The trained parameters as (backbone, head); the head's biases belong to the head."""
        named = [(name.startswith("layer5."), p) for name, p in self.named_parameters() if p.requires_grad]
        return [p for in_head, p in named if not in_head], [p for in_head, p in named if in_head]


class GlobalDiscriminator(nn.Module):
    """D_g: P (b, c, h, w) -> logits (b, 2, h / 32, w / 32) of source and target; five 4x4 stride-2 convolutions."""

    def __init__(self, num_classes, width=64):
        super().__init__()
        channels = [num_classes, width, 2 * width, 4 * width, 8 * width, 2]
        convs = [nn.Conv2d(*pair, 4, stride=2, padding=1) for pair in pairwise(channels)]
        self.conv1, self.conv2, self.conv3, self.conv4, self.classifier = convs

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.leaky_relu(conv(x), 0.2)
        return self.classifier(x)


class VectorDiscriminator(nn.Module):
    """D_s of FCSA: class vectors (b, c, n) -> logits (b, c, 2c), two fully connected layers for each vector."""

    def __init__(self, num_classes, features=2048, width=1024):
        super().__init__()
        self.fc1 = nn.Linear(features, width)
        self.fc2 = nn.Linear(width, 2 * num_classes)

    def forward(self, vectors):
        return self.fc2(F.leaky_relu(self.fc1(vectors), 0.2))


class CellDiscriminator(nn.Module):
    """D_s of CSA: features (b, n, u, v) -> logits (b, 2c, u, v), two 1x1 convolutions."""

    def __init__(self, num_classes, features=2048, width=1024):
        super().__init__()
        self.conv1 = nn.Conv2d(features, width, 1)
        self.conv2 = nn.Conv2d(width, 2 * num_classes, 1)

    def forward(self, features):
        return self.conv2(F.leaky_relu(self.conv1(features), 0.2))


def upsample(logits, size):
    """(b, c, u, v) -> (b, c, h, w), bilinear with aligned corners."""
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=True)


def nearest_index(large, small):
    """For each of `small` cells the nearest of `large` pixels with aligned corners; a tie takes the higher pixel."""
    gaps = max(small - 1, 1)
    return (2 * torch.arange(small) * (large - 1) + gaps) // (2 * gaps)


def downsample_labels(labels, size):
    """Y (b, h, w) -> y (b, u, v), nearest with aligned corners; IGNORE stays IGNORE."""
    rows, columns = nearest_index(labels.shape[1], size[0]), nearest_index(labels.shape[2], size[1])
    return labels[:, rows][:, :, columns]


def mean_where(values, mask):
    """Mean over the masked entries of each image, then over the batch; both (b, ...). Nothing masked counts as 0."""
    values = torch.where(mask, values, torch.zeros_like(values)).flatten(1).sum(1)
    return (values / mask.flatten(1).sum(1).clamp(min=1)).mean()


def segmentation_loss(logits, labels):
    """Equation 1 from upsampled logits (b, c, h, w) and Y (b, h, w)."""
    valid = labels != IGNORE
    index = torch.where(valid, labels, torch.zeros_like(labels))
    log_p = F.log_softmax(logits, dim=1).gather(1, index.unsqueeze(1)).squeeze(1)
    return mean_where(-log_p, valid)


def global_adversarial_loss(d_logits, z=TARGET):
    """Equation 2 from D_g's logits (b, 2, u, v): equation 3 with z, the domain to push to, as the answer."""
    return global_discriminator_loss(d_logits, z)


def global_discriminator_loss(d_logits, z):
    """Equation 3 for the images of domain z, from D_g's logits (b, 2, u, v)."""
    return -F.log_softmax(d_logits, dim=1)[:, z].mean((1, 2)).mean()


def class_vectors(features, labels, num_classes):
    """Equation 4: F (b, n, u, v) and y (b, u, v) -> V (b, c, n), present (b, c); an absent class has V = 0."""
    members = labels.flatten(1).unsqueeze(1) == torch.arange(num_classes).view(1, -1, 1)
    sums = members.to(features.dtype) @ features.flatten(2).transpose(1, 2)
    counts = members.sum(2)
    return sums / counts.clamp(min=1).unsqueeze(2), counts > 0


def fcsa_adversarial_loss(d_logits, present, z=TARGET):
    """Equation 5 from D_s's logits (b, c, 2c) and present (b, c); z is the domain to push to."""
    return fcsa_discriminator_loss(d_logits, present, z)


def fcsa_discriminator_loss(d_logits, present, z):
    """Equation 6 for the images of domain z: -log D_s(V^k)[k + z c] over the present classes k."""
    log_p = F.log_softmax(d_logits, dim=2).diagonal(z * d_logits.shape[1], dim1=1, dim2=2)
    return mean_where(-log_p, present)


def csa_adversarial_loss(d_logits, labels, z=TARGET):
    """Equation 7 from D_s's logits (b, 2c, u, v) and y (b, u, v); z is the domain to push to."""
    return csa_discriminator_loss(d_logits, labels, z)


def csa_discriminator_loss(d_logits, labels, z):
    """Equation 8 for the images of domain z: equation 1 with 2c classes and y + z c as the labels."""
    shifted = labels + z * (d_logits.shape[1] // 2)
    return segmentation_loss(d_logits, torch.where(labels == IGNORE, labels, shifted))


# Kind of discriminator -> the loss that trains G, the one that trains it, which target images it sees.
ADVERSARIES = {
    "global": (global_adversarial_loss, global_discriminator_loss, "unlabelled"),
    "fcsa": (fcsa_adversarial_loss, fcsa_discriminator_loss, "labelled"),
    "csa": (csa_adversarial_loss, csa_discriminator_loss, "labelled"),
}


class Method:
    """Networks, optimisers and the training step of GA, GA+FCSA or GA+CSA (equations 9 to 11)."""

    def __init__(self, name, generator, d_g, d_s, *, lr=2.5e-4, momentum=0.9, nesterov=True, weight_decay=5e-4,
                 backbone_multiplier=1.0, head_multiplier=10.0, discriminator_lr=1e-4, betas=(0.9, 0.99), epsilon=1e-8,
                 power=0.9, decay_steps=250000, lambda_seg=1.0, lambda_gadv=0.001, lambda_sadv=None, lambda_gd=1.0,
                 lambda_sd=1.0, direction="source_to_target"):  # fmt: skip
        if name not in {"ga", "fcsa", "csa"} or (name == "ga") != (d_s is None):
            raise ValueError(f"no such method, or d_s does not fit it: {name}")
        self.name, self.generator, self.discriminators = name, generator, [d_g] if d_s is None else [d_g, d_s]
        self.forwards = {"source_to_target": True, "target_to_source": False}[direction]
        if lambda_sadv is None:
            lambda_sadv = {"ga": 0.0, "fcsa": 0.04, "csa": 0.01}[name]
        self.lambda_seg = lambda_seg
        self.lambdas = {"global": (lambda_gadv, lambda_gd), name: (lambda_sadv, lambda_sd)}
        self.power, self.decay_steps, self.steps = power, decay_steps, 0
        rates = lr * backbone_multiplier, lr * head_multiplier
        groups = [{"params": p, "rate0": rate} for p, rate in zip(generator.parameter_groups(), rates)]
        sgd = torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        groups = [[{"params": list(d.parameters()), "rate0": discriminator_lr}] for d in self.discriminators]
        adams = [torch.optim.Adam(group, lr=discriminator_lr, betas=betas, eps=epsilon) for group in groups]
        self.optimisers = [sgd, *adams]

    def prepare(self):
        """Sets training mode, no gradients, and each group's rate0 (1 - steps / decay_steps)^power, not below 0."""
        for network in (self.generator, *self.discriminators):
            network.train()
        decay = max(1 - self.steps / self.decay_steps, 0) ** self.power
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = group["rate0"] * decay

    def predict(self, images):
        """RGB images (b, 3, h, w) -> F (b, n, u, v), upsampled logits (b, c, h, w)."""
        features, logits = self.generator(normalise(images))
        return features, upsample(logits, images.shape[2:])

    def semantic_input(self, features, labels):
        """What D_s reads and what its losses select by: (V, present) for FCSA, (F, y) for CSA."""
        y = downsample_labels(labels, features.shape[2:])
        return (features, y) if self.name == "csa" else class_vectors(features, y, self.generator.num_classes)

    def adversary(self, kind, discriminator, source, target, losses):
        """Weighted terms of eqs 9 and 10 from each domain's (input, what else the losses need); fills `losses`."""
        adversarial_loss, discriminator_loss, part = ADVERSARIES[kind]
        lambda_adv, lambda_d = self.lambdas[kind]
        pushed, z = (source, TARGET) if self.forwards else (target, SOURCE)
        adversarial = adversarial_loss(discriminator(pushed[0]), *pushed[1:], z)
        on_source = discriminator_loss(discriminator(source[0].detach()), *source[1:], SOURCE)
        on_target = discriminator_loss(discriminator(target[0].detach()), *target[1:], TARGET)
        losses[f"{kind}_adversarial_loss"] = adversarial
        losses[f"{kind}_discriminator_loss_source"] = on_source
        losses[f"{kind}_discriminator_loss_{part}"] = on_target
        return lambda_adv * adversarial, lambda_d * (on_source / 2 + on_target / 2)

    def step(self, source, labels_source, labelled, labels_labelled, unlabelled):
        """One training step; images (b, 3, h, w) RGB 0..255, labels (b, h, w). Returns the unweighted losses."""
        self.prepare()
        features_s, logits_s = self.predict(source)
        features_l, logits_l = self.predict(labelled)
        with torch.set_grad_enabled(not self.forwards):
            _, logits_u = self.predict(unlabelled)
        losses = {
            "segmentation_loss_source": segmentation_loss(logits_s, labels_source),
            "segmentation_loss_labelled": segmentation_loss(logits_l, labels_labelled),
        }
        loss_g, loss_d = self.lambda_seg * sum(losses.values()), 0
        pairs = {"global": ((logits_s.softmax(1),), (logits_u.softmax(1),))}
        if self.name != "ga":
            labelled_input = self.semantic_input(features_l, labels_labelled)
            pairs[self.name] = self.semantic_input(features_s, labels_source), labelled_input
        for discriminator, (kind, pair) in zip(self.discriminators, pairs.items()):
            adversarial, own = self.adversary(kind, discriminator, *pair, losses)
            loss_g, loss_d = loss_g + adversarial, loss_d + own
        loss_g.backward(inputs=[p for p in self.generator.parameters() if p.requires_grad])
        loss_d.backward()
        for optimiser in self.optimisers:
            optimiser.step()
        self.steps += 1
        return {key: loss.item() for key, loss in losses.items()}
