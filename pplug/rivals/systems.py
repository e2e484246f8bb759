"""What a method's place among the others is, and the systems around PPlug that have no row here yet.

Of these it says only what is known of them here. Those with rows are in `methods`, which has the whole list.
"""

from dataclasses import dataclass

# What is personalised, in the order of the page.
NOBODY, TEXT, SOFT, BOTH = "nothing: the same for all", "input text", "soft prompt", "input text and soft prompt"
WEIGHTS, TRAINING_DATA, DECODING, CHOICE = "weights", "training data", "decoding", "choice of an answer"
PERSONALISED = (NOBODY, TEXT, SOFT, BOTH, WEIGHTS, TRAINING_DATA, DECODING, CHOICE)

# What a new user costs: the largest part of it, once all is trained that users share.
NOTHING, ENCODING, CALL, TRAINING = "nothing", "encoding her items", "an LLM call", "a training"
COSTS = (NOTHING, ENCODING, CALL, TRAINING)
NOT_KNOWN = "not known here"

ALL, USER, PERSONA, PREFERENCE, TASK = "all", "user", "persona", "preference", "task"
CONTROL, OWN = "a control", "this project"


@dataclass(frozen=True)
class Method:
    """One way to personalise, or a control, and its place among the others.

    Attributes:
        name: What it is called here.
        personalised: One of `PERSONALISED`.
        granularity: For whom: one user, all, or what users share.
        technique: How.
        stored: What is kept for each user.
        new_user: One of `COSTS`, or `NOT_KNOWN`.
        deletion: What it takes to delete a user.
        label: Its name, short, for the picture; the name itself if empty.
        system: Which system or rows of a paper it stands for, or that it is a control or this project's; the name's
            own if empty.
        arxiv: The system's paper.
        compared: Its rows in the records of `python -m pplug compare`, with its controls and variants.
        people: Its rows in the records of `python -m pplug people`, likewise.
        why: Where it has no row yet, the reason.
    """

    name: str
    personalised: str
    granularity: str
    technique: str
    stored: str
    new_user: str
    deletion: str
    label: str = ""
    system: str = ""
    arxiv: str = ""
    compared: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    why: str = ""

    @property
    def year(self) -> str:
        """Of the paper's arXiv number; empty without one."""
        return f"20{self.arxiv[:2]}" if self.arxiv else ""


SYSTEMS = (
    Method(
        name="RAP",
        arxiv="2410.13360",
        personalised=TEXT,
        granularity=USER,
        technique="retrieval of her concepts, by picture, for a multimodal LLM",
        stored="a record of each concept: picture, name, facts",
        new_user=NOTHING,
        deletion="delete her records",
        why="needs pictures and an LLM that reads them: here are only texts",
    ),
    Method(
        name="MetaAlign",
        arxiv="2410.14184",
        personalised=TEXT,
        granularity=PREFERENCE,
        technique="a preference in the prompt, of an LLM aligned for all by SFT and DPO",
        stored="the preference",
        new_user=NOTHING,
        deletion="delete her preference",
        why="not built: preferences that can be measured, and some that no training saw",
    ),
    Method(
        name="ALOE",
        arxiv="2410.03642",
        personalised=TEXT,
        granularity=PERSONA,
        technique="the conversation so far, read by an LLM aligned for all by SFT and DPO",
        stored="the conversation",
        new_user=NOTHING,
        deletion="delete her conversation",
        why="not built: a history that grows turn by turn, and DPO on pairs of replies",
    ),
    Method(
        name="PersonalLLM",
        arxiv="2409.20296",
        personalised=CHOICE,
        granularity=USER,
        technique="earlier choices, her own or similar users', as examples in the prompt",
        stored="prompts, their answers, her choices",
        new_user=NOTHING,
        deletion="delete her choices",
        why="not built: several answers to a prompt, and rewards that can be computed",
    ),
    Method(
        name="SELF-GUIDE",
        arxiv="2407.12874",
        personalised=TRAINING_DATA,
        granularity=TASK,
        technique="examples that the LLM writes from a few, filtered, to train on",
        stored="the written examples, and what was trained on them",
        new_user=TRAINING,
        deletion="delete the examples and what was trained on them",
        why="not built: items that the LLM writes for a user who has few",
    ),
    Method(
        name="PMG",
        arxiv="2404.08677",
        personalised=BOTH,
        granularity=USER,
        technique="keywords by an LLM and soft preference tokens, for an image generator",
        stored="keywords, soft tokens",
        new_user=CALL,
        deletion="delete her keywords and tokens",
        why="needs an image generator: here are only texts",
    ),
    Method(
        name="DEP",
        arxiv="2507.20849",
        personalised=SOFT,
        granularity=USER,
        technique="how she differs from peers on the same input; a sparse autoencoder, soft tokens",
        stored="vectors of her history and of the differences",
        new_user=ENCODING,
        deletion="delete her vectors, and those of peers that were compared with her",
        why="not built: peers on the same input",
    ),
    Method(
        name="E2P",
        arxiv="2505.17051",
        personalised=SOFT,
        granularity=USER,
        technique="one soft token of a vector made beforehand, which no gradient reaches",
        stored="one vector",
        new_user=NOT_KNOWN,
        deletion="delete her vector",
        why="not built",
    ),
    Method(
        name="TAP-PER",
        arxiv="2606.04547",
        personalised=SOFT,
        granularity=USER,
        technique="a prefix of the user's state, a part by the query, and time",
        stored="the user's state",
        new_user=NOT_KNOWN,
        deletion=NOT_KNOWN,
        why="not built: a prefix that knows the time",
    ),
)
