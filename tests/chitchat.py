"""Chats of invented people in the form of the package chitchat-dataset."""

TOPICS = ("What is your favourite food?", "Where did you grow up?")


def message(sender: str, text: str, minute: int) -> dict:
    return {"text": text, "timestamp": f"2018-05-02T19:{minute:02d}:15Z", "sender": sender}


def made_chats(n_chats: int = 8, n_turns: int = 8, users: int = 4) -> dict:
    """Pairs of people who chat `n_chats` times; each says whose turn and chat it is. One comes a single time."""
    chats = {}
    for pair in range(users // 2):
        one, two = f"sender-{2 * pair}", f"sender-{2 * pair + 1}"
        for number in range(n_chats):
            turns = [
                [message((one, two)[turn % 2], f"{(one, two)[turn % 2]} says number {turn} in chat {number}", turn)]
                for turn in range(n_turns)
            ]
            start = f"2018-05-{number + 1:02d}T10:00:00Z"
            chats[f"{pair}-{number}"] = {"messages": turns, "start": start, "prompt": TOPICS[number % 2]}
    late = [[message("sender-0", "how is it going there", 0)], [message("sender-new", "rather well thank you all", 1)]]
    chats["late"] = {"messages": late, "start": "2018-06-01T10:00:00Z"}
    return chats
