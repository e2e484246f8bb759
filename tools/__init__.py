"""For those who work on this repository: running and comparing notebooks, writing the README's tables."""
