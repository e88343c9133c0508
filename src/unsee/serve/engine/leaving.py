"""Tensors on their way from the device to the host; nobody waits for them unless somebody asks."""

from collections.abc import Sequence
from typing import final

import torch

from unsee.shapes import Tensor


@final
class Leaving:
    """Of tensors that nothing is written to again."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._copies = [_leaving(tensor) for tensor in tensors]
        self._event = torch.cuda.Event() if any(tensor.is_cuda for tensor in tensors) else None
        if self._event is not None:
            self._event.record()

    @property
    def there(self) -> bool:
        """Whether the host has them."""
        return self._event is None or self._event.query()

    def arrived(self) -> list[Tensor]:
        """On the host, in order; waits for them."""
        if self._event is not None:
            self._event.synchronize()
        return self._copies


def _leaving(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
