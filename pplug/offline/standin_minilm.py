"""A stand-in that reads real language: the pretrained MiniLM as encoder, a small decoder that writes from it.

A T5 from scratch knows only the words it was trained on. MiniLM has read a billion sentences; what it reads it can turn
into a label or a short text after minutes of training. What it cannot do: it writes in lower case, and no better than
two layers write that were trained on one population's texts.
"""

from pplug.base import no_loading_bars, no_old_advice
from pplug.data import TASKS, fixed_parts
from pplug.method import minilm_folder
from pplug.offline.curriculum import Recipe

# It can read already: less to repeat, shorter, and a fraction of the steps.
MINILM = Recipe(encoder="minilm", steps=600, stages=((0.2, 0, 0.3, 1), (0.8, 2, 0.05, 1)))
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def new_minilm(recipe: Recipe):
    """Make the untrained stand-in: MiniLM and a decoder of `recipe.decoder_layers` layers, which starts at its words.

    Args:
        recipe: How it will be trained.

    Returns:
        `(model, tokenizer)`; LaMP's fixed parts and labels are single tokens, with random embeddings yet.
    """
    no_old_advice()
    with no_loading_bars():
        from transformers import AutoModel, AutoTokenizer, BertConfig, BertLMHeadModel, EncoderDecoderModel

        tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
        encoder = AutoModel.from_pretrained(minilm_folder(), use_safetensors=True, **NO_DROPOUT)
    labels = {label for task in TASKS.values() for label in task.labels if not label.isalnum()}
    tokenizer.add_tokens([*fixed_parts(), *sorted(labels)])
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    width = encoder.config.hidden_size
    decoder = BertLMHeadModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=recipe.decoder_layers,
            num_attention_heads=encoder.config.num_attention_heads,
            intermediate_size=2 * width,
            **NO_DROPOUT,
            is_decoder=True,
            add_cross_attention=True,
        )
    )
    decoder.get_input_embeddings().weight.data.copy_(encoder.get_input_embeddings().weight.data)
    model = EncoderDecoderModel(encoder=encoder, decoder=decoder)
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id = tokenizer.cls_token_id
        settings.eos_token_id = tokenizer.sep_token_id
        settings.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
