"""Print the programs whose command line holds the token (DSVM_TOKEN), as JSON."""

import json
import os
from pathlib import Path

token = os.environ["DSVM_TOKEN"].encode()
shown = []
for process in Path("/proc").glob("[0-9]*"):
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        continue  # it has ended
    if any(token in word for word in words):
        shown.append(words[0].decode(errors="replace"))
print(json.dumps(sorted(shown)))
