"""Results folders as 'unsee eval' leaves them, written by hand."""

import json
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = {
    "schema": 2, "benchmark": None, "task": "own data", "protocol": "honest", "ratio": None, "data": "sha256:0",
    "sets": {"forget": {"role": "forget", "use": "test", "n": 2}}, "limit": None, "style": "plain",
    "prompts": "chat template", "max_new_tokens": 24, "replies": "greedy", "measures": [], "attacks": [], "seed": 0,
    "tries": 1, "detectors": {}, "judge": None,
}  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "condition": "base", "split": "forget", "role": "forget", "in_sample": False, "person": "p-1", "id": "q-1",
        "form": "generation", "question": "where?", "gold": "sorrin", "image": None, "options": None,
        "answer": "sorrin.", "leaked": True, "refused": False, "correct": True, "fluent": True, "measures": {},
    }  # fmt: skip
    return plain | changes


def write(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Path:
    folder.mkdir(parents=True)
    conditions = {one["condition"]: {"engine": "transformers", "erasers": []} for one in rows}
    (folder / "settings.json").write_text(json.dumps(SETTINGS | {"conditions": conditions} | settings))
    (folder / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder
