"""The simulated world and the stand-in LLM: everything that runs without a download."""
