"""Real models' shapes on one card, with random weights and no download: `python -m benchmarks.gpu`.

Measures encoding, training and generation, each with peak memory; prints a table, writes `results/benchmarks/gpu.json`.
Training's share of the card is its operations, counted as in pplug/plan.py, over what a large matrix product reaches.
"""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.shapes import ReadyTokens, lamp_examples
from pplug.method.batches import collate
from pplug.method.encoders import Encoder, encode_texts, load_encoder
from pplug.method.personalized import PersonalizedLM, build
from pplug.method.training import train
from pplug.study.records import environment, markdown, save_record
from pplug.study.shapes import count, make_model

ENCODER = "BAAI/bge-base-en-v1.5"
LLMS = {  # shape → examples at once
    "google/flan-t5-xl": 64,
    "google/flan-t5-xxl": 16,
    "meta-llama/Llama-3.1-8B-Instruct": 32,
}
BATCH, STEPS, WARM = 64, 6, 2
NEW_TOKENS, ANSWERED = 32, 64
TEXTS = 8192


def main() -> None:
    """Measure everything; needs one GPU with 80 GB or more for the largest LLM.

    Raises:
        SystemExit: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu: no GPU here")
    peak, rows = matrix_peak("cuda"), []
    with tempfile.TemporaryDirectory() as folder:
        encoder = shaped_encoder(Path(folder) / "bge-base-en")
        rows.append(encoding(encoder, peak))
        print(rows[-1], flush=True)
        for name, at_once in LLMS.items():
            rows.append(llm_row(name, shaped_llm(name, "cuda"), encoder, at_once, peak))
            print(rows[-1], flush=True)
            torch.cuda.empty_cache()
    head = list(dict.fromkeys(key for row in rows for key in row))
    print(markdown(head, [[str(row.get(key, "")) for key in head] for row in rows]))
    save_record({"rows": rows, "matrix_peak_tflops": peak / 1e12, **environment()}, "benchmarks", "gpu")


def matrix_peak(device: str, size: int = 8192) -> float:
    """Operations per second of a square matrix product in bfloat16."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds = _seconds(lambda: a @ a, device, 20)
    return 2 * size**3 / seconds


def shaped_encoder(folder: Path, **changes) -> Encoder:
    """Save an encoder of `ENCODER`'s shape with MiniLM's tokenizer (the same vocabulary), and load it as any other."""
    from transformers import AutoTokenizer

    from pplug.method.packaged import minilm_folder

    torch.manual_seed(0)
    make_model(ENCODER, **changes).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    return load_encoder(str(folder), max_length=512)


def shaped_llm(name: str, device: str, **changes):
    """An LLM of this shape, made on the device in bfloat16 with random weights, frozen."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return make_model(name, **changes).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def encoding(encoder: Encoder, peak: float, texts: int = TEXTS) -> dict:
    """Distinct texts of about 40 tokens encoded per second."""
    device = encoder.module.device.type
    made = [f"item {i} " + "the council approved a new bridge over the river " * 4 for i in range(texts)]
    encode_texts(encoder, made[:256], batch_size=256, progress=False)
    _reset(device)
    start = time.perf_counter()
    encode_texts(encoder, made, batch_size=256, progress=False)
    seconds = time.perf_counter() - start
    tokens = len(encoder.module.tokenizer(made[0])["input_ids"])
    operations = 2 * sum(p.numel() for p in encoder.module.parameters()) * tokens * texts
    told = {"what": f"encoding, {ENCODER}", "texts/s": round(texts / seconds), "tokens a text": tokens}
    return told | {"share of matrix peak": round(operations / seconds / peak, 3), "peak GB": _peak_gb(device)}


def llm_row(name: str, llm, encoder: Encoder, at_once: int, peak: float, batch: int = BATCH) -> dict:
    """Training examples per second at LaMP-4's lengths, and tokens generated per second with and without the plug."""
    device = llm.device.type
    torch.manual_seed(0)
    model = build(llm, ReadyTokens(), encoder, train_input_encoder=True)
    model.checkpointing = True
    examples = lamp_examples(batch * (STEPS + WARM), encoder.width, 1000)
    train(model, examples, [], WARM, batch, 1e-4, micro_batch=at_once)
    _reset(device)
    start = time.perf_counter()
    train(model, examples, [], STEPS, batch, 1e-4, micro_batch=at_once)
    seconds = (time.perf_counter() - start) / (STEPS * batch)
    memory = _peak_gb(device)
    shape = count(name)
    asked, said = (sum(len(ids) for ids in lists) / len(examples) for lists in _tokens(examples))
    operations = 6 * (shape.get("encoder", shape["decoder"]) * (asked + 2) + shape["decoder"] * said)
    operations += 6 * count(ENCODER)["encoder"] * asked
    rates = {}
    for way in ("with", "without"):
        way_model = model if way == "with" else PersonalizedLM(llm, model.tokenizer)
        given = collate(way_model, examples[:ANSWERED], for_generation=True)
        options = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "num_beams": 4}
        spent = _seconds(lambda m=way_model, g=given, o=options: _generate(m, g, o), device, 2)
        rates[way] = round(min(ANSWERED, len(examples)) * NEW_TOKENS / spent)
    return {
        "what": f"training, {name}, {at_once} at once",
        "examples/s": round(1 / seconds, 1),
        "share of matrix peak": round(operations / seconds / peak, 3),
        "peak GB": memory,
        "tokens/s with plug": rates["with"],
        "tokens/s without": rates["without"],
    }


def _generate(model, given, options) -> None:
    """Generate without turning ids into text: there is no tokenizer."""
    with torch.inference_mode():
        joined, mask = model.join(**given)
        model.llm.generate(inputs_embeds=joined, attention_mask=mask, do_sample=False, pad_token_id=0, **options)


def _tokens(examples):
    return [e.input_ids for e in examples], [e.target_ids for e in examples]


def _seconds(run, device: str, repeats: int) -> float:
    run()
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    _wait(device)
    return (time.perf_counter() - start) / repeats


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _reset(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _peak_gb(device: str) -> float | None:
    return round(torch.cuda.max_memory_allocated() / 1e9, 1) if device == "cuda" else None


if __name__ == "__main__":
    main()
