"""vLLM's model runner, followed step by step, because only it knows the order of a batch."""

from collections.abc import Mapping
from functools import wraps
from types import ModuleType
from typing import Any

import torch

from unsee.errors import SteeringError
from unsee.serve.engine import carried, op
from unsee.serve.engine.counted import Counted
from unsee.serve.engine.fired import as_counted
from unsee.serve.engine.steerer import Shape, Steerer
from unsee.serve.errors import EngineError

CLASS = "vllm.v1.worker.gpu_model_runner:GPUModelRunner"
"""The first of two, which `plugin.set_environment` asks for; that of CPUs derives from it."""


def loaded(modules: Mapping[str, ModuleType]) -> Any:
    """The runner class if this process uses it: importing it here would say to nobody which token is which."""
    module, _, name = CLASS.partition(":")
    return getattr(modules.get(module), name, None)


def steerer_of(runner: Any) -> Steerer | None:
    """The steerer of a runner's model, made when its cache is known; None for models that are not steered."""
    if not hasattr(runner.model, "unsee_number"):
        return None
    if not hasattr(runner, "unsee_steerer"):
        runner.unsee_steerer = _made_for(runner)
    return runner.unsee_steerer


def follow(cls: Any) -> None:
    """Tell the steerer of each runner of this class what every step holds, and check each step after it has run.

    It fixes tokens in the logits, the last that anything sees before the sampler.
    """
    if getattr(cls.execute_model, "unsee", False):
        return
    run, arrange, choose, tell = cls.execute_model, cls._prepare_inputs, cls._sample, cls.sample_tokens

    @wraps(run)
    def execute_model(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        steerer = steerer_of(self) if hasattr(self, "kv_cache_config") else None
        if steerer is None:
            return run(self, scheduler_output, *args, **kwargs)
        steerer.hear(scheduler_output)
        result = run(self, scheduler_output, *args, **kwargs)
        steerer.end()
        return result

    @wraps(arrange)
    def prepare_inputs(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        arranged = arrange(self, scheduler_output, *args, **kwargs)
        steerer = steerer_of(self)
        if steerer is not None:
            steerer.begin(self.input_batch.req_ids, scheduler_output.num_scheduled_tokens)
        return arranged

    @wraps(choose)
    def sample(self: Any, logits: Any, *args: Any, **kwargs: Any) -> Any:
        steerer = steerer_of(self)
        if steerer is None:
            return choose(self, logits, *args, **kwargs)
        steerer.fix(logits)
        chosen = choose(self, logits, *args, **kwargs)
        self.unsee_counted = steerer.said(chosen.sampled_token_ids)
        return chosen

    @wraps(tell)
    def sample_tokens(self: Any, *args: Any, **kwargs: Any) -> Any:
        output, counted = tell(self, *args, **kwargs), vars(self).pop("unsee_counted", None)
        if counted is not None and self.parallel_config.rank == 0:
            carried.send(output, counted)
        elif counted is not None:
            _check(self, counted)
        return output

    execute_model.unsee = True
    cls.execute_model = execute_model
    cls._prepare_inputs = prepare_inputs
    cls._sample = sample
    cls.sample_tokens = sample_tokens


def _check(runner: Any, counted: Counted) -> None:
    """Of a rank whose output goes nowhere: nobody would hear that it steers otherwise than the first, so it stops.

    It looks at the step before, for which no device is waited for.
    """
    before, runner.unsee_before = getattr(runner, "unsee_before", None), counted
    wrong = [] if before is None else [one for one in before.reports().values() if not as_counted(one)]
    if wrong:
        raise SteeringError(f"rank {runner.parallel_config.rank} steered otherwise than required: {wrong[0]}.")


@torch.inference_mode()
def _made_for(runner: Any) -> Steerer:
    cache = runner.kv_cache_config
    if len(cache.kv_cache_groups) != 1:
        raise EngineError(
            f"the engine keeps {len(cache.kv_cache_groups)} kinds of cache, expected one: what gates read is kept per "
            "cache block. Models with sliding windows or state spaces are not served steered."
        )
    config = runner.vllm_config.model_config.hf_config
    text = config.get_text_config()
    shape = Shape(
        config.model_type,
        int(text.num_hidden_layers),
        int(text.hidden_size),
        int(text.vocab_size),
        cache.num_blocks,
        cache.kv_cache_groups[0].kv_cache_spec.block_size,
    )
    steerer = Steerer(shape, runner.device)
    op.serve(runner.model.unsee_number, steerer)
    return steerer
