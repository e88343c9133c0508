"""The published gate as a classifier: one vector a person in the retained prompts' null space, and a threshold.

MLLMEraser and AlphaSteer have one vector for everything and scale what they add by it. Here every person has one, and
the answer is steered where any reaches a threshold that calibration people set: what is left between this and unsee's
own ridge is the rule of the fit.
"""

import torch

from unsee.data.sample import subjects
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.calibration import thresholds
from unsee.erase.gates.null_space import NullSpace, gate_of_components, null_components
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.evals.answerers import Local
from unsee.methods.task import Made, Request
from unsee.registry import method

PRESET, TAIL = NullSpace(ratio=0.6, gamma=0.1), 0.01


@method(
    "null_space_each", kind="steered", knob="ratio", values=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
)  # fmt: skip
def null_space_each(request: Request) -> Made:
    """MLLMEraser's rule with one gate a person, a threshold from calibration people, and unsee's reply."""
    forget, profile = request.data.forget, request.profile()
    features = capture_features(request.loaded, forget, profile.read)
    retained = torch.cat([profile.retain_people, profile.retain_others]).flatten(1)
    ratio = PRESET.ratio if request.value is None else request.value
    inside, ids = null_components(retained, features.flatten(1), ratio)[0], subjects(forget)
    owner = torch.tensor([ids.index(sample.subject) for sample in forget])
    weight = torch.stack([gate_of_components(inside[owner == k], PRESET.gamma) for k in range(len(ids))])
    none = torch.zeros(len(ids))
    gate = PromptRidgeGate(profile.read, weight.view(len(ids), *features.shape[1:]).float(), none, none)
    highest = gate.margins(profile.calibration).amax(1, keepdim=True)
    made = Eraser(
        model=profile.model,
        family=profile.family,
        layers=profile.written,
        gate=gate.with_threshold(thresholds(highest, TAIL).expand(len(ids)).clone()),
        trajectory=profile.trajectory[[profile.layers.index(layer) for layer in profile.written]],
        strength=profile.strength,
        method="null-space-each",
        settings={"ratio": ratio, "gamma": PRESET.gamma, "tail": TAIL},
        subjects=tuple(ids),
    )
    return Made(Local(request.loaded, (made,)), made.stored_bytes)
