"""DSVM: one tool manifest in, tested data-science images out."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent  # the checkout: manifests, templates, scripts

# invoke turns this off for its whole process, and each command would compile all that it uses anew
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
