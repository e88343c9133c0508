"""The image that a row of results was asked about, found again: drawn by the built-in world, or a file beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from PIL import Image

from unsee.data import ImageFile
from unsee.errors import ImageError
from unsee.ui.items import Item
from unsee.world.generate import World
from unsee.world.splits import image


@final
@dataclass(frozen=True)
class Finder:
    """Where the images of some results are.

    Attributes:
        folders: where files may lie; nothing outside them is read.
        world: the world that draws them, or None.
    """

    folders: Sequence[Path]
    world: World | None = None

    @staticmethod
    def of(items: Sequence[Item], folders: Sequence[Path]) -> "Finder":
        """For these questions; the world of seed 0 draws only what is plainly about its people."""
        world = World()
        named = [
            world.by_id[one.person].name.casefold() in one.question.casefold()
            for one in items
            if one.image is None and one.person in world.by_id
        ]
        return Finder(folders, world if named and sum(named) > len(named) / 2 else None)

    def find(self, id: str | None) -> Image.Image | None:
        """The pixels of a view of somebody of the world, or of a path; None where they are not here."""
        person, _, view = (id or "").rpartition("/")
        if self.world is not None and person in self.world.by_id and view.isdecimal() and len(view) < 9:
            return image(self.world, self.world.by_id[person], int(view)).load()
        for folder in self.folders if id else ():
            try:
                path = (folder / str(id)).resolve()
                if path.is_relative_to(folder.resolve()) and path.is_file():
                    return ImageFile(str(id), path).load()
            except (ImageError, OSError, ValueError):  # no image, or a name that no file system takes
                continue
        return None
