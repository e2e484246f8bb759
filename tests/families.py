"""Small models with random weights of the families the profiles name, each with its family's kind of tokenizer.

They are written as the real ones are stored, so that the calls that load the real ones load them.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from pplug.study.shapes import make_model

LLAMA_CHAT = (
    "{{ bos_token }}{% for turn in messages %}<|start_header_id|>{{ turn['role'] }}<|end_header_id|>\n\n"
    "{{ turn['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN_CHAT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n{{ turn['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CAUSAL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def save_family(family: str, folder: Path, texts: list[str]) -> str:
    """Write a small `flan-t5`, `llama`, `qwen` or `bge`, its tokenizer learnt from `texts`; returns the folder."""
    torch.manual_seed(0)
    model, tokenizer = {"flan-t5": _flan_t5, "llama": _llama, "qwen": _qwen, "bge": _bge}[family](texts)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _flan_t5(texts: list[str]):
    from transformers import T5Tokenizer

    learnt = Tokenizer(models.Unigram())
    learnt.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False, initial_alphabet=["▁"]
    )
    learnt.train_from_iterator(texts, trainer)
    pieces = sorted(learnt.get_vocab().items(), key=lambda found: found[1])
    tokenizer = T5Tokenizer([(piece, 0.0 if piece in special else -float(n)) for piece, n in pieces], extra_ids=4)
    small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    model = make_model("google/flan-t5-xl", vocab_size=len(tokenizer) + 28, pad_token_id=0, eos_token_id=1, **small)
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) / 6)  # a head of its own
    return model, tokenizer


def _byte_pairs(texts: list[str], special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _llama(texts: list[str]):
    from transformers import PreTrainedTokenizerFast

    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    learnt = _byte_pairs(texts, special)
    learnt.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learnt, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", chat_template=LLAMA_CHAT
    )
    ends = {"bos_token_id": 0, "eos_token_id": [1, 4]}  # it may end a text or a turn, and has no padding token
    return make_model("meta-llama/Llama-3.1-8B-Instruct", vocab_size=len(tokenizer), **ends, **CAUSAL), tokenizer


def _qwen(texts: list[str]):
    import json

    from transformers import Qwen2Tokenizer

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    model = json.loads(_byte_pairs(texts, special).to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=QWEN_CHAT,
    )
    ends = {"bos_token_id": 0, "eos_token_id": [2, 0]}
    return make_model("Qwen/Qwen2.5-7B-Instruct", vocab_size=len(tokenizer), **ends, **CAUSAL), tokenizer


def _bge(texts: list[str]):
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    learnt = BertWordPieceTokenizer(lowercase=True)
    learnt.train_from_iterator(texts, vocab_size=400, min_frequency=1, show_progress=False)
    small = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = make_model("BAAI/bge-base-en-v1.5", vocab_size=learnt.get_vocab_size(), initializer_range=0.5, **small)
    return model, BertTokenizer(tokenizer_object=learnt._tokenizer, model_max_length=512)


# Every family a practitioner may bring: kind of config, its model, and what its sizes are called.
CAUSAL_NAMES = CAUSAL | {"bos_token_id": None}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": None}
FALCON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "bos_token_id": None}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "decoder_start_token_id": 1,
    "bos_token_id": None,
}
SMALL_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
OPT = {"ffn_dim": 64, "word_embed_proj_dim": 16}  # embeddings narrower than its layers, as OPT-350m's
GEMMA_3N = {
    "intermediate_size": [64, 64],
    "head_dim": 8,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "laurel_rank": 4,
    "layer_types": ["sliding_attention", "full_attention"],
    "activation_sparsity_pattern": [0.0, 0.0],
}
FAMILIES = {
    "t5": ("T5Config", "T5ForConditionalGeneration", SMALL_T5),
    "bart": ("BartConfig", "BartForConditionalGeneration", BART),
    "pegasus": ("PegasusConfig", "PegasusForConditionalGeneration", BART | {"scale_embedding": True}),
    "marian": ("MarianConfig", "MarianMTModel", BART | {"scale_embedding": True}),
    "m2m": ("M2M100Config", "M2M100ForConditionalGeneration", BART | {"scale_embedding": True}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", GPT | {"n_positions": 512}),
    "opt": ("OPTConfig", "OPTForCausalLM", FALCON | OPT),
    "llama": ("LlamaConfig", "LlamaForCausalLM", CAUSAL_NAMES),
    "mistral": ("MistralConfig", "MistralForCausalLM", CAUSAL_NAMES),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", CAUSAL_NAMES),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", CAUSAL_NAMES | {"head_dim": 8}),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", CAUSAL_NAMES | {"head_dim": 8}),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", CAUSAL_NAMES | {"head_dim": 8}),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", CAUSAL_NAMES | {"head_dim": 8}),
    "gemma3n": ("Gemma3nTextConfig", "Gemma3nForCausalLM", CAUSAL_NAMES | GEMMA_3N),
    "phi": ("PhiConfig", "PhiForCausalLM", CAUSAL_NAMES),
    "falcon": ("FalconConfig", "FalconForCausalLM", FALCON | {"alibi": True}),
    "mpt": ("MptConfig", "MptForCausalLM", {"d_model": 32, "n_heads": 4, "n_layers": 2, "expansion_ratio": 2}),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM", CAUSAL_NAMES | {"num_local_experts": 4}),
    "bert": ("BertConfig", "BertLMHeadModel", FALCON | {"intermediate_size": 64}),
}


def make_family(family: str, tokenizer, **changes):
    """A small LLM of one of `FAMILIES` with random weights, large enough for positions to be seen in its output."""
    import transformers

    kind, model, fields = FAMILIES[family]
    own = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    if family == "gemma3n":
        own["vocab_size_per_layer_input"] = len(tokenizer)
    if family == "marian":
        own["decoder_vocab_size"] = len(tokenizer)
    torch.manual_seed(0)
    llm = getattr(transformers, model)(getattr(transformers, kind)(**(fields | own | changes)))
    if family in ("bart", "gpt2", "gemma3n"):
        for weights in llm.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    return llm.eval().requires_grad_(False)
