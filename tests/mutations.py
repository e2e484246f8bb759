"""Files and values as an accident or an enemy leaves them: cut, of the wrong type, huge, deep, not finite, steered."""

import json
import random

MB_10 = "x" * 10_000_000
DEEP = "[" * 100_000 + "]" * 100_000
TEXTS = (
    "",
    " ",
    "x" * 300,
    "\0",
    "\x1b[2J\r\n",
    "\ud800",
    "\ufeff",
    "\u202e",
    "1e400",
    "-1",
    "9" * 10_000,
    "../../x",
    "/etc/x",
    "a/b",
    "CON",
    "NaN",
    "{title}",
    "%s",
)
NUMBERS = (0, -1, 2**31, 10**30, 10**400, 1e30, -1e308, float("nan"), float("inf"), 0.1)
VALUES = (None, True, False, [], {}, [None], {"": None}, [[[[]]]], *NUMBERS, *TEXTS)
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff")
CODES = ("utf-16", "utf-32", "utf-16-le", "utf-8-sig", "latin-1", "cp037")
BYTES = (b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\r", b'"', b",", b"{", b"]", b"\\", b"NaN", b"-", b"9" * 5000)


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Damage a file's bytes in one to three ways."""
    for _ in range(rng.randint(1, 3)):
        content = _damage_once(rng, content)
    return content


def _damage_once(rng: random.Random, content: bytes) -> bytes:
    at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    before, middle, after = content[:at], content[at:end], content[end:]
    ways = (
        before,
        middle + after,
        before + after,
        before + middle * 2 + after,
        before + rng.choice(BYTES) + middle + after,
        before + rng.randbytes(min(8, len(middle))) + middle[8:] + after,
        before + bytes(byte ^ (1 << rng.randrange(8)) for byte in middle[:1]) + middle[1:] + after,
        rng.choice(MARKS) + content,
        content.decode("utf-8", "replace").encode(rng.choice(CODES), "replace"),
    )
    return rng.choice(ways)


def mutate_json(rng: random.Random, value):
    """Change one place of a JSON value, drawn from all depths: another value, a missing, new or doubled entry."""
    if not isinstance(value, list | dict) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    changed = list(value) if isinstance(value, list) else dict(value)
    at = rng.randrange(len(value)) if isinstance(value, list) else rng.choice(list(value))
    how = rng.random()
    if how < 0.7:
        changed[at] = mutate_json(rng, value[at])
    elif how < 0.8:
        del changed[at]
    elif isinstance(value, list):
        changed.insert(at, rng.choice((value[at], rng.choice(VALUES))))
    else:
        changed[rng.choice(TEXTS)] = rng.choice(VALUES)
    return changed


def damage(rng: random.Random, content: bytes, is_json: bool = True) -> bytes:
    """A damaged file: half of the JSON ones are still JSON, of wrong values."""
    if not is_json or rng.random() < 0.5:
        return mutate_bytes(rng, content)
    value = json.loads(content)
    for _ in range(rng.randint(1, 2)):
        value = mutate_json(rng, value)
    return json.dumps(value).encode()
