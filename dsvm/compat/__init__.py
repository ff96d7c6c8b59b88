"""The gate: driver, CUDA, frameworks, Python, system and GPUs of a variant, judged before anything is downloaded.

Before there is a lock it judges what the manifests promise, with a lock what the pins say. A rule is a function from
a `Scene` to findings; its docstring is what people read about it. Nothing here reads a file or the network: the data
are the rows of compat.yaml. What no row speaks about is not refused.
"""

from dsvm.compat.cuda import Cuda, marks
from dsvm.compat.rules import RULES, Finding, Level, end_state, rule_name
from dsvm.compat.scene import Scene, make_scene
from dsvm.compat.verdict import examine, refuse, sentence, violations

__all__ = [
    "RULES",
    "Cuda",
    "Finding",
    "Level",
    "Scene",
    "end_state",
    "examine",
    "make_scene",
    "marks",
    "refuse",
    "rule_name",
    "sentence",
    "violations",
]
