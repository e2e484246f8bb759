"""Experiments: one cell, the comparison of all rows, its records and tables, the paper's own numbers."""

# What the command line uses of this room; inside it, modules import each other directly.
from pplug.study.compare import evaluate_live, run_groups
from pplug.study.experiment import fit
from pplug.study.people_parts import PARTS, run_people
from pplug.study.plan import make_plan
from pplug.study.records import environment
from pplug.study.tables import gain_table

__all__ = ["PARTS", "environment", "evaluate_live", "fit", "gain_table", "make_plan", "run_groups", "run_people"]
