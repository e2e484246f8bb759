"""What can differ between simulated users: one *trait* a task, with three or four values, and how to say it in words.

A user has one value for each of two groups of inputs (hard and soft news, say); for half of the users the two differ,
so that the right output depends on the input as well as on the user.
"""

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
