"""LaMP's six tasks, each said as `task.json` says one; `tasks.TASKS` makes a `Task` of each.

LaMP-6 needs the licensed Avocado corpus and is left out, as in the paper.
"""

MOVIE_TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)

LAMP = (
    {
        "name": "LaMP-1",
        "title": "citation identification",
        "template": (
            'For an author who has written the paper with the title "{title}", which reference is related? '
            'Just answer with [1] or [2] without explanation. [1]: "{reference1}" [2]: "{reference2}"'
        ),
        "query_slot": "title",
        "fields": ("title", "abstract"),
        "history": "{title} {abstract}",
        "labelled_history": "{title} {abstract}",
        "prompt_item": 'the author wrote "{title}"',
        "lamp_item": '"{title}"',
        "labels": ("[1]", "[2]"),
        "metrics": ("accuracy",),
        "items_inside": True,
    },
    {
        "name": "LaMP-2",
        "title": "movie tagging",
        "template": (
            "Which tag does this movie relate to among the following tags? Just answer with the tag name "
            f"without further explanation. tags: [{', '.join(MOVIE_TAGS)}] description: {{movie}}"
        ),
        "query_slot": "movie",
        "fields": ("description", "tag"),
        "history": "{description}",
        "labelled_history": "{tag}: {description}",
        "prompt_item": 'the tag for "{description}" is "{tag}"',
        "lamp_item": 'the tag for the movie: "{description}" is "{tag}"',
        "held_out": ("description", "tag"),
        "labels": MOVIE_TAGS,
        "metrics": ("accuracy", "f1"),
    },
    {
        "name": "LaMP-3",
        "title": "product rating",
        "template": (
            "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 "
            "without further explanation. review: {review}"
        ),
        "query_slot": "review",
        "fields": ("text", "score"),
        "history": "{text}",
        "labelled_history": "score {score}, {score} stars, {score}/5: {text}",
        "prompt_item": 'the score for "{text}" is {score}',
        "lamp_item": '{score} is the score for "{text}"',
        "held_out": ("text", "score"),
        "labels": ("1", "2", "3", "4", "5"),
        "metrics": ("mae", "rmse"),
        "epochs": 1,  # the paper's: it has the most train questions
    },
    {
        "name": "LaMP-4",
        "title": "news headline",
        "template": "Generate a headline for the following article: {article}",
        "query_slot": "article",
        "fields": ("text", "title"),
        "history": "{text} {title}",
        "labelled_history": "{text} {title}",
        "prompt_item": 'the headline for "{text}" is "{title}"',
        "lamp_item": '"{title}" is the title for "{text}"',
        "held_out": ("text", "title"),
    },
    {
        "name": "LaMP-5",
        "title": "scholarly title",
        "template": "Generate a title for the following abstract of a paper: {abstract}",
        "query_slot": "abstract",
        "fields": ("title", "abstract"),
        "history": "{title} {abstract}",
        "labelled_history": "{title} {abstract}",
        "prompt_item": 'the title for "{abstract}" is "{title}"',
        "lamp_item": '"{title}" is the title for "{abstract}"',
        "lamp_end": ". Following the given patterns ",
        "held_out": ("abstract", "title"),
    },
    {
        "name": "LaMP-7",
        "title": "tweet paraphrasing",
        "template": "Paraphrase the following tweet without any explanation before or after it: {tweet}",
        "query_slot": "tweet",
        "fields": ("text",),
        "history": "{text}",
        "labelled_history": "{text}",
        "prompt_item": 'the user wrote "{text}"',
        "lamp_item": '"{text}"',
        "lamp_end": " are written by a person. Following the given patterns ",
    },
)
