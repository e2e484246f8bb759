"""The paper's method: encoders and their store, the plug, the frozen LLM behind it, training, answering."""
