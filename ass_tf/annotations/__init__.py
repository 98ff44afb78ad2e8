"""What annotation tools wrote, as a data set to train on: read, painted and written."""

from ass_tf.annotations.reading import FORMATS, read
from ass_tf.annotations.writing import Rules, Written, check_out, write

__all__ = ["FORMATS", "Rules", "Written", "check_out", "read", "write"]
