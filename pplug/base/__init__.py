"""What every other room stands on: errors, files that are never half-written, reading what anyone may have written."""

# What other rooms use of this one; inside it, modules import each other directly.
from pplug.base.dates import time_order
from pplug.base.errors import SHOWN, DataError, InputError, loading
from pplug.base.extras import needing, package_file
from pplug.base.files import (
    PACKAGE,
    cache_folder,
    file_hash,
    made_once,
    project_folder,
    remove_left,
    replacing,
    scratch,
    write_bytes,
    write_text,
)
from pplug.base.hardware import has_bfloat16, own_device, process_place, shard
from pplug.base.json_stream import json_items
from pplug.base.progress import no_loading_bars, no_old_advice, track
from pplug.base.reading import is_value, parse_json, read_json, read_text, shown

__all__ = [
    "PACKAGE",
    "SHOWN",
    "DataError",
    "InputError",
    "cache_folder",
    "file_hash",
    "has_bfloat16",
    "is_value",
    "json_items",
    "loading",
    "made_once",
    "needing",
    "no_loading_bars",
    "no_old_advice",
    "own_device",
    "package_file",
    "parse_json",
    "process_place",
    "project_folder",
    "read_json",
    "read_text",
    "remove_left",
    "replacing",
    "scratch",
    "shard",
    "shown",
    "time_order",
    "track",
    "write_bytes",
    "write_text",
]
