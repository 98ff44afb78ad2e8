"""Settings: their schema, and how they are read from files."""

from ass_tf.config.reading import (
    BESIDE,
    SHIPPED,
    ConfigError,
    beside,
    differences,
    dump,
    find,
    from_dict,
    load,
    load_record,
    merge,
    named,
    with_paths,
)
from ass_tf.config.schema import Config

__all__ = [
    "BESIDE",
    "SHIPPED",
    "Config",
    "ConfigError",
    "beside",
    "differences",
    "dump",
    "find",
    "from_dict",
    "load",
    "load_record",
    "merge",
    "named",
    "with_paths",
]
