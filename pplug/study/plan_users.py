"""What very many users cost, reckoned as a plan is: encoding their items, keeping them, a new plug, LoRA instead."""

from pplug.config import Profile
from pplug.method import PlugConfig
from pplug.study.plan import ITEM_TOKENS, Device, bytes_a_vector, plan_task, planned_on
from pplug.study.shapes import count, make_config

TASK, ITEMS = "LaMP-4", 100  # whose items' length is taken; items of a user
RANK, EPOCHS, ANSWER = 8, 3, 20  # of LoRA on queries and values; its training; tokens of a target
KEY = 16  # bytes that tell an item from others


def many_users(users: int, profile: Profile, items: int = ITEMS) -> dict[str, float]:
    """Reckon a number of users of so many items each.

    Args:
        users: How many.
        profile: Of LLM, encoder and plug.
        items: Of each user.

    Returns:
        `encode`, hours to encode every item once; in bytes `vectors` of all items, `ready` for all users as
        `UserStore` keeps them for attention (items with their features), `mean` for a plug of mean pooling, and
        `lora`, an adapter each; `refresh`, hours after a new plug was trained until all users are ready again,
        `train`, hours to train it, and `lora_train`, hours to train an adapter for each user.
    """
    device, encoder, llm = planned_on(profile), count(profile.encoder), count(profile.llm)
    config = PlugConfig(encoder["width"], llm["width"], 1.0, soft_tokens=profile.n_soft_tokens)
    kept = config.features_width
    texts = users * items
    return {
        "encode": 2 * encoder["encoder"] * ITEM_TOKENS[TASK] * texts / device.encoding / 3600,
        "vectors": texts * bytes_a_vector(profile),
        "ready": texts * (bytes_a_vector(profile) + 2 * kept),
        "mean": users * (items * KEY + 4 * kept),
        "refresh": 2 * encoder["width"] * kept * texts / device.encoding / 3600,
        "train": plan_task(TASK, profile, device).hours["train"],
        "lora": users * 2 * lora_parameters(profile.llm),
        "lora_train": _lora_hours(users * items, profile, device),
    }


def lora_parameters(llm: str) -> int:
    """Numbers in a LoRA of rank 8 on the queries and values of all attentions of an LLM of a known shape."""
    fields = make_config(llm).to_dict()
    if "d_kv" in fields:  # T5: of the encoder's layers one attention each, of the decoder's two
        width, inner = fields["d_model"], fields["num_heads"] * fields["d_kv"]
        value = inner
        attentions = 3 * fields["num_layers"]
    else:
        width, heads = fields["hidden_size"], fields["num_attention_heads"]
        inner, attentions = width, fields["num_hidden_layers"]
        value = width // heads * fields["num_key_value_heads"]
    return attentions * RANK * ((width + inner) + (width + value))


def _lora_hours(texts: int, profile: Profile, device: Device) -> float:
    llm = count(profile.llm)
    seen = llm.get("encoder", llm["decoder"]) * ITEM_TOKENS[TASK] + llm["decoder"] * ANSWER
    return EPOCHS * 4 * seen * texts / device.training / 3600
