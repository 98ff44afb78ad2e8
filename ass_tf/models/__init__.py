"""Networks: the generator G with its backbones, and the discriminators."""

HEAD = "head_"  # the names of the layers of G's head begin so; all others are the backbone's
