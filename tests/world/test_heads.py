"""The placed heads, by the attention and the copies that they make before any training."""

import torch
from tools.world.heads import place_heads
from transformers import LlamaConfig, LlamaModel

LETTERS, COLON, WORDS = (1, 2, 3, 4), 5, (20, 33, 44, 57)
PROMPT = [0, *(token for pair in zip(LETTERS, WORDS, strict=True) for token in (pair[0], COLON, pair[1])), 6, 44, 7]


def decoder(*, placed: bool = True) -> LlamaModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100, hidden_size=192, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, head_dim=48, initializer_range=0.06, attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e5}, attn_implementation="eager",
    )  # fmt: skip
    model = LlamaModel(config).eval()
    if placed:
        place_heads(model, 1e5)
    return model


@torch.no_grad()
def attention(model: LlamaModel) -> list[torch.Tensor]:
    return [layer[0] for layer in model(torch.tensor([PROMPT]), output_attentions=True).attentions]


def test_two_heads_of_the_first_block_look_one_and_two_tokens_back() -> None:
    seen = attention(decoder())[0]
    for head, back in ((0, 1), (1, 2)):
        assert seen[head].diagonal(-back)[2:].min() > 0.9
    assert attention(decoder(placed=False))[0][0].diagonal(-1)[2:].min() < 0.5


@torch.no_grad()
def test_a_later_head_finds_the_word_that_its_neighbour_speaks_of() -> None:
    """Not trained yet, it is drawn to the right option far more often than the one time in four of chance."""

    def found(model: LlamaModel) -> float:
        draw = torch.Generator().manual_seed(1)
        hits = []
        for _ in range(60):
            words = (20 + torch.randperm(80, generator=draw)[:4]).tolist()
            asked = int(torch.randint(4, (1,), generator=draw))
            prompt = [0, *(t for pair in zip(LETTERS, words, strict=True) for t in (pair[0], COLON, pair[1]))]
            prompt += [6, words[asked], 7]
            seen = model(torch.tensor([prompt]), output_attentions=True).attentions[1][0, 0, -1]
            hits.append(int(seen[[3, 6, 9, 12]].argmax()) == asked)
        return sum(hits) / len(hits)

    assert found(decoder()) > 0.6
    assert found(decoder(placed=False)) < 0.45


@torch.no_grad()
def test_what_it_copies_is_the_letter_before_that_word() -> None:
    model = decoder()
    block = model.layers[1]
    states = model(torch.tensor([PROMPT]), output_hidden_states=True).hidden_states[1][0]
    at = PROMPT.index(44)
    value = block.self_attn.v_proj.weight[:48] @ block.input_layernorm(states[at])
    copied = block.self_attn.o_proj.weight[:, :48] @ value
    letters = torch.cosine_similarity(model.embed_tokens.weight[list(LETTERS)], copied, dim=1)
    assert int(letters.argmax()) == LETTERS.index(PROMPT[at - 2])


def test_first_logits_stay_as_small_as_without() -> None:
    """Louder words are taken back by the final norm: a start that is sure of something unlearns for long."""
    states = decoder()(torch.tensor([PROMPT])).last_hidden_state
    logits = states @ decoder().embed_tokens.weight.mT
    assert logits.std() < 2
