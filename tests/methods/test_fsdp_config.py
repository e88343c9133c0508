"""`recipes/fsdp.yaml` as accelerate reads it; sharding itself needs accelerators, which accelerate asks for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_llava import tiny_llava
from tiny_qwen import tiny_qwen2_5_vl, tiny_qwen3_vl
from unsee.methods.weights import shard_by_block
from unsee.models.load import LoadedModel

pytest.importorskip("accelerate")

CONFIG = Path(__file__).parents[2] / "recipes" / "fsdp.yaml"


def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What each process is given, made as `accelerate launch --config_file` makes it."""
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    assert ClusterConfig.from_yaml_file(CONFIG).num_processes == 4  # refuses keys that it does not know
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(["--config_file", str(CONFIG), "x.py"]))
    assert arguments.use_fsdp
    for name, value in prepare_multi_gpu_env(arguments).items():
        if name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)
    return FullyShardedDataParallelPlugin()


@pytest.mark.parametrize("make", [tiny_llava, tiny_qwen2_5_vl, tiny_qwen3_vl])
def test_the_result_is_saved_whole_and_blocks_are_sharded_one_by_one(
    make: Callable[[], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy

    made, loaded = plugin(monkeypatch), make()
    assert made.fsdp_version == 2
    assert made.state_dict_type.name == "FULL_STATE_DICT"
    assert made.activation_checkpointing
    assert made.reshard_after_forward is True
    shard_by_block(made, loaded)
    apart = fsdp2_prepare_auto_wrap_policy(made, loaded.model)
    assert apart is not None
    assert all(apart(block) for block in loaded.adapter.layers(loaded.model))
    assert not apart(loaded.model)
