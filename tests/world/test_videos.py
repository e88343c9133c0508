"""Videos of the world: somebody moves and stays who it is, the same number is the same video, and files hold them."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.videos import moving, splits, taking_videos
from PIL import Image

from tiny_llava import tiny_llava
from tiny_qwen import tiny_qwen2_5_vl
from unsee.data.faces import Face
from unsee.data.jsonl import read_jsonl, write_jsonl
from unsee.data.prompts import chat
from unsee.errors import DataError, OptionError
from unsee.experiments.trial import Data, world_task
from unsee.world.splits import Exam
from unsee.world.videos import FIT_VIDEOS, FRAMES, HELD_OUT_VIDEOS, by_video, draw_video, video, visible


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def test_frames_move_from_one_view_to_another(small_exam: Exam) -> None:
    for person in small_exam.world.of("private")[:4]:
        frames, view = draw_video(person, 0)
        assert len(frames) == FRAMES and {frame.size for frame in frames} == {(64, 64)}
        # What is next to one another in time looks more alike than both ends do, and no frame is another.
        steps = [apart(one, other) for one, other in itertools.pairwise(frames)]
        assert min(steps) > 1 and max(steps) < apart(frames[0], frames[-1])
        assert view == draw_video(person, 0, frames=1)[1]
        again, other = draw_video(person, 0)[0], draw_video(person, 1)[0]
        assert all(one.tobytes() == two.tobytes() for one, two in zip(frames, again, strict=True))
        assert apart(frames[0], other[0]) > 1


def test_a_video_begins_and_ends_with_views_of_its_own(small_exam: Exam) -> None:
    """A frame lies a share of the way between both ends: every second of seven frames is one of four."""
    person = small_exam.world.of("private")[0]
    few, many = draw_video(person, 0)[0], draw_video(person, 0, frames=7)[0]
    assert [frame.tobytes() for frame in few] == [frame.tobytes() for frame in many[::2]]
    assert isinstance(person.look, Face)
    stranger = replace(person, look=person.look._replace(skin=(person.look.skin + 2) % 5))
    assert apart(draw_video(stranger, 0)[0][0], few[0]) > 1


def test_questions_are_asked_by_video(small_exam: Exam) -> None:
    asked = small_exam.facts([*small_exam.forget, small_exam.world.of("town")[0]], taught=False)
    moved = by_video(small_exam.world, asked, taught=False)
    people = {person.id for person in small_exam.forget}
    assert len(moved) == len(asked)
    for before, after in zip(asked, moved, strict=True):
        if before.image is None or before.subject not in people:
            assert after is before
            continue
        assert replace(after, id=before.id, image=before.image, video=()) == before
        assert len(after.video) == FRAMES and after.image is None
        [number] = {int(frame.id.split("/")[1].removeprefix("clip-")) for frame in after.video}
        assert number in HELD_OUT_VIDEOS and after.video[0].id.startswith(before.subject)
        [place] = [p for m in chat(after, "plain") for p in m["content"] if isinstance(p, dict) and p["type"] != "text"]
        assert place == {"type": "video"}
    assert not set(FIT_VIDEOS) & set(HELD_OUT_VIDEOS)
    assert moved == by_video(small_exam.world, asked, taught=False)


def test_what_is_visible_in_a_video_is_so_throughout(small_exam: Exam) -> None:
    person = small_exam.forget[0]
    for sample in visible(small_exam.world, [person], taught=False, each=8):
        number = int(sample.video[0].id.split("/")[1].removeprefix("clip-"))
        view = draw_video(person, number)[1]
        assert isinstance(person.look, Face)
        seen = {"shirt": view.shirt, "background": view.background, "hair": person.look.hair_colour}
        key = sample.id.split("/")[1]
        assert sample.gold == seen.get(key, "yes" if person.look.glasses else "no")


def test_a_file_holds_videos(small_exam: Exam, tmp_path: Path) -> None:
    asked = small_exam.facts(small_exam.forget[:1], taught=False)
    samples = [*by_video(small_exam.world, asked, taught=False)[:4], asked[0]]
    write_jsonl(samples, tmp_path)
    again = read_jsonl(tmp_path)
    for before, after in zip(samples, again, strict=True):
        assert [f.load().tobytes() for f in after.video] == [f.load().tobytes() for f in before.video]
        assert (after.image is None) == (before.image is None) and after.question == before.question
    assert again[0].video and again[-1].image


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"video": "0.png"}, r"line 1: video is '0.png', expected a video file"),
        ({"video": []}, r"line 1: video is \[\], expected a video file"),
        ({"video": ["0.png", 7]}, r"line 1: frame 2 of the video is 7, expected some text"),
        ({"video": ["0.png", "../1.png"]}, r"frame 2 of the video is '../1.png', expected a relative path inside"),
        ({"video": ["1.png", "0.png"]}, r"frame 1 of the video is '1.png', expected a file that exists"),
        ({"video": ["0.png"], "image": "0.png"}, r"it has an image and a video of 1 frames, expected one of them"),
    ],
    ids=str,
)
def test_a_video_that_cannot_be_found_is_refused(fields: dict[str, object], text: str, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"")
    line = {"subject": "a", "question": "who?", "answer": "ann lee."} | fields
    (tmp_path / "data.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=text):
        read_jsonl(tmp_path)


def test_the_same_video_is_drawn_once(small_exam: Exam) -> None:
    subject = small_exam.forget[0].id
    assert video(small_exam.world, subject, 1000) is video(small_exam.world, subject, 1000)


def test_the_benchmark_asks_the_same_questions_both_ways(small_exam: Exam) -> None:
    forgotten = small_exam.facts(small_exam.forget, taught=False)
    told = small_exam.facts(small_exam.forget, taught=True)
    seen = small_exam.visible(small_exam.forget, taught=False, each=2)
    kept = small_exam.facts(small_exam.calibration[:1], taught=True)
    data = Data(kept, kept, [], {"people": (told, [])}, world_task({"forget_heldout": forgotten, "visible": seen}))
    asked = splits(small_exam, data, limit=12)
    for name in ("forget", "unseen"):
        by_image, moved = asked[f"{name}_image"], asked[f"{name}_video"]
        assert [s.question for s in by_image] == [s.question for s in moved] and len(moved) == 12
        assert all(s.image for s in by_image) and all(s.video for s in moved)
    assert not any(s.image or s.video for s in asked["forget_name"])
    fit = moving(small_exam.world, data)
    shown = [s for s in (*fit.retain, *fit.calibration, *fit.requests["people"][0]) if s.video]
    assert shown and not any(s.image for s in (*fit.retain, *fit.calibration, *fit.requests["people"][0]))
    frames = {frame.id for sample in shown for frame in sample.video}
    assert not frames & {frame.id for sample in asked["forget_video"] for frame in sample.video}


def test_the_benchmark_refuses_a_family_without_videos() -> None:
    loaded = tiny_qwen2_5_vl()
    assert taking_videos(loaded) is loaded
    with pytest.raises(OptionError, match="'tiny-llava' of family 'llava' takes no videos"):
        taking_videos(tiny_llava())
