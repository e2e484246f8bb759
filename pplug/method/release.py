"""What the authors' release does, where it differs from the paper or from what is the default here. Facts, no code.

What it has in common with ours and the paper does not say: histories are subsampled in training (`batches.subsample`),
the input encoder reads the part of the input after the template (`full_query=False`), the loss is the mean over tokens.
"""

RELEASE = {  # fields of `PlugConfig`
    "normalise": False,
    "instruction_mlp": True,
    "instruction_divisor": 7.0,
    "train_input_encoder": True,
    "with_label": False,
    "max_history": 512,
}

# What it multiplies soft tokens by, in place of the length measured on the LLM (`PlugConfig.embedding_norm`). It is
# close to the length of a FLAN-T5-XXL token embedding, and wrong for any other LLM.
EMBEDDING_NORM = 539.9738

VISITS = 11  # times an epoch that it writes each training example: once whole, ten times with a part of its history
DROPPED = 0.5  # largest share of a history's items that such a copy lacks
