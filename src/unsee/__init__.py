"""unsee: make a vision-language model unsee, by input-aware activation steering, one request at a time.

>>> from unsee import Eraser, Profile, erased, load            # doctest: +SKIP
>>> loaded = load("llava-hf/llava-1.5-7b-hf")                  # doctest: +SKIP
>>> profile = Profile.from_pretrained("profile")               # doctest: +SKIP
>>> eraser = fit_eraser(loaded, profile, read("forget"))       # doctest: +SKIP
>>> with erased(loaded.model, eraser):                         # doctest: +SKIP
...     loaded.model.generate(**inputs)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unsee.data import ImageFile, Sample, read
    from unsee.erase.config import Settings
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import together
    from unsee.erase.fit_eraser import fit_eraser, fit_published
    from unsee.erase.fit_profile import fit_profile
    from unsee.erase.profile import Profile
    from unsee.erase.request.request import request
    from unsee.erase.steer.hooks import erased, unsteered
    from unsee.errors import UnseeError
    from unsee.forgetting.run import forget
    from unsee.models.generate import generate
    from unsee.models.load import load, wrap

__version__ = "0.1.0"

_HOME = {
    "Eraser": "unsee.erase.eraser",
    "ImageFile": "unsee.data",
    "Profile": "unsee.erase.profile",
    "Sample": "unsee.data",
    "Settings": "unsee.erase.config",
    "UnseeError": "unsee.errors",
    "erased": "unsee.erase.steer.hooks",
    "forget": "unsee.forgetting.run",
    "fit_eraser": "unsee.erase.fit_eraser",
    "fit_profile": "unsee.erase.fit_profile",
    "fit_published": "unsee.erase.fit_eraser",
    "generate": "unsee.models.generate",
    "load": "unsee.models.load",
    "read": "unsee.data",
    "request": "unsee.erase.request.request",
    "together": "unsee.erase.eraser_set",
    "unsteered": "unsee.erase.steer.hooks",
    "wrap": "unsee.models.load",
}
__all__ = [
    "Eraser",
    "ImageFile",
    "Profile",
    "Sample",
    "Settings",
    "UnseeError",
    "erased",
    "fit_eraser",
    "fit_profile",
    "fit_published",
    "forget",
    "generate",
    "load",
    "read",
    "request",
    "together",
    "unsteered",
    "wrap",
]


def __getattr__(name: str) -> Any:
    # Names are looked up on first use, so that `import unsee` and `unsee --help` need no torch.
    if name not in _HOME:
        raise AttributeError(f"module 'unsee' has no attribute {name!r}; it offers {__all__}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    # What this package is for; rooms and imports are found by their own names.
    return [*__all__, "__version__"]
