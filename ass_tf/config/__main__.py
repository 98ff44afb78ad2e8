"""Settings on the terminal.

python -m ass_tf.config --schema              the JSON schema of a settings file
python -m ass_tf.config --markdown            all settings with type, default and meaning, as docs/settings.md
python -m ass_tf.config FILE [--set KEY=VALUE] the settings a file resolves to
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from ass_tf.config import Config, ConfigError, dump, load, page
from ass_tf.system import option, terminal


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.config") -> int:
    """The command line, called `prog`; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="Show settings.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("file", type=option.path, nargs="?", help="a settings file: print what it resolves to")
    wanted.add_argument("--schema", action="store_true", help="print the JSON schema of settings files")
    wanted.add_argument("--markdown", action="store_true", help="print all settings with type, default and meaning")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.schema:
        schema = Config.model_json_schema()
        schema["properties"]["base"] = {"type": "string", "description": "Settings file that this one changes."}
        print(json.dumps(schema, indent=2))
        return 0
    if options.markdown:
        print(page.markdown(), end="")
        return 0
    try:
        print(dump(load(options.file, options.set)), end="")
    except ConfigError as error:
        return terminal.complain(error, 2)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
