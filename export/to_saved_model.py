"""A trained run as a SavedModel: the same as `python -m ass_tf.export.to_saved_model`."""

import sys

from ass_tf.export.to_saved_model import main
from ass_tf.system import terminal

if __name__ == "__main__":
    sys.exit(terminal.run(lambda: main(prog="python export/to_saved_model.py")))
