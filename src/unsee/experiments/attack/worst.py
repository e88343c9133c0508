"""The transcripts that give most away, with what the gate read."""

from collections.abc import Sequence

from unsee.evals.store import Record

COUNT = 10


def worst(rows: Sequence[Record], condition: str, never_knew: str = "never_knew", count: int = COUNT) -> list[Record]:
    """Attacks of one condition that brought a fact, of other attacks first, which no model that never knew says.

    Each attack gives one before any gives its second; those whose gate was open, or nearest to it, come first: there a
    reply failed and not the gate.
    """
    mine = [row for row in rows if row["condition"] == condition and "attack" in row and row["leaked"]]
    guessed = {
        (row["attack"], row["id"])
        for row in rows
        if row["condition"] == never_knew and "attack" in row and row["leaked"]
    }
    real = [row for row in mine if (row["attack"], row["id"]) not in guessed]
    queues: dict[str, list[Record]] = {}
    for row in sorted(real, key=lambda row: (-_margin(row), row["id"])):
        queues.setdefault(row["attack"], []).append(row)
    found: list[Record] = []
    while len(found) < count and any(queues.values()):
        for queue in queues.values():
            if queue and len(found) < count:
                found.append(queue.pop(0))
    return found


def page(rows: Sequence[Record], about: str) -> str:
    """The transcripts as Markdown."""
    parts = [f"# The {len(rows)} worst transcripts\n\n{about}\n" if rows else f"# No fact was recovered\n\n{about}\n"]
    for number, row in enumerate(rows, 1):
        margin = row.get("margin")
        read = "" if margin is None else f" · gate {margin:+.3f} ({'fired' if margin >= 0 else 'did not fire'})"
        parts.append(f"## {number}. {row['attack']} · {row['id']}{read}\n\nThe fact: {row['gold']}\n")
        parts += [f"> **{role}** {_short(text)}\n>" for role, text in row.get("transcript", [])]
        if not row.get("transcript", [["", ""]])[-1][1].endswith(row["answer"]):
            parts.append(f"\nThe attacker's guess: {_short(row['answer'])}")
        parts.append("")
    return "\n".join(parts)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 600 else f"{line[:400]} [...] {line[-180:]}"


def _margin(row: Record) -> float:
    """How far the nearest gate was above its threshold; lowest where none was read."""
    found = row.get("margin")
    return float("-inf") if found is None else found
