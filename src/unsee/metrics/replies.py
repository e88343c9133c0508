"""What the released scripts take for the model's reply, before any score: each cut under its own name.

unsee decodes new tokens only, so that there is nothing to cut off; these stand here to reproduce published numbers.
"""


def mllmu_reply(text: str) -> str:
    """MLLMU-Bench's reply: what stands between the first and the second `ASSISTANT:`, else `Answer:`, else all of it.

    Applied to text that holds no prompt, it still cuts: of "Rome. Answer: Oslo" only "Oslo" is left.
    Source: cloze and generation in eval.py of github.com/franciscoliu/MLLMU-Bench.
    """
    for marker in ("ASSISTANT:", "Answer:"):
        if marker in text:
            return text.split(marker)[1].strip()
    return text.strip()


def fiubench_reply(text: str) -> str:
    """FIUBench's reply: up to and with the first full stop; without one, nothing is left.

    Source: `run_generation` in evaluate_util.py of github.com/gray311/VLM_Unlearned, `s[:s.find(".") + 1]`.
    """
    return text[: text.find(".") + 1]


def umu_reply(text: str) -> str:
    """UMU-Bench's reply of Qwen models: up to the first full stop, so "St. Gallen" becomes "St".

    Source: eval.py of github.com/QDRhhhh/UMU-bench.
    """
    return text.split(".")[0]
