"""Reads a persona off a simulated text, written apart from `pplug.world`'s writers so as to check them."""

from pplug.offline.lexicon import CAMPS, GENRES, STRENGTH, TELLINGS, THEMES
from pplug.offline.world import Text


def headline_style(title: str) -> set[str]:
    if title.startswith("Five things to know about "):
        return {"list"}
    if title.startswith("Breaking news: ") and title.endswith("!"):
        return {"breaking"}
    return {"question"} if title.startswith("Why did ") and title.endswith("?") else {"plain"}


def title_style(title: str) -> set[str]:
    if title.endswith("?"):
        return {"question"}
    if ": a new approach to " in title:
        return {"colon"}
    return {"towards"} if title.startswith("Towards better ") else {"on"} if title.startswith("On ") else set()


def camps(text: str) -> set[str]:
    return {camp for camp, methods in CAMPS.items() if any(method.lower() in text.lower() for method in methods)}


def citation_camp(text: Text) -> set[str]:
    cited = camps(text.slots[{"[1]": "reference1", "[2]": "reference2"}[text.output]])
    return cited & camps(text.item["title"]) & camps(text.item["abstract"])


def lens(tag: str) -> set[str]:
    kinds = {"genre": GENRES, "theme": THEMES, "telling": TELLINGS}
    return {kind for kind, tags in kinds.items() if tag in tags}


def strength(review: str) -> int:
    """How good the words say the thing is, 1 to 5."""
    said = [
        i
        for i, (words, phrases) in enumerate(STRENGTH, 1)
        for w in words
        for p in phrases
        if f"It is {w}, {p}." in review
    ]
    (found,) = said
    return found


def bias(review: str, score: str) -> set[str]:
    """More than one at the ends of the scale, where a bias cannot show."""
    told = strength(review)
    fits = {"harsh": max(1, told - 1), "fair": told, "generous": min(5, told + 1)}
    return {name for name, value in fits.items() if value == int(score)}


def register(tweet: str) -> set[str]:
    if tweet.startswith("I would like to report a ") and tweet.endswith("."):
        return {"formal"}
    if tweet.startswith("Wow, ") and tweet.endswith("!!!"):
        return {"excited"}
    if tweet.count("#") == 3:
        return {"hashtag"}
    return {"texting"} if tweet.startswith("omg ") and tweet.endswith(" lol cu l8r") else set()


def shown(task: str, text: Text) -> set[str]:
    """The trait values that fit what the text says."""
    return {
        "LaMP-1": lambda: citation_camp(text),
        "LaMP-2": lambda: lens(text.output),
        "LaMP-3": lambda: bias(text.slots["review"], text.output),
        "LaMP-4": lambda: headline_style(text.output),
        "LaMP-5": lambda: title_style(text.output),
        "LaMP-7": lambda: register(text.output),
    }[task]()
