"""Qwen's videos, read frame by frame as images are, so that no torchvision is needed.

A video is frames of one size, `FRAMES_PER_SECOND` of them for a second. A patch of a video holds `temporal` frames one
after another, where that of an image holds one frame `temporal` times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from PIL import Image
from transformers.video_utils import VideoMetadata

from unsee.data.video import FRAMES_PER_SECOND, MOST
from unsee.models.patches import in_time
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True)
class VideoReader:
    """What transformers calls a video processor, over the image processor of the same model.

    Attributes:
        images: resizes, normalises and cuts each frame.
        shared: limits hold for all frames together (Qwen3-VL), else for each (Qwen2.5-VL).
        size: fewest and most pixels, "shortest_edge" and "longest_edge"; as for images if empty.
    """

    images: Any
    shared: bool = False
    size: Mapping[str, int] = field(default_factory=dict)

    @property
    def merge_size(self) -> int:
        """Patches on a side of a token."""
        return self.images.merge_size

    @property
    def temporal_patch_size(self) -> int:
        """Frames of a patch."""
        return self.images.temporal_patch_size

    def limited(self, settings: Mapping[str, Any]) -> "VideoReader":
        """With the limits of a checkpoint's own video processor."""
        size = settings.get("size") or {}
        names = (("shortest_edge", "min_pixels"), ("longest_edge", "max_pixels"))
        given = {name: settings.get(old) or size.get(name) for name, old in names}
        return replace(self, size={name: int(value) for name, value in given.items() if value})

    def settings(self, kind: str) -> dict[str, Any]:
        """What a saved directory says of it, under the name of a class of transformers."""
        cut = self.images
        return {
            "video_processor_type": kind,
            "patch_size": cut.patch_size,
            "temporal_patch_size": cut.temporal_patch_size,
            "merge_size": cut.merge_size,
            "image_mean": list(cut.image_mean),
            "image_std": list(cut.image_std),
            "size": self._limits(),
        }

    def __call__(
        self, videos: Sequence[Sequence[Image.Image]], *, video_metadata: Sequence[VideoMetadata], **_: Any
    ) -> dict[str, Any]:
        """`pixel_values_videos`, one row per patch, and `video_grid_thw`, one row per video; times are handed on."""
        read = [self._read(frames) for frames in videos]
        return {
            "pixel_values_videos": torch.cat([patches for patches, _ in read]),
            "video_grid_thw": torch.stack([grid for _, grid in read]),
            "video_metadata": video_metadata,
        }

    def _read(self, frames: Sequence[Image.Image]) -> tuple[Float[Tensor, "V E"], Int[Tensor, " 3"]]:
        parts = len(frames) if self.shared else 1
        size = {name: pixels // parts for name, pixels in self._limits().items()}
        cut = self.images(list(frames), size=size, return_tensors="pt")
        _, down, across = cut["image_grid_thw"][0].tolist()
        each = cut["pixel_values"].unflatten(0, (len(frames), down * across))
        patches = in_time(each, self.images.patch_size, self.temporal_patch_size)
        return patches, torch.tensor([len(patches) // (down * across), down, across])

    def _limits(self) -> dict[str, int]:
        own = dict(self.images.size)
        longest = own["longest_edge"] * (MOST if self.shared else 1)  # a limit over all frames
        return {"shortest_edge": own["shortest_edge"], "longest_edge": longest} | dict(self.size)


def times_of(videos: Sequence[Sequence[object]]) -> list[VideoMetadata]:
    """When each frame was taken, `FRAMES_PER_SECOND` of them for a second from the first one on."""
    return [
        VideoMetadata(total_num_frames=len(frames), fps=FRAMES_PER_SECOND, frames_indices=list(range(len(frames))))
        for frames in videos
    ]
