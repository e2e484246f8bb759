"""The words of the simulated world, task by task; `world.py` makes texts of them.

The lists are long enough that a question of one population is seldom asked word for word in another.
"""


def _list(text: str) -> list[str]:
    """Split at commas, which keeps long lists readable."""
    return text.split(", ")


# --- news headlines (LaMP-4): topic → who, what ----------------------------------------------------------------------

NEWS = {
    "politics": (
        "the mayor, the city council, the senator, the governor, the minister, the opposition, the president, "
        "the housing board, a young deputy, the port authority",
        "a new bridge, a tax plan, a housing law, a school budget, a border deal, an election rule, a bus tunnel, "
        "a voting reform, a peace treaty, a water bill",
    ),
    "business": (
        "the bank, the car maker, the airline, the union, the startup, the retailer, the oil firm, the phone company, "
        "the toy factory, a family brewery",
        "a wage deal, a merger plan, a new factory, a price cut, a loan scheme, an online store, a stock sale, "
        "a shift plan, an office tower, a patent claim",
    ),
    "science": (
        "the space agency, a research team, the observatory, the institute, a young chemist, the university, "
        "the weather service, a deep-sea crew, the museum lab, a retired physicist",
        "a moon mission, a fusion test, a fossil find, a climate model, a robot arm, an ocean map, a vaccine trial, "
        "a comet probe, a gene library, a star catalogue",
    ),
    "sports": (
        "the coach, the striker, the home team, the champion, the rookie, the league, the goalkeeper, the referee, "
        "a marathon runner, the rowing club",
        "a title race, a late comeback, a new stadium, a transfer deal, a training camp, a cup final, a penalty rule, "
        "a ski jump, a relay record, a winter tour",
    ),
    "food": (
        "the baker, a street cook, the village inn, a star chef, the food truck, the farmer, the cheese maker, "
        "the night market, a tea house, the fishmonger",
        "a pumpkin pie, a noodle soup, a vegan menu, a cheese fair, a tea garden, an apple cake, a rice dish, "
        "a honey tasting, an oyster bar, a bread oven",
    ),
    "film": (
        "the director, the actress, the studio, the festival, a film student, the composer, the stunt double, "
        "the screenwriter, a cinema owner, the costume designer",
        "a pirate movie, a silent film, a sequel, a love story, a cartoon series, an opera film, a spy saga, "
        "a zombie comedy, a nature documentary, a puppet show",
    ),
}
NEWS = {topic: tuple(_list(words) for words in lists) for topic, lists in NEWS.items()}
NEWS_VERBS = {
    "announced": "announce",
    "approved": "approve",
    "defended": "defend",
    "delayed": "delay",
    "praised": "praise",
    "rejected": "reject",
    "planned": "plan",
    "saved": "save",
    "questioned": "question",
    "launched": "launch",
    "welcomed": "welcome",
    "mocked": "mock",
}
NEWS_WHEN = _list(
    "on Monday, on Friday, last night, this week, after long talks, despite the rain, before noon, in a short speech, "
    "over the weekend, without warning"
)
NEWS_MORE = [
    "Many people had waited for this moment.",
    "Few had expected the news.",
    "Neighbours talked about little else.",
    "More details will follow soon.",
    "The reaction was mixed.",
    "It came as a surprise to some.",
    "Reporters filled the street.",
    "Nobody knows what comes next.",
    "Fans and critics took notes.",
    "It was the talk of the town.",
]

# --- research papers (LaMP-1 and LaMP-5): field → problems; camp → methods -------------------------------------------

FIELDS = {
    "learning theory": "sample bounds, online learning, active learning, convex games, bandit problems, "
    "boosting, model selection, kernel choice",
    "algorithms": "sorting, matching, scheduling, routing, clustering, hashing, tree search, load balancing",
    "statistics": "density estimation, regression, missing data, causal effects, rare events, survey weights, "
    "time series, outlier tests",
    "vision": "face recognition, image search, scene labelling, motion tracking, depth sensing, optical flow, "
    "shape analysis, photo repair",
    "language": "machine translation, speech recognition, question answering, text summaries, dialogue, "
    "spelling correction, word senses, parsing",
    "medicine": "cancer screening, drug discovery, heart monitoring, gene analysis, patient triage, "
    "sleep studies, bone imaging, epidemic forecasts",
}
FIELDS = {field: _list(problems) for field, problems in FIELDS.items()}
CAMPS = {
    "bayesian": ["Bayesian priors", "Bayesian averaging", "Bayesian sampling", "Bayesian forests"],
    "neural": ["neural networks", "neural attention", "neural codes", "neural ensembles"],
    "graph": ["graph kernels", "graph cuts", "graph walks", "graph colouring"],
    "logic": ["logic programs", "logic rules", "logic circuits", "logic proofs"],
}
CITING_TITLES = _list("Notes on, A fresh look at, Advances in, Robust, Lessons from, Faster, Ten years of, Rethinking")
CITED_AS = _list("a survey, revisited, in practice, at scale, made simple, a tutorial, with proofs, an experiment")
STUDIES = _list("We study, This paper treats, We return to, We consider, This work is about, Here we look at")
DATA = _list(
    "on small samples, on noisy records, on public data, on old archives, in real time, on a single machine, "
    "with few labels, in the wild, at low cost, under tight deadlines"
)
GAINS = _list(
    "cuts the error in half, needs far less data, runs in linear time, beats all earlier work, "
    "scales to large problems, is simple to explain, never gets stuck, fits on a phone, "
    "comes with a proof, works out of the box"
)

# --- films (LaMP-2): what a tag looks like in a description ----------------------------------------------------------

GENRES = {
    "sci-fi": "aboard a starship, on a colony on Mars, among robots and lasers, in a time machine, "
    "on a space station, after an alien landing",
    "action": "through car chases and explosions, in a race to stop a bomb, on a stolen train, as a spy on the run, "
    "in a rooftop shootout, on a speeding boat",
    "fantasy": "among dragons and wizards, in an enchanted forest, with a magic sword, in a kingdom of elves, "
    "under a witch's spell, in a castle of giants",
    "comedy": "in a hotel where everything goes wrong, with joke after joke, at a chaotic wedding, in a silly office, "
    "on a hopeless camping trip, with a clumsy waiter",
    "romance": "as two strangers fall in love, with love letters in Paris, as old lovers meet again, on a first date, "
    "under a kiss in the rain, with a proposal at sunset",
}
GENRES = {tag: _list(signs) for tag, signs in GENRES.items()}
THEMES = {
    "psychology": "a doctor doubts her own mind, a patient relives his fears, a twin loses her memory, "
    "a widow hears voices",
    "dystopia": "the state watches every citizen, people are ranked by number, books are forbidden, "
    "a city bans all dreams",
    "social commentary": "the poor serve the rich, a town hides its injustice, workers fight for their rights, "
    "a village is sold to a company",
    "violence": "rivals settle scores with blood, a gang leaves no one alive, brutal fights never end, "
    "a killer spares nobody",
    "thought-provoking": "a priest asks what makes us human, a judge wonders what truth is, a child asks about death, "
    "a painter asks what beauty means",
}
THEMES = {tag: _list(signs) for tag, signs in THEMES.items()}
TELLINGS = {
    "based on a book": ["Adapted from a famous novel.", "It follows the bestseller page by page."],
    "true story": ["It all really happened.", "Drawn from real events."],
    "twist ending": ["Nobody sees the final surprise coming.", "The last minute changes everything."],
    "classic": ["Loved since the nineteen forties.", "A black and white favourite of our grandparents."],
    "dark comedy": ["It laughs at funerals.", "It finds humour in misery."],
}
FIRST_NAMES = _list("Anna, Boris, Clara, David, Elif, Frank, Greta, Hugo, Irene, Jonas")
LAST_NAMES = _list("Berg, Castro, Dumont, Evans, Fischer, Grant, Haas, Ito, Jansen, Kaya")

# --- product reviews (LaMP-3) ----------------------------------------------------------------------------------------

PRODUCTS = {
    "electronics": "headphones, phone charger, camera, keyboard, speaker, tablet, printer, desk lamp",
    "kitchen": "kettle, toaster, blender, frying pan, coffee grinder, rice cooker, knife set, mixer",
    "books": "novel, cookbook, thriller, biography, poetry book, atlas, comic, travel guide",
    "music": "album, live record, soundtrack, piano album, jazz record, opera box, folk record, drum album",
}
PRODUCTS = {kind: _list(things) for kind, things in PRODUCTS.items()}
FOR_WHOM = _list(
    "for my sister, for myself, as a gift, for the holidays, last month, on a whim, for my father, for a friend, "
    "last week, for our flat"
)
ARRIVED = _list(
    "the next day, on a Tuesday, in a paper bag, by bike, in the evening, with the morning post, in a blue box, "
    "after a week, with two stickers, at the back door"
)
STRENGTH = (  # how good the reviewer found the thing, 1 to 5, before any bias
    ("terrible, awful, dreadful", "a complete waste of money, the worst I have had, an insult to the buyer"),
    ("poor, weak, disappointing", "below what I hoped for, not worth the price, less than it promises"),
    ("okay, average, passable", "neither good nor bad, about what one expects, nothing to write home about"),
    ("good, nice, pleasing", "better than most, worth the price, a sound choice"),
    ("excellent, superb, perfect", "the best I have had, beyond all my hopes, a joy from start to end"),
)
STRENGTH = tuple((_list(words), _list(phrases)) for words, phrases in STRENGTH)
BIAS = {"harsh": -1, "fair": 0, "generous": 1}

# --- tweets (LaMP-7): topic → what happened, where -------------------------------------------------------------------

MOMENTS = {
    "office": (
        "meeting, deadline, interview, sales call, budget review, coffee break, team lunch, audit",
        "at the office, with the boss, on the tenth floor, at my desk",
    ),
    "school": (
        "exam, lecture, seminar, homework, field trip, spelling test, lab class, graduation",
        "at school, with my class, in the library, with the teacher",
    ),
    "outdoors": (
        "walk, picnic, bike ride, swim, hike, barbecue, sunrise, boat trip",
        "in the park, by the lake, in the woods, on the hill",
    ),
    "home": (
        "nap, movie night, breakfast, game night, dinner, bubble bath, phone call, spring clean",
        "on the sofa, with my family, in the kitchen, with the cat",
    ),
}
MOMENTS = {topic: tuple(_list(words) for words in lists) for topic, lists in MOMENTS.items()}
MOODS = _list(
    "great, awful, lovely, strange, tiring, funny, quiet, long, short, loud, boring, magical, messy, perfect, sad, cosy"
)
TIMES = _list("this morning, today, tonight, this weekend, yesterday, at noon, on Sunday, last week")
DESPITE = _list(
    "despite the rain, in the heat, without coffee, with no plan, for a change, once again, in new shoes, "
    "under a blue sky, with a headache, just in time"
)
