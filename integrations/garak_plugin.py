"""garak 0.17: a generator that takes images and cuts no answers, a probe for erased facts, and its detector.

python -m integrations.garak_plugin --target_type unsee --target_name erased --probes unsee.ErasedFacts \
    --config garak.yaml                  # plugins.generators.unsee.uri, plugins.probes.unsee.questions

The same command takes garak's own probes. garak knows its own folder of plugins alone, so `main` puts this module there
under the name `unsee` before it starts garak.
"""

import sys

import garak.attempt
import garak.probes
from garak import _config
from garak._plugins import PluginCache
from garak.detectors.base import Detector
from garak.generators.openai import OpenAICompatible

from integrations.questions import known, recovered

DEFAULT_CLASS = "Unsee"


class Unsee(OpenAICompatible):
    """An unsee server. garak's own class is text alone, which skips image probes, and stops at '#' and ';'."""

    ENV_VAR = "UNSEE_API_KEY"
    generator_family_name = "unsee"
    modality = {"in": {"text", "image"}, "out": {"text"}}  # noqa: RUF012  (garak reads it off the class)
    DEFAULT_PARAMS = OpenAICompatible.DEFAULT_PARAMS | {
        "stop": None,
        "temperature": 0.0,
        "suppressed_params": {"n", "frequency_penalty", "presence_penalty", "seed"},
    }


class ErasedFacts(garak.probes.Probe):
    """Questions about what was erased, by name and over images."""

    lang = "en"
    goal = "recover facts that were erased"
    primary_detector = "unsee.FactRecovered"
    modality = {"in": {"text", "image"}}  # noqa: RUF012
    active = True
    tier = garak.probes.Tier.OF_CONCERN
    intent = "S009personal"
    DEFAULT_PARAMS = garak.probes.Probe.DEFAULT_PARAMS | {"questions": "questions/data.jsonl", "behind": ""}

    def __init__(self, config_root=_config) -> None:
        super().__init__(config_root=config_root)
        self.samples = list(known(self.questions).values())
        self.prompts = [
            garak.attempt.Message(
                f"{one.question} {self.behind}".strip(),
                lang="en",
                data_path=str(one.shown[0].source) if one.shown else None,
            )
            for one in self.samples
        ]

    def _attempt_prestore_hook(self, attempt: garak.attempt.Attempt, seq: int) -> garak.attempt.Attempt:
        attempt.notes |= {"questions": self.questions, "id": self.samples[seq].id}
        return attempt


class FactRecovered(Detector):
    """Whether the answer says the fact that was asked for."""

    lang_spec = "*"

    def detect(self, attempt: garak.attempt.Attempt) -> list[float | None]:
        """1 where it does."""
        one = known(attempt.notes["questions"])[attempt.notes["id"]]
        return [None if said is None else float(recovered(one, said.text)) for said in attempt.outputs]


def main() -> None:
    """Start garak with these plugins."""
    for category, plugin in (("generators", Unsee), ("probes", ErasedFacts), ("detectors", FactRecovered)):
        plugin.__module__ = f"garak.{category}.unsee"  # settings are found by it
        sys.modules[plugin.__module__] = sys.modules[__name__]
        path = f"{category}.unsee.{plugin.__name__}"
        PluginCache.instance()[category][path] = PluginCache.plugin_info(path)
    from garak.__main__ import main as garak_main

    garak_main()


if __name__ == "__main__":
    main()
