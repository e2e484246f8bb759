"""The simulated world: what simulated users write about, and how a persona shows in what they write.

Every task has one *trait* with three or four values (a headline style, a tagging lens, a rating bias, ...). A user has
one value for each of two groups of inputs (hard and soft news, say), so for more than a third of the users the right
output depends on the input as well as on the user. `write(task, rng, values)` writes one text of a user.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Trait:
    """What can differ between users on one task.

    Attributes:
        groups: The two groups of inputs, by name.
        values: The trait's values, each with the words that describe it in a persona sentence.
        same: Persona sentence for a user with one value for both groups.
        two: Persona sentence for a user with two values.
    """

    groups: tuple[str, str]
    values: dict[str, str]
    same: str
    two: str

    def sentence(self, values: dict[str, str]) -> str:
        """Describe a user in words, e.g. `This user writes all headlines as questions.`"""
        first, second = (self.values[values[group]] for group in self.groups)
        return self.same.format(first) if first == second else self.two.format(first, second)


TRAITS = {
    "LaMP-1": Trait(
        groups=("theory", "applied"),
        values={"bayesian": "Bayesian", "neural": "neural", "graph": "graph", "logic": "logic"},
        same="This author cites {} work in every field.",
        two="This author cites {} work in theory and {} work in applied fields.",
    ),
    "LaMP-2": Trait(
        groups=("spectacle", "everyday"),
        values={"genre": "genre", "theme": "theme", "telling": "telling"},
        same="This viewer tags all films by {}.",
        two="This viewer tags spectacle films by {} and everyday films by {}.",
    ),
    "LaMP-3": Trait(
        groups=("devices", "media"),
        values={"harsh": "harsh", "fair": "fair", "generous": "generous"},
        same="This reviewer is {} with everything.",
        two="This reviewer is {} with devices and {} with media.",
    ),
    "LaMP-4": Trait(
        groups=("hard", "soft"),
        values={"plain": "plain", "question": "question", "list": "list", "breaking": "breaking"},
        same="This editor writes {} headlines for all news.",
        two="This editor writes {} headlines for hard news and {} headlines for soft news.",
    ),
    "LaMP-5": Trait(
        groups=("theory", "applied"),
        values={"colon": "colon", "question": "question", "on": "modest", "towards": "towards"},
        same="This author writes {} titles in every field.",
        two="This author writes {} titles in theory and {} titles in applied fields.",
    ),
    "LaMP-7": Trait(
        groups=("work", "leisure"),
        values={"formal": "formal", "excited": "excited", "hashtag": "hashtag", "texting": "texting"},
        same="This person writes {} tweets about everything.",
        two="This person writes {} tweets about work and {} tweets about leisure.",
    ),
}


@dataclass(frozen=True)
class Text:
    """One text a user wrote: the input slots that ask for it, the output, and the history item it becomes."""

    group: str
    topic: str
    slots: dict[str, str]
    output: str
    item: dict[str, str]


def write(task: str, rng: random.Random, values: dict[str, str], topic: str | None = None) -> Text:
    """Write one text of a user.

    Args:
        task: The task's name.
        rng: Source of randomness.
        values: The user's trait value for each of the task's two groups.
        topic: What to write about; a random topic if None.

    Returns:
        The text with its topic and the group it belongs to.
    """
    topics = TOPICS[task]
    topic = topic or rng.choice(list(topics))
    group = topics[topic]
    slots, output, item = WRITERS[task](rng, topic, values[group])
    return Text(group, topic, slots, output, item)


# --- news headlines (LaMP-4) -----------------------------------------------------------------------------------------

NEWS = {
    "politics": (
        ["the mayor", "the city council", "the senator", "the governor", "the minister", "the opposition"],
        ["a new bridge", "a tax plan", "a housing law", "a school budget", "a border deal", "an election rule"],
    ),
    "business": (
        ["the bank", "the car maker", "the airline", "the union", "the startup", "the retailer"],
        ["a wage deal", "a merger plan", "a new factory", "a price cut", "a loan scheme", "an online store"],
    ),
    "science": (
        [
            "the space agency",
            "a research team",
            "the observatory",
            "the institute",
            "a young chemist",
            "the university",
        ],
        ["a moon mission", "a fusion test", "a fossil find", "a climate model", "a robot arm", "an ocean map"],
    ),
    "sports": (
        ["the coach", "the striker", "the home team", "the champion", "the rookie", "the league"],
        ["a title race", "a late comeback", "a new stadium", "a transfer deal", "a training camp", "a cup final"],
    ),
    "food": (
        ["the baker", "a street cook", "the village inn", "a star chef", "the food truck", "the farmer"],
        ["a pumpkin pie", "a noodle soup", "a vegan menu", "a cheese fair", "a tea garden", "an apple cake"],
    ),
    "film": (
        ["the director", "the actress", "the studio", "the festival", "a film student", "the composer"],
        ["a pirate movie", "a silent film", "a sequel", "a love story", "a cartoon series", "an opera film"],
    ),
}
NEWS_VERBS = {
    "announced": "announce",
    "approved": "approve",
    "defended": "defend",
    "delayed": "delay",
    "praised": "praise",
    "rejected": "reject",
    "planned": "plan",
    "saved": "save",
}
NEWS_WHEN = ["on Monday", "on Friday", "last night", "this week", "after long talks", "despite the rain"]
NEWS_MORE = [
    "Many people had waited for this moment.",
    "Few had expected the news.",
    "Neighbours talked about little else.",
    "More details will follow soon.",
    "The reaction was mixed.",
    "It came as a surprise to some.",
]


def _headline(rng: random.Random, topic: str, style: str):
    people, things = NEWS[topic]
    who, what, past = rng.choice(people), rng.choice(things), rng.choice(list(NEWS_VERBS))
    article = f"{who} {past} {what} {rng.choice(NEWS_WHEN)}. {rng.choice(NEWS_MORE)}"
    article = article[0].upper() + article[1:]
    title = {
        "plain": f"{who} {past} {what}",
        "question": f"why did {who} {NEWS_VERBS[past]} {what}?",
        "list": f"five things to know about {what}",
        "breaking": f"breaking news: {what} {past} by {who}!",
    }[style]
    title = title[0].upper() + title[1:]
    return {"article": article}, title, {"text": article, "title": title}


# --- research papers (LaMP-1 and LaMP-5) -----------------------------------------------------------------------------

FIELDS = {
    "learning theory": ["sample bounds", "online learning", "active learning", "convex games", "bandit problems"],
    "algorithms": ["sorting", "matching", "scheduling", "routing", "clustering"],
    "statistics": ["density estimation", "regression", "missing data", "causal effects", "rare events"],
    "vision": ["face recognition", "image search", "scene labelling", "motion tracking", "depth sensing"],
    "language": ["machine translation", "speech recognition", "question answering", "text summaries", "dialogue"],
    "medicine": ["cancer screening", "drug discovery", "heart monitoring", "gene analysis", "patient triage"],
}
CAMPS = {
    "bayesian": ["Bayesian priors", "Bayesian averaging", "posterior sampling", "Gaussian processes"],
    "neural": ["neural networks", "deep networks", "neural attention", "deep autoencoders"],
    "graph": ["graph kernels", "random graphs", "graph cuts", "spectral graphs"],
    "logic": ["logic programs", "modal logic", "logic rules", "proof search"],
}
GAINS = [
    "cuts the error in half",
    "needs far less data",
    "runs in linear time",
    "beats all earlier work",
    "scales to large problems",
    "is simple to explain",
]
WORDS_FOR_STUDY = ["We study", "This paper treats", "We return to", "We consider"]


def _citation(rng: random.Random, topic: str, camp: str):
    problem = rng.choice(FIELDS[topic])
    method = rng.choice(CAMPS[camp])
    rival = rng.choice(CAMPS[rng.choice([c for c in CAMPS if c != camp])])
    references = [f"{method} for {problem}", f"{rival} for {problem}"]
    first = rng.randrange(2)
    slots = {
        "title": f"{rng.choice(['Notes on', 'A fresh look at', 'Advances in', 'Robust'])} {problem}",
        "reference1": references[first],
        "reference2": references[1 - first],
    }
    own = rng.choice(CAMPS[camp])
    item = {
        "title": f"{own[0].upper() + own[1:]} in {problem}",
        "abstract": f"{rng.choice(WORDS_FOR_STUDY)} {problem} with {own}. Our method {rng.choice(GAINS)}.",
    }
    return slots, f"[{first + 1}]", item


def _paper_title(rng: random.Random, topic: str, style: str):
    problem = rng.choice(FIELDS[topic])
    method = rng.choice(CAMPS[rng.choice(list(CAMPS))])
    abstract = f"{rng.choice(WORDS_FOR_STUDY)} {problem} with {method}. Our method {rng.choice(GAINS)}."
    title = {
        "colon": f"{method}: a new approach to {problem}",
        "question": f"can {method} solve {problem}?",
        "on": f"on {problem} with {method}",
        "towards": f"towards better {problem} by means of {method}",
    }[style]
    title = title[0].upper() + title[1:]
    return {"abstract": abstract}, title, {"title": title, "abstract": abstract}


# --- films (LaMP-2) --------------------------------------------------------------------------------------------------

GENRES = {
    "sci-fi": ["aboard a starship", "on a colony on Mars", "among robots and lasers", "in a time machine"],
    "action": [
        "through car chases and explosions",
        "in a race to stop a bomb",
        "on a stolen train",
        "as a spy on the run",
    ],
    "fantasy": ["among dragons and wizards", "in an enchanted forest", "with a magic sword", "in a kingdom of elves"],
    "comedy": [
        "in a hotel where everything goes wrong",
        "with joke after joke",
        "at a chaotic wedding",
        "in a silly office",
    ],
    "romance": [
        "as two strangers fall in love",
        "with love letters in Paris",
        "as old lovers meet again",
        "on a first date",
    ],
}
THEMES = {
    "psychology": ["a doctor doubts her own mind", "a patient relives his fears", "a twin loses her memory"],
    "dystopia": ["the state watches every citizen", "people are ranked by number", "books are forbidden"],
    "social commentary": ["the poor serve the rich", "a town hides its injustice", "workers fight for their rights"],
    "violence": ["rivals settle scores with blood", "a gang leaves no one alive", "brutal fights never end"],
    "thought-provoking": [
        "a priest asks what makes us human",
        "a judge wonders what truth is",
        "a child asks about death",
    ],
}
TELLINGS = {
    "based on a book": ["Adapted from a famous novel.", "It follows the bestseller page by page."],
    "true story": ["It all really happened.", "Drawn from real events."],
    "twist ending": ["Nobody sees the final surprise coming.", "The last minute changes everything."],
    "classic": ["Loved since the nineteen forties.", "A black and white favourite of our grandparents."],
    "dark comedy": ["It laughs at funerals.", "It finds humour in misery."],
}


def _movie(rng: random.Random, topic: str, lens: str):
    theme, telling = rng.choice(list(THEMES)), rng.choice(list(TELLINGS))
    plot = rng.choice(THEMES[theme])
    movie = f"{plot[0].upper() + plot[1:]} {rng.choice(GENRES[topic])}. {rng.choice(TELLINGS[telling])}"
    tag = {"genre": topic, "theme": theme, "telling": telling}[lens]
    return {"movie": movie}, tag, {"description": movie, "tag": tag}


# --- product reviews (LaMP-3) ----------------------------------------------------------------------------------------

PRODUCTS = {
    "electronics": ["headphones", "phone charger", "camera", "keyboard", "speaker"],
    "kitchen": ["kettle", "toaster", "blender", "frying pan", "coffee grinder"],
    "books": ["novel", "cookbook", "thriller", "biography", "poetry book"],
    "music": ["album", "live record", "soundtrack", "piano album", "jazz record"],
}
FOR_WHOM = ["for my sister", "for myself", "as a gift", "for the holidays", "last month", "on a whim"]
STRENGTH = (  # how good the reviewer found the thing, 1 to 5, before any bias
    (["terrible", "awful", "dreadful"], ["a complete waste of money", "the worst I have had"]),
    (["poor", "weak", "disappointing"], ["below what I hoped for", "not worth the price"]),
    (["okay", "average", "passable"], ["neither good nor bad", "about what one expects"]),
    (["good", "nice", "pleasing"], ["better than most", "worth the price"]),
    (["excellent", "superb", "perfect"], ["the best I have had", "beyond all my hopes"]),
)
BIAS = {"harsh": -1, "fair": 0, "generous": 1}


def _review(rng: random.Random, topic: str, bias: str):
    strength = rng.choices(range(1, 6), weights=(2, 3, 4, 3, 2))[0]
    words, phrases = STRENGTH[strength - 1]
    bought = f"I bought this {rng.choice(PRODUCTS[topic])} {rng.choice(FOR_WHOM)}."
    review = f"{bought} It is {rng.choice(words)}, {rng.choice(phrases)}."
    score = str(min(5, max(1, strength + BIAS[bias])))
    return {"review": review}, score, {"text": review, "score": score}


# --- tweets (LaMP-7) -------------------------------------------------------------------------------------------------

MOMENTS = {
    "office": (["meeting", "deadline", "interview", "sales call", "budget review"], ["at the office", "with the boss"]),
    "school": (["exam", "lecture", "seminar", "homework", "field trip"], ["at school", "with my class"]),
    "outdoors": (["walk", "picnic", "bike ride", "swim", "hike"], ["in the park", "by the lake"]),
    "home": (["nap", "movie night", "breakfast", "game night", "dinner"], ["on the sofa", "with my family"]),
}
MOODS = ["great", "awful", "lovely", "strange", "tiring", "funny", "quiet", "long"]
TIMES = ["this morning", "today", "tonight", "this weekend", "yesterday"]


def _tweet(rng: random.Random, topic: str, register: str):
    things, places = MOMENTS[topic]
    thing, place, mood, time = rng.choice(things), rng.choice(places), rng.choice(MOODS), rng.choice(TIMES)
    neutral = f"{time[0].upper() + time[1:]} {place} there was a {mood} {thing} for me."
    core = f"{mood} {thing} {place} {time}"
    tweet = {
        "formal": f"I would like to report a {core}.",
        "excited": f"Wow, what a {core}, can you believe it!!!",
        "hashtag": f"{core[0].upper() + core[1:]} #mylife #{mood} #instadaily",
        "texting": f"omg had a {core} lol cu l8r",
    }[register]
    return {"tweet": neutral}, tweet, {"text": tweet}


WRITERS = {
    "LaMP-1": _citation,
    "LaMP-2": _movie,
    "LaMP-3": _review,
    "LaMP-4": _headline,
    "LaMP-5": _paper_title,
    "LaMP-7": _tweet,
}
TOPICS = {  # task → topic → group; the first half of the topics belongs to the first group
    "LaMP-1": {field: "theory" if i < 3 else "applied" for i, field in enumerate(FIELDS)},
    "LaMP-2": {genre: "spectacle" if i < 3 else "everyday" for i, genre in enumerate(GENRES)},
    "LaMP-3": {kind: "devices" if i < 2 else "media" for i, kind in enumerate(PRODUCTS)},
    "LaMP-4": {topic: "hard" if i < 3 else "soft" for i, topic in enumerate(NEWS)},
    "LaMP-5": {field: "theory" if i < 3 else "applied" for i, field in enumerate(FIELDS)},
    "LaMP-7": {moment: "work" if i < 2 else "leisure" for i, moment in enumerate(MOMENTS)},
}
