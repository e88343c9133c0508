"""What lmms-eval loads by the entry point group `lmms_eval.models`: the name under which it finds our class.

Kept apart from the class, since lmms-eval imports this file each time it starts, whichever model it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports] (an optional extra)


def manifest() -> "ModelManifest":
    """The model `unsee`, as in `lmms-eval --model unsee --model_args pretrained=world:llava,eraser=r-0001`."""
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports] (an optional extra)

    return ModelManifest(model_id="unsee", simple_class_path="unsee.evals.lmms.Unsee")
