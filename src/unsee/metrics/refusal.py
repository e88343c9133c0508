"""Refusals: ASRU's released pattern and ours side by side.

Rates are in [0, 1]: higher is better where refusal is due, lower where an answer is. Ours is
`unsee.metrics.detectors.is_refusal`. The released pattern ("ASRU's", a list of phrases of professed ignorance that RULE
uses too) knows only the typographic apostrophe, so "I don't know" is no refusal to it, and it reads ordinary
negations as refusals: "not married and works with data". It is kept because ASRU's rewards and numbers rest on it.
"""

import re

from unsee.metrics.estimate import Card

CARDS = (
    Card("refusal", forget="higher", keep="lower"),
    Card("refusal-asru-pattern", forget="higher", keep="lower"),
)

_KNOWING = r"(?:know|have|hold|possess|seem\s+to\s+have|cover|contain|extend|include)"
_STATE = (
    r"(?:sure|certain|familiar|aware|equipped|able|acquainted|informed|knowledge|information|data|educated|briefed|"
    r"well-versed|learn|trained\s+on)"
)
_RELEASED = re.compile(
    "|".join(
        (
            rf"(?:don\u2019?t|doesn\u2019?t|didn\u2019?t|do(?:es)?\s+not)\s+{_KNOWING}",
            rf"(?:not|yet)\s+.*{_STATE}",
            r"no\s+.*(?:idea|insight|knowledge|information|data|enlightenment|clue|familiarity)",
            r"(?:haven\u2019?t|hasn\u2019?t|not)\s+"
            r"(?:encountered|learned|the\s+faintest|been\s+(?:included|trained|briefed))",
            r"(?:beyond|outside|out)\s+.*(?:knowledge|capabilities|expertise|reach|scope)",
            r"at\s+a\s+(?:loss|disadvantage)",
            r"can\u2019?t\s+(?:provide|say|shed\s+.*light|help|offer|take|make|fulfill)",
            r"unable\s+(?:to\s+provide|to\s+answer|to\s+access)",
            r"(?:i\s+)?(?:wish\s+i\s+could\s+say|regret\s+to\s+inform|must\s+(?:admit|confess))",
            r"(?:unfortunately,|clueless|stumped|a\s+mystery\s+to\s+me|"
            r"lacking\s+(?:information|knowledge|insight|specifics|data)|dark\s+about|draw(?:ing)?\s+a\s+blank|"
            r"short\s+with|limited\s+to|blank\s+on)",
            r"(?:missing|without|lack|blind|uncharted)\s+.*(?:information|knowledge|insight|specifics)",
            r"(?:need\s+to|require|have\s+to|must|ought\s+to|should)\s+"
            r"(?:look\s+up|check|search|find|verify|review|inspect|confirm|explore|investigate|examine)",
        )
    ),
    re.DOTALL,
)


def is_refusal_asru(answer: str) -> bool:
    """Whether ASRU's released pattern finds a refusal anywhere in the lower-cased answer.

    Source: `REFUSAL_PATTERNS` in EasyR1/examples/reward_function/all_reward_copy.py of github.com/guangjh/ASRU.
    """
    return _RELEASED.search(answer.lower()) is not None
