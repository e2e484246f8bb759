"""PPlug rebuilt small: a frozen LLM, personalised by one embedding of a user's history."""

import warnings

# tqdm's advice to install widgets, given when a library first imports it in a notebook, would stay in the outputs.
warnings.filterwarnings("ignore", "IProgress not found")
