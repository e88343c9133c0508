"""What a sample refuses to be, and that images are decoded only on demand."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unsee.data.sample import ImageFile, Sample, require_disjoint, require_no_videos, require_some, spread
from unsee.errors import DataError, ImageError


def sample(subject: str = "p1", **fields: Any) -> Sample:
    return Sample(**{"id": "s", "subject": subject, "question": "q", "answer": "a", "gold": "a", **fields})


def png(mode: str = "RGB", colour: Any = (1, 2, 3)) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (4, 3), colour).save(stream, "PNG")
    return stream.getvalue()


def test_image_is_decoded_to_rgb_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "p.png"
    file.write_bytes(png("L", 7))
    for image in (ImageFile("p", png("L", 7)), ImageFile("p", file)):
        shown = image.load()
        assert (shown.mode, shown.size, shown.getpixel((0, 0))) == ("RGB", (4, 3), (7, 7, 7))


@pytest.mark.parametrize("source", [b"", b"no picture", png()[:40], Path("missing.png")])
def test_unreadable_image_is_named(source: bytes | Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read image 'p1/face': .* Expected a file in one of \['PNG'"):
        ImageFile("p1/face", source).load()


def test_blank_question_is_refused() -> None:
    with pytest.raises(DataError, match="sample 's': the question is empty"):
        sample(question=" \n")


@pytest.mark.parametrize("options", [None, {}, {"B": "b"}])
def test_classification_needs_its_answer_among_the_options(options: dict[str, str] | None) -> None:
    with pytest.raises(DataError, match="a classification needs options that contain its answer; got answer 'A'"):
        sample(answer="A", form="classification", options=options)


def test_empty_set_is_refused_by_name() -> None:
    require_some([sample()], "forget")
    with pytest.raises(DataError, match="the forget set is empty"):
        require_some([], "forget")


def test_shared_subjects_are_named_and_cut_after_five() -> None:
    require_disjoint([sample("a")], [sample("b")], ("forget", "retain"))
    many = [sample(f"p{number}") for number in range(7)]
    with pytest.raises(DataError, match=r"7 subject\(s\) are in both the forget and the retain set: .* and 2 more"):
        require_disjoint(many, many, ("forget", "retain"))


def test_what_is_shown_is_the_image_or_the_frames_and_videos_are_refused_where_none_is_taken() -> None:
    frames = (ImageFile("0", b"0"), ImageFile("1", b"1"))
    still = Sample("s", "p", "who?", "x", "x", image=frames[0])
    moving = Sample("m", "p", "who?", "x", "x", video=frames)
    assert still.shown == frames[:1] and moving.shown == frames and Sample("t", "p", "who?", "x", "x").shown == ()
    require_no_videos([still], "the server")
    with pytest.raises(DataError, match="sample 'm' has a video, but the server takes none"):
        require_no_videos([still, moving], "the server")


def test_spread_takes_from_all_of_the_data() -> None:
    """In every case: as many as asked, in order, from the first on, with gaps that differ by one at most."""
    for total in (1, 2, 7, 64, 65, 127, 128, 1000):
        everything = [Sample(str(i), "s", "q", "a", "g") for i in range(total)]
        for count in (1, 2, 5, 63, 64, 126, 999, 2000):
            taken = [int(sample.id) for sample in spread(everything, count)]
            assert len(taken) == min(total, count) and taken[0] == 0
            gaps = [after - before for before, after in zip(taken, [*taken[1:], total], strict=True)]
            assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1
