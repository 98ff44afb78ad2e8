"""Networks: the generator G with its backbones, and the discriminators."""

HEAD = "head_"  # the names of the layers of G's head begin so; all others are the backbone's
CAFFE_BGR_MEAN = (104.00698793, 116.66876762, 122.67891434)  # of ImageNet's pixels, in Caffe's order of channels
