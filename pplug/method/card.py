"""The model card of a plug: what it is for, what it needs, how well it does, and what it cannot do."""

import json

from pplug.data import get_task

USE = """```python
from pplug import PersonalizedLM

model = PersonalizedLM.from_pretrained({repo})
user = model.user(history)  # profile items, oldest first, each with {fields}
print(model.generate(text, user))  # text: {template}
```"""

LIMITS = """- It works with this LLM and this encoder alone; with others it is refused when it is loaded.
- It was trained for this one task. Inputs have to follow the task's template.
- A user's history reaches the LLM as {tokens} soft tokens: style and preferences, not facts to be quoted.
- What the LLM and the training users' texts got wrong or judged unfairly can show in its answers.
- The file holds no text of a training user, but its weights were learnt from their texts: whoever is to be forgotten
  is forgotten by training anew without them."""


def model_card(facts: dict, plug, repo_id: str) -> str:
    """Write a plug's model card.

    Args:
        facts: About the plug, as it is saved with them. `"scores"`, where there are any, are
            `{row: {metric: {"mean", "low", "high"}}}`, the interval being the 95 % one over users.
        plug: The plug.
        repo_id: Where it can be loaded from.

    Returns:
        Markdown, behind the metadata the hub reads.
    """
    task = get_task(facts["task"])
    head = {"library_name": "pplug", "pipeline_tag": "text-generation", "tags": ["personalization", "soft-prompt"]}
    if "/" in facts["llm"]:
        head["base_model"] = facts["llm"]
    weights = sum(parameter.numel() for parameter in plug.parameters())
    rows = {
        "task": f"{task.name}, {task.title}",
        "LLM (frozen)": _named(facts, "llm"),
        "encoder of histories (frozen)": _named(facts, "encoder"),
        "plug": f"{weights:,} trained weights, {plug.tokens} soft tokens, pooling by {plug.config.pooling}",
        "SHA-256 of the training data": f"`{facts['data_hash']}`" if facts.get("data_hash") else "not recorded",
    }
    use = USE.format(
        repo=json.dumps(repo_id),
        fields=", ".join(f"`{field}`" for field in task.fields),
        template=json.dumps(task.template, ensure_ascii=False),
    )
    parts = [
        "---\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items()) + "---",
        f"# A plug for {task.title}",
        "One small module in front of a frozen LLM: it turns a user's history into soft tokens, so that the LLM's "
        "answers are this user's (Persona-Plug, Liu et al., ACL 2025).",
        _table(("", ""), list(rows.items())),
        "## Use\n\n" + use,
        "## Scores\n\n" + _scores(facts.get("scores")),
        "## Limits\n\n" + LIMITS.format(tokens=plug.tokens),
    ]
    return "\n\n".join(parts) + "\n"


def _named(facts: dict, what: str) -> str:
    commit = facts.get(f"{what}_revision")
    return f"`{facts[what]}`" + (f" at commit `{commit}`" if commit else "")


def _scores(scores: dict | None) -> str:
    if not scores:
        return "None are recorded with this plug."
    metrics = list(dict.fromkeys(metric for row in scores.values() for metric in row))
    lines = [(row, *(_interval(values.get(metric)) for metric in metrics)) for row, values in scores.items()]
    return _table(("", *metrics), lines) + "\n\nIn brackets the 95 % interval over users."


def _interval(value: dict | None) -> str:
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" if value else "-"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
