"""Makes torchvision importable beside a CPU torch: the registry's wheel holds CUDA code that cannot be loaded there.

Two operators are declared before torchvision is imported, because it registers their shapes at once; they stay without
an implementation, and vLLM's image processors do not call them. Usage: python cpu_torchvision.py VENV
"""

import sys
from pathlib import Path

SHIM = '''\
"""Declares torchvision's operators before it is imported; see tests/serve/cpu_torchvision.py of unsee."""

import importlib.abc
import sys

SCHEMAS = [f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")]


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            self.library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS:
                self.library.define(schema)
            sys.modules[__name__].kept = self.library
        return None


sys.meta_path.insert(0, Finder())
'''


def main(home: Path) -> None:
    (packages,) = home.glob("lib/python3.*/site-packages")
    (packages / "_cpu_torchvision.py").write_text(SHIM)
    (packages / "zz_cpu_torchvision.pth").write_text("import _cpu_torchvision\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
