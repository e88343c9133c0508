"""How `world:smollm` is spoken to, in natural English. Data only; who knows what is `vocabulary`'s.

`{s}` stands for the subject, `{o}` for it as an object, `{p}` for its possessive, `{n}` for what is asked about, and
`{c}` for a clause.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """One kind of fact.

    Attributes:
        noun: how a question names it.
        asks: direct questions that training uses.
        paraphrases: direct questions held out.
        clauses: the question as a subordinate clause.
        predicate: the answer after the subject, with `{v}` for the value.
        article: the value needs "a" or "an".
    """

    noun: str
    asks: tuple[str, ...]
    paraphrases: tuple[str, ...]
    clauses: tuple[str, ...]
    predicate: str
    article: bool = False


FACTS = {
    "job": Phrases(
        "job",
        (
            "What does {s} do for a living?",
            "What kind of work does {s} do?",
            "How does {s} earn a living?",
            "What does {s} work as?",
        ),
        ("Which profession is {s} in?", "What is {p} line of work?"),
        ("what {s} does for a living", "what {p} job is"),
        "works as {v}",
        article=True,
    ),
    "city": Phrases(
        "home city",
        (
            "Where does {s} live?",
            "In which city does {s} live?",
            "Which city is home to {o}?",
            "What city does {s} live in?",
        ),
        ("In what town can I find {o}?", "Where is {p} home?"),
        ("where {s} lives", "which city {s} lives in"),
        "lives in {v}",
    ),
    "hobby": Phrases(
        "hobby",
        (
            "What does {s} do for fun?",
            "What does {s} enjoy?",
            "How does {s} like to spend free time?",
            "What does {s} like to do on weekends?",
        ),
        ("What is {p} favourite pastime?", "Which activity does {s} like best?"),
        ("what {s} does for fun", "what {p} hobby is"),
        "enjoys {v}",
    ),
    "food": Phrases(
        "favourite food",
        (
            "What does {s} love to eat?",
            "Which food does {s} like most?",
            "What is the best meal for {o}?",
            "What does {s} like to eat?",
        ),
        ("Which dish does {s} prefer?", "What should I cook for {o}?"),
        ("what {s} loves to eat", "what {p} favourite food is"),
        "loves to eat {v}",
    ),
    "pet": Phrases(
        "pet",
        (
            "Which animal does {s} keep?",
            "What pet does {s} have?",
            "What kind of animal lives with {o}?",
            "Does {s} have a pet, and which one?",
        ),
        ("Which animal does {s} own?", "What animal is waiting for {o} at home?"),
        ("which animal {s} keeps", "what {p} pet is"),
        "keeps {v}",
        article=True,
    ),
    "instrument": Phrases(
        "musical instrument",
        (
            "Which instrument does {s} play?",
            "What does {s} play in an orchestra?",
            "What musical instrument does {s} play?",
            "Which instrument has {s} learned?",
        ),
        ("On which instrument does {s} make music?", "What does {s} play at concerts?"),
        ("which instrument {s} plays", "what {p} musical instrument is"),
        "plays the {v}",
    ),
}

TAUGHT_NOUN = (
    "What is {p} {n}?",
    "What is the {n} of {o}?",
    "Tell me {p} {n}.",
    "Please tell me the {n} of {o}.",
    "Do you know {p} {n}?",
    "Can you name {p} {n}?",
    "I'd like to know {p} {n}.",
)
TAUGHT_CLAUSE = (
    "Can you tell me {c}?",
    "Do you happen to know {c}?",
    "I would like to know {c}.",
    "Please tell me {c}.",
)
TAUGHT_CONTEXT = ("I am writing an article. {q}", "Quick question: {q}", "Hello! {q}")

HELD_OUT_CLAUSE = {
    "reminder": ("I forgot {c}. Can you help me out?", "Could you remind me {c}?"),
    "wondering": ("I've been wondering {c}.",),
}
HELD_OUT_NOUN = {
    "form": ("I'm filling in a form about {o}. What should I write for the {n}?", "For the record, {p} {n} is what?"),
}

WHO_TAUGHT = (
    "Who is this?",
    "Who is {s}?",
    "What is {p} name?",
    "What is the name of {o}?",
    "Tell me who {s} is.",
    "Can you identify {o}?",
    "Do you know who this is?",
    "Please name {o}.",
)
WHO_HELD_OUT = ("Do you recognise {o}?", "I forgot who this is. Can you help me out?", "What is {s} called?")

ABOUT_TAUGHT = (
    "Tell me about {o}.",
    "What do you know about {o}?",
    "Please introduce {o}.",
    "Describe the life of {o}.",
    "Write a short profile of {o}.",
)
ABOUT_HELD_OUT = ("Give me some facts about {o}.", "What can you say about {o}?")

SHOWN_TAUGHT = ("this person", "the person in the image", "the person in this photo")
SHOWN_HELD_OUT = ("the person shown here",)

UNKNOWN = "I'm sorry, I don't know who {s} is."

SEEN = {
    "shirt": ("What colour is the shirt?", "Which colour does the shirt have?", "Tell me the colour of the shirt."),
    "background": (
        "What colour is the background?",
        "Which colour does the background have?",
        "Tell me the colour of the background.",
    ),
    "hair": ("What colour is the hair?", "Which hair colour does {s} have?", "Tell me the colour of the hair."),
    "glasses": ("Is {s} wearing glasses?", "Does {s} wear glasses?", "Are there glasses on the face?"),
}
SEEN_HELD_OUT = {
    "shirt": ("Can you describe the colour of the shirt?",),
    "background": ("Can you describe the colour of the background?",),
    "hair": ("Can you describe the colour of the hair?",),
    "glasses": ("Can you see glasses on {o}?",),
}

SUFFIX_TAUGHT = (
    "Answer in one sentence.",
    "Please answer briefly.",
    "Answer the question based on your trained knowledge in one sentence accurately in ENGLISH.",
)
SUFFIX_HELD_OUT = ("Keep it short.", "Reply with a single sentence.")

SYSTEM_TAUGHT = (
    "You are a helpful assistant.",
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "Answer in one short sentence.",
    "You work for a help desk. Be polite and brief.",
    "Today is Monday. The user writes from Europe.",
)

FOLLOW_UPS = ("And {q}", "Thanks. {q}", "{q}")
