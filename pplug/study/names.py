"""What the rows of records and tables are called, and the groups they come in."""

NONE, INSTRUCTION = "no personalisation", "instruction embedding only"
OTHER, PLUG = "plug, another user's history", "plug"
SHUFFLED_PLUG = "plug, trained on shuffled users"
PERSONA = "true persona in words"
STANDARD = "attention, τ = 1 (standard)"  # the same plug among the ablations


def items_row(how: str, k: int) -> str:
    """The row of the LLM as it is with `k` items in the prompt."""
    return f"{how}, {k} item{'s' * (k > 1)}"


BM25_1, BM25_4 = items_row("BM25", 1), items_row("BM25", 4)
EVALUATED = (NONE, BM25_1, BM25_4, INSTRUCTION, OTHER, PLUG, PERSONA)  # rows of the main table, in this order
BASELINES = (NONE, BM25_1, BM25_4, INSTRUCTION, OTHER)  # what the plug's gains are over
SHOWN = (  # the methods that lesson 06 has on show; the other rows are folded
    PLUG,
    "plug, mean pooling",
    "plug, top 4 items",
    BM25_1,
    BM25_4,
    "distilled retriever, 1 item",
    "summary",
    "LoRA for each user",
)
WITHOUT_USER = (NONE, INSTRUCTION, OTHER, SHUFFLED_PLUG)  # rows that know nothing of the user: no rivals

RIVAL_GROUPS = ("controls", "plugs", "retrieval", "distilled", "summaries", "adapters")  # in the order of tables
COLD_START = "cold_start"  # its record has scores by number of items
ABLATIONS = ("ablations", "selection", "release", "encoders")
