"""The offline stand-in for a real LLM: a small T5, trained from scratch on LaMP-format users and then frozen.

What it is taught stands in `curriculum.py`, whether it has learnt it in `standin_check.py`.
"""

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from pplug.base import has_bfloat16, no_loading_bars
from pplug.data import fixed_parts
from pplug.offline.curriculum import Recipe, Writer, training_pair
from pplug.offline.standin_minilm import new_minilm

SAVE_EVERY = 500  # steps between two checkpoints of a training
PRETRAINED_RATE = 0.1  # of a pretrained encoder's weights, times the others'
BIAS_RATE = 50  # position biases have to move by whole numbers, other weights by hundredths
SAMPLE = 20_000  # prompts and targets that the vocabulary is learnt from
DRAWN = 4000  # pairs drawn at a time; batches of like length are made of them
LONGEST = 1 << 20  # tokens of a text, where the model has no limit of its own
SPECIAL_TOKENS = ("<pad>", "</s>")


def train_tokenizer(texts: Iterable[str], vocabulary: int):
    """Train a byte-level BPE tokenizer: every text can be encoded, there is no unknown token.

    The fixed parts of LaMP's templates are one token each: they are the same in every prompt, and on a small LLM they
    would be most of the work. They are added after training, because the tokenizers library drops long tokens in it.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fixed = fixed_parts()
    between = re.compile("|".join(map(re.escape, fixed)))  # words that stand only in templates need no pieces
    tokenizer.train_from_iterator((between.sub(" ", text) for text in texts), trainer)
    tokenizer.add_tokens([AddedToken(part, normalized=False) for part in fixed])
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


def train_standin(
    writers: list[Writer],
    recipe: Recipe,
    checkpoint: Path | None = None,
    log: Callable[[str], None] = print,
):
    """Train a stand-in.

    Args:
        writers: The users to learn from.
        recipe: How.
        checkpoint: File to save the state to every `SAVE_EVERY` steps and to continue from, if it is there.
        log: Called with a line of progress now and then.

    Returns:
        `(model, tokenizer)`, the model in evaluation mode and float32.
    """
    import torch
    from transformers import get_linear_schedule_with_warmup

    rng = random.Random(recipe.seed)
    torch.manual_seed(recipe.seed)
    sample = (part for _ in range(SAMPLE) for part in training_pair(rng.choice(writers), rng, recipe, 4))
    model, tokenizer = new_minilm(recipe) if recipe.encoder == "minilm" else _new_t5(recipe, list(sample))
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.learning_rate), weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, int(recipe.warmup * recipe.steps), recipe.steps)
    start = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        start = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    model.train()
    running = 0.0
    for step, (prompts, targets) in enumerate(_batches(writers, recipe, tokenizer, start), start + 1):
        loss = _loss(model, tokenizer, prompts, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        running = loss.item() if not running else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 0:
            log(f"step {step}/{recipe.steps}  loss {running:.3f}")
        if checkpoint is not None and (step % SAVE_EVERY == 0 or step == recipe.steps):
            _save_checkpoint(checkpoint, step, model, optimizer, schedule)
    return model.eval(), tokenizer


def _new_t5(recipe: Recipe, sample: list[str]):
    """A T5 with random weights, and a tokenizer learnt from a sample of its texts."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = train_tokenizer(sample, recipe.vocabulary)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=recipe.width,
            d_kv=recipe.width // recipe.heads,
            d_ff=recipe.feed_forward,
            num_layers=recipe.encoder_layers,
            num_decoder_layers=recipe.decoder_layers,
            num_heads=recipe.heads,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,  # what is copied need not be learnt anew for every word
            attn_implementation="eager",  # on a CPU its backward pass takes half the time of the fused one
        )
    )
    _look_left_and_right(model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight)
    return model, tokenizer


def _look_left_and_right(bias) -> None:
    """Start each head of the encoder with a side it looks to, and with a preference for what is near.

    T5 knows of order by these biases alone. They start near zero, and a short training leaves them there: the stand-in
    then reads a bag of words, and cannot tell the input from the items in front of it.

    Args:
        bias: `[buckets, heads]`, the first half of the buckets for what stands left, by growing distance.
    """
    import torch

    buckets, heads = bias.shape
    distance = torch.arange(buckets // 2)
    with torch.no_grad():
        for head in range(heads):
            slope = (0.0, 0.1, 0.3, 1.0)[head // 2 % 4]
            left, right = (-slope * distance - 4.0 * (head % 2 == side) for side in (0, 1))
            bias[:, head] = torch.cat([left, right])


def _parameter_groups(model, learning_rate: float) -> list[dict]:
    """Give T5's position biases, or MiniLM's weights, a learning rate of their own."""
    if model.config.model_type == "encoder-decoder":
        return [
            {"params": list(model.encoder.parameters()), "lr": PRETRAINED_RATE * learning_rate},
            {"params": list(model.decoder.parameters()), "lr": learning_rate},
        ]
    bias = [p for name, p in model.named_parameters() if "relative_attention_bias" in name]
    rest = [p for name, p in model.named_parameters() if "relative_attention_bias" not in name]
    return [
        {"params": rest, "lr": learning_rate},
        {"params": bias, "lr": BIAS_RATE * learning_rate, "weight_decay": 0.0},
    ]


def _loss(model, tokenizer, prompts: list[list[int]], targets: list[list[int]]):
    """Cross-entropy of one batch, in bfloat16 where the processor has it; every target counts the same, however long.

    (The mean over all tokens would give a rating's one digit a tenth of a headline's weight.)
    """
    import torch

    inputs = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    labels = tokenizer.pad({"input_ids": targets}, return_tensors="pt")
    kept = labels["attention_mask"].bool()
    labels = labels["input_ids"].masked_fill(~kept, -100)
    given = model.prepare_decoder_input_ids_from_labels(labels)
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16("cpu")):
        logits = model(**inputs, decoder_input_ids=given).logits
    each = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), labels, reduction="none")
    return (each.sum(1) / kept.sum(1)).mean()


def _batches(writers: list[Writer], recipe: Recipe, tokenizer, start: int):
    """Yield batches of similar length, stage by stage; every chunk of 100 batches has its own seed, so a resumed
    run sees what an uninterrupted one would have."""
    ends, total = [], 0.0
    for share, *_ in recipe.stages:
        total += share
        ends.append(total * recipe.steps)
    step = start
    while step < recipe.steps:
        chunk = step // 100
        rng = random.Random(f"{recipe.seed}/{chunk}")
        stage = next(i for i, end in enumerate(ends) if chunk * 100 < end or end == ends[-1])
        batches = _chunk(writers, rng, recipe, tokenizer, recipe.stages[stage][1:])
        for batch in batches[step - chunk * 100 : recipe.steps - chunk * 100]:
            yield batch
            step += 1


def _chunk(writers, rng, recipe: Recipe, tokenizer, stage: tuple, n_batches: int = 100):
    """Make exactly `n_batches` batches of about `tokens_per_batch` tokens, padding included, in random order."""
    batches: list[tuple[list, list]] = []
    while len(batches) < n_batches:
        pairs = [training_pair(rng.choice(writers), rng, recipe, *stage) for _ in range(DRAWN)]
        cut = {"truncation": True, "max_length": min(tokenizer.model_max_length, LONGEST)}
        prompts = tokenizer([p for p, _ in pairs], **cut)["input_ids"]
        targets = tokenizer([t for _, t in pairs], **cut)["input_ids"]
        order = sorted(range(len(pairs)), key=lambda i: len(prompts[i]))
        batch: tuple[list, list] = ([], [])
        made = []
        for i in order:
            if batch[0] and len(prompts[i]) * (len(batch[0]) + 1) > recipe.tokens_per_batch:
                made.append(batch)
                batch = ([], [])
            batch[0].append(prompts[i])
            batch[1].append(targets[i])
        made.append(batch)
        rng.shuffle(made)
        batches += made
    return batches[:n_batches]


def _save_checkpoint(path: Path, step: int, model, optimizer, schedule) -> None:
    import torch

    from pplug.base import replacing

    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def save_standin(folder: str | Path, model, tokenizer, recipe: Recipe, about: dict) -> Path:
    """Write weights (half-precision safetensors), tokenizer and `recipe.json`.

    Args:
        folder: Where to.
        model: The trained model; it is rounded to float16 in place, so that what is measured is what is shipped.
        tokenizer: Its tokenizer.
        recipe: What it was made with.
        about: Facts of the run (data, seconds, versions) to record beside the recipe.
    """
    import json

    from pplug.base import write_text

    folder = Path(folder)
    with no_loading_bars():
        model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
    write_text(folder / "recipe.json", json.dumps({"recipe": asdict(recipe), **about}, indent=1))
    return folder
