"""Experiments: one cell, the comparison of all rows, its records and tables, the paper's own numbers."""
