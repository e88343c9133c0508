"""The tower's loudness is scaled exactly, and what it is taught is in its patches."""

import torch
from tools.world.tiny import build_model, build_processor
from tools.world.vision_pretraining import _calm, draw_pool, learn_to_see, normalisation


def test_calming_scales_every_state_alike() -> None:
    torch.manual_seed(0)
    model = build_model(build_processor(), width=96, depth=1, inner=64, vision_width=40, vision_depth=2)
    tower = model.model.vision_tower
    # LayerNorm's epsilon is the only thing that knows the scale.
    for module in tower.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 0.0
    with torch.no_grad():
        tower.embeddings.position_embedding.weight.normal_()
        pixels = torch.randn(4, 3, 64, 64)
        before = tower(pixel_values=pixels).last_hidden_state[:, 1:]
        _calm(model, pixels)
        after = tower(pixel_values=pixels).last_hidden_state[:, 1:]
    torch.testing.assert_close(after, before / before.square().mean().sqrt(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after.square().mean().sqrt(), torch.tensor(1.0))


def test_a_pool_shows_each_person_in_as_many_views_and_things_without_a_face() -> None:
    images, labels = draw_pool(5, 4, 0, lambda _: None)
    assert images.shape == (24, 3, 64, 64) and labels.shape == (24, 20)
    who = labels[:, -1]
    assert who[who >= 0].bincount().tolist() == [4] * 5
    things = labels[who < 0]
    assert (things[:, :13] == -100).all() and (things[:, 13] >= 0).all()
    for person in range(5):
        assert (labels[who == person][:, :12] == labels[who == person][0, :12]).all()


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    processor = build_processor()
    model = build_model(processor, width=96, depth=1, inner=64, vision_width=40, vision_depth=1)
    said: list[str] = []
    learn_to_see(
        model, *normalisation(processor), apart=True, steps=51, people=4, views=3, rows=12, progress=said.append
    )
    first, last = (float(line.split("loss ")[1].split()[0]) for line in said if line.startswith("sight"))
    assert last < 0.9 * first
