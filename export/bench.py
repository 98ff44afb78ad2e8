"""Speed and size of exported models: `python export/bench.py`, the same as `python -m ass_tf.export.bench`."""

import sys

from ass_tf.export.bench import main
from ass_tf.system import terminal

if __name__ == "__main__":
    sys.exit(terminal.run(lambda: main(prog="python export/bench.py")))
