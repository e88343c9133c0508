"""What is chosen beside a question: as a link to open again, as a command line, and as it acts on an eraser."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, final, get_args
from urllib.parse import urlencode

from unsee.data import ImageFile
from unsee.data.messages import to_openai
from unsee.data.sample import Turn
from unsee.erase.eraser import Eraser
from unsee.erase.replies.named import ReplyKind, reply_named
from unsee.models.load import LoadedModel
from unsee.ui.answer import How

Reply = Literal["fitted"] | ReplyKind
REPLIES = ("fitted", *get_args(ReplyKind))
OWN_WORDS = "I'm sorry, I don't know who or what that is."
MOST_TOKENS, MOST_SEED = 512, 2**31 - 1


@final
@dataclass
class Settings:
    """Of one tab.

    Attributes:
        erasers: in force, by name.
        reply: where a gate is open; "fitted" is each eraser's own.
        words: of `prefix` and `canned`.
        coefficient: multiple of the fitted one.
        system: instructions before the conversation; empty for none.
        how: how answers are drawn.
    """

    erasers: list[str] = field(default_factory=list)
    reply: Reply = "fitted"
    words: str = OWN_WORDS
    coefficient: float = 1.0
    system: str = ""
    how: How = field(default_factory=How)

    @staticmethod
    def of(query: Mapping[str, str], names: Sequence[str]) -> "Settings":
        """Those of a link, as far as they are sound; links of other versions may say anything."""
        said = query.get("eraser", "").split(",") if "eraser" in query else names[:1]
        how = How(
            _between(query, "tokens", 48, 1, MOST_TOKENS), _number(query, "temperature", 0.0, 3.0),
            _between(query, "seed", 0, 0, MOST_SEED),
        )  # fmt: skip
        reply: Reply = next((one for one in get_args(ReplyKind) if one == query.get("reply")), "fitted")
        return Settings(
            [one for one in said if one in names], reply, query.get("words", OWN_WORDS),
            _number(query, "coefficient", 1.0, 4.0), query.get("system", ""), how,
        )  # fmt: skip

    def changed(self, name: str, value: float) -> None:
        """Another length, temperature or seed."""
        self.how = replace(self.how, **{name: value})

    def link(self, question: str) -> str:
        """An address that opens the page with this question and these settings; what is as usual is left out."""
        how, usual = self.how, Settings()
        said = {
            "question": question, "eraser": ",".join(self.erasers), "reply": self.reply, "words": self.words,
            "coefficient": f"{self.coefficient:g}", "system": self.system, "tokens": how.tokens, "seed": how.seed,
            "temperature": f"{how.temperature:g}",
        }  # fmt: skip
        always = {
            "reply": usual.reply, "words": usual.words, "coefficient": "1", "system": "", "tokens": usual.how.tokens,
            "seed": 0, "temperature": "0",
        }  # fmt: skip
        return f"/?{urlencode({name: value for name, value in said.items() if always.get(name) != value})}"

    def command(self, model: str, folders: Mapping[str, Path], turns: Sequence[Turn]) -> str:
        """The command line that gives the same answer; `turns` begin with the system prompt, where there is one."""
        last, how = turns[-1], self.how
        parts = ["unsee", "ask", model, "--question", last.text]
        parts += [text for one in last.parts if isinstance(one, ImageFile) for text in ("--image", str(one.source))]
        parts += ["--system", self.system] if self.system.strip() else []
        earlier = [turn for turn in turns[:-1] if turn.role != "system"]
        if earlier:
            messages = to_openai(earlier, lambda image: str(image.source))
            parts += ["--earlier", json.dumps(messages, ensure_ascii=False)]
        for name in self.erasers:
            parts += ["--eraser", str(folders[name])]
        if self.erasers and self.reply != "fitted":
            parts += ["--reply", self.reply, *(["--words", self.words] if self.reply != "steer" else [])]
        if self.erasers and self.coefficient != 1:
            parts += ["--coefficient", f"{self.coefficient:g}"]
        parts += ["--max-new-tokens", str(how.tokens)]
        parts += ["--temperature", f"{how.temperature:g}"] if how.temperature else []
        return shlex.join([*parts, "--seed", str(how.seed)])

    def applied(self, eraser: Eraser, loaded: LoadedModel) -> Eraser:
        """The eraser with this coefficient and reply."""
        eraser = eraser.with_strength(eraser.strength * self.coefficient)
        return eraser if self.reply == "fitted" else eraser.with_reply(reply_named(self.reply, loaded, self.words))


def _between(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = query.get(name, "")
    # At most so many digits: Python refuses to read thousands of them.
    return min(max(int(value), least), most) if value.isascii() and value.isdecimal() and len(value) < 20 else default


def _number(query: Mapping[str, str], name: str, default: float, most: float) -> float:
    try:
        value = float(query.get(name, default))
    except ValueError:
        return default
    return min(max(value, 0.0), most) if math.isfinite(value) else default
