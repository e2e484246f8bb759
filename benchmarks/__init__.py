"""What the project costs, as ratios measured side by side: `python -m benchmarks.run`."""
