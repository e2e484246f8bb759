"""The offline stand-in for a real LLM: a small T5, trained from scratch on LaMP-format users and then frozen.

Its training mix teaches it the three ways in which a prompt can carry a user, so that the plug meets an LLM that *can*
be personalised: no word about the user, a sentence that describes the user, and some of the user's items as text.
It also learns to write that sentence from a user's items (`describe the user: ...`), and begins by learning to repeat
texts: a headline's few words teach a small T5 to copy names out of an article very slowly, whole texts teach it fast.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pplug.baselines import rank_by_words
from pplug.data import Data, held_out_examples
from pplug.progress import no_loading_bars
from pplug.tasks import (
    Task,
    describe_prompt,
    fixed_parts,
    get_task,
    history_text,
    prompt_with_items,
    prompt_with_persona,
    query_text,
)

SHIPPED = Path(__file__).parent / "weights" / "standin"
SAVE_EVERY = 500  # steps between two checkpoints of a training
SPECIAL_TOKENS = ("<pad>", "</s>")


@dataclass(frozen=True)
class Recipe:
    """How a stand-in is made.

    `stages` is the curriculum: (share of the steps, most items in a prompt, share of texts to repeat).
    """

    width: int = 256
    feed_forward: int = 512
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 8
    vocabulary: int = 2048
    steps: int = 8000
    tokens_per_batch: int = 2000
    learning_rate: float = 1e-3
    warmup: float = 0.05
    stages: tuple[tuple[float, int, float], ...] = ((0.15, 0, 0.5), (0.2, 1, 0.2), (0.65, 4, 0.1))
    plain: float = 0.15  # shares of the training mix; what is left is items in the prompt
    persona: float = 0.25
    describe: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class Writer:
    """One user's texts on one task, as the stand-in is trained on them.

    Attributes:
        task: The task.
        persona: The sentence that describes the user, None where nobody knows it.
        items: The user's history items, oldest first.
        questions: `(input, output, number of items that came before)`.
    """

    task: Task
    persona: str | None
    items: list[dict]
    questions: list[tuple[str, str, int]]


def simulated_writers(task_name: str, n_users: int, seed: int, prefix: str) -> list[Writer]:
    """Simulated users; each of a user's texts is a question that the texts before it can help with."""
    from pplug.simulate import make_users, persona_sentence
    from pplug.tasks import build_input

    task = get_task(task_name)
    writers = []
    for user in make_users(task_name, n_users, seed, prefix):
        questions = [(build_input(task, **t.slots), t.output, i) for i, t in enumerate(user.texts)]
        persona = persona_sentence(task_name, user.values)
        writers.append(Writer(task, persona, [t.item for t in user.texts], questions))
    return writers


def lamp_writers(data: Data, split: str = "train") -> list[Writer]:
    """The users of LaMP-format data: a split's questions and, for training, the items that can serve as questions."""
    examples = data.splits[split].to_list() + (held_out_examples(data) if split == "train" else [])
    writers = []
    for example in examples:
        items = [data.items[row] for row in example["profile"]]
        persona = data.factors[example["user_id"]]["persona"] if data.factors else None
        writers.append(Writer(data.task, persona, items, [(example["input"], example["output"], len(items))]))
    return writers


def pick_items(task: Task, text: str, items: list[dict], k: int, rng: random.Random | None = None) -> list[dict]:
    """Choose `k` history items for the prompt, the most similar one last, next to the input.

    Args:
        task: The task.
        text: The input.
        items: The history, oldest first.
        k: How many; fewer if the history is shorter.
        rng: If given, choose at random instead of by similarity.
    """
    if rng is not None:
        return rng.sample(items, min(k, len(items)))
    order = rank_by_words(query_text(task, text), [history_text(task, item) for item in items])
    return [items[i] for i in reversed(order[:k])]


def training_pair(
    writer: Writer, rng: random.Random, most_items: int, recipe: Recipe, repeat: float = 0.0
) -> tuple[str, str]:
    """Draw one (prompt, target) from the training mix of a stage; see `Recipe`."""
    text, output, n_before = rng.choice(writer.questions)
    if rng.random() < repeat:
        read = query_text(writer.task, text)
        return f"repeat: {read}", read
    items = writer.items[max(0, n_before - 30) : n_before]
    way = rng.random()
    if way < recipe.plain or (not items and writer.persona is None):
        return text, output
    if writer.persona is not None and (way < recipe.plain + recipe.persona or not items or not most_items):
        return prompt_with_persona(writer.persona, text), output
    if writer.persona is not None and way < recipe.plain + recipe.persona + recipe.describe:
        return describe_prompt(writer.task, pick_items(writer.task, text, items, 6, rng)), writer.persona
    k = rng.randint(1, max(1, most_items))
    shuffled = rng if rng.random() < 0.5 else None
    return prompt_with_items(writer.task, pick_items(writer.task, text, items, k, shuffled), text), output


def train_tokenizer(texts: Iterable[str], vocabulary: int):
    """Train a byte-level BPE tokenizer: every text can be encoded, there is no unknown token.

    The fixed parts of LaMP's templates are one token each: they are the same in every prompt, and on a small LLM they
    would be most of the work. (The tokenizers library drops the two longest when it trains, LaMP-2's and LaMP-3's.)
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
    tokenizer.add_tokens([AddedToken(part, normalized=False) for part in fixed_parts()])
    tokenizer.train_from_iterator(texts, trainer)
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
    from transformers import T5Config, T5ForConditionalGeneration, get_linear_schedule_with_warmup

    rng = random.Random(recipe.seed)
    torch.manual_seed(recipe.seed)
    sample = [part for _ in range(20_000) for part in training_pair(rng.choice(writers), rng, 4, recipe)]
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
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
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


def _loss(model, tokenizer, prompts: list[list[int]], targets: list[list[int]]):
    """Cross-entropy of one batch, in bfloat16 where the processor has it."""
    import torch

    inputs = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    labels = tokenizer.pad({"input_ids": targets}, return_tensors="pt")
    labels = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, -100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels).loss


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
        batches = _chunk(writers, rng, recipe, tokenizer, *recipe.stages[stage][1:])
        for batch in batches[step - chunk * 100 : recipe.steps - chunk * 100]:
            yield batch
            step += 1


def _chunk(writers, rng, recipe: Recipe, tokenizer, most_items: int, repeat: float, n_batches: int = 100):
    """Make exactly `n_batches` batches of about `tokens_per_batch` tokens, padding included, in random order."""
    batches: list[tuple[list, list]] = []
    while len(batches) < n_batches:
        pairs = [training_pair(rng.choice(writers), rng, most_items, recipe, repeat) for _ in range(4000)]
        prompts = tokenizer([p for p, _ in pairs])["input_ids"]
        targets = tokenizer([t for _, t in pairs])["input_ids"]
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

    from pplug.files import replacing

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

    from pplug.files import write_text

    folder = Path(folder)
    with no_loading_bars():
        model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
    write_text(folder / "recipe.json", json.dumps({"recipe": asdict(recipe), **about}, indent=1))
    return folder
