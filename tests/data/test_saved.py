"""Own fields in other containers: what `datasets` saves, parquet files, video files. Written by those libraries."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drawn import encoded
from unsee.data import read
from unsee.data.sample import Sample
from unsee.data.video import sampled
from unsee.errors import DataError, OptionError

datasets = pytest.importorskip("datasets")
av = pytest.importorskip("av")

ROWS: list[dict[str, Any]] = [
    {"subject": "p", "question": "who?", "answer": "Ada.", "image": {"bytes": encoded(), "path": None}},
    {"subject": "q", "question": "where?", "answer": "Moss.", "image": None},
]


GONE = '{"_data_files": [{"filename": "gone.arrow"}]}'


def saved(rows: list[dict[str, Any]], **images: Any) -> Any:
    made = datasets.Dataset.from_list(rows)
    for name, kind in images.items():
        made = made.cast_column(name, kind)
    return made


def test_a_saved_data_set_is_read_like_lines(tmp_path: Path) -> None:
    saved(ROWS, image=datasets.Image()).save_to_disk(tmp_path / "one")
    first, second = read(tmp_path / "one")
    assert (first.subject, first.question, first.answer, second.shown) == ("p", "who?", "Ada.", ())
    assert first.image is not None and first.image.load().getpixel((0, 0)) == (255, 0, 0)
    saved([{k: v for k, v in row.items() if k != "image"} for row in ROWS]).save_to_disk(
        tmp_path / "parts", num_shards=2
    )
    assert [sample.id for sample in read(tmp_path / "parts")] == ["row-0", "row-1"] == [first.id, second.id]


def test_its_splits_are_named_behind_a_colon(tmp_path: Path) -> None:
    plain = saved([{k: v for k, v in row.items() if k != "image"} for row in ROWS])
    datasets.DatasetDict({"train": plain, "test": plain.select([1])}).save_to_disk(tmp_path / "two")
    assert (
        [s.subject for s in read(f"{tmp_path / 'two'}:test")]
        == ["q"]
        == [s.subject for s in read(tmp_path / "two", "test")]
    )
    for split in (None, "val"):
        with pytest.raises(OptionError, match=r"has the splits \['train', 'test'\]"):
            read(tmp_path / "two", split)


def test_conversations_with_images_beside_them(tmp_path: Path) -> None:
    parts = [{"type": "image", "text": None}, {"type": "text", "text": "who is this?"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "text", "text": "Ada."}]}]
    rows = [{"subject": "p", "messages": turns, "images": [{"bytes": encoded(colour="blue"), "path": None}]}]
    saved(rows, images=datasets.Sequence(datasets.Image())).save_to_disk(tmp_path / "chat")
    (sample,) = read(tmp_path / "chat")
    assert (sample.question, sample.answer) == ("who is this?", "Ada.")
    assert [one.load().getpixel((0, 0)) for one in sample.shown] == [(0, 0, 255)]
    rows[0]["images"] *= 2
    saved(rows, images=datasets.Sequence(datasets.Image())).save_to_disk(tmp_path / "more")
    with pytest.raises(DataError, match="row 0: image or video is '1 beside messages'"):
        read(tmp_path / "more")


def test_parquet_in_our_fields_by_file_and_in_a_folder_of_configs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    assert [s.subject for s in read(file)] == [s.subject for s in read(tmp_path)] == ["p", "q"]
    pq.write_table(pa.Table.from_pylist([{**ROWS[0], "image": {"bytes": None, "path": "a.png"}}]), file)
    with pytest.raises(DataError, match=r"row 0: image\.bytes is None"):
        read(file)


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"_data_files": [{}]}', GONE, GONE.replace("gone", "../gone")])
def test_a_damaged_folder_is_told(tmp_path: Path, state: str) -> None:
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(DataError, match=r"state\.json|gone\.arrow"):
        read(tmp_path)


def filmed(file: Path, frames: int, rate: int, codec: str) -> None:
    """A film that fades from black to white."""
    with av.open(str(file), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            grey = np.full((48, 64, 3), 255 * number // max(1, frames - 1), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


def asked(folder: Path, video: str) -> Sample:
    (folder / "data.jsonl").write_text(f'{{"subject": "p", "question": "what?", "answer": "x", "video": "{video}"}}\n')
    (sample,) = read(folder)
    return sample


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("a.webm", "libvpx"), ("a.mp4", "h264")])
def test_a_video_file_is_two_frames_a_second_first_and_last_among_them(tmp_path: Path, name: str, codec: str) -> None:
    filmed(tmp_path / name, 40, 10, codec)
    frames = [np.asarray(one.load()).mean() for one in asked(tmp_path, name).video]
    assert len(frames) == 8
    assert frames == sorted(frames) and frames[0] < 10 and frames[-1] > 245


@pytest.mark.parametrize(
    ("total", "rate", "count"), [(1, 30, 1), (3, 30, 3), (30, 30, 4), (300, 30, 20), (100_000, 30, 768), (59, 29.97, 4)]
)
def test_sampling_is_that_of_the_family(total: int, rate: float, count: int) -> None:
    indices = sampled(total, rate)
    assert len(indices) == count and indices[0] == 0 and indices[-1] == total - 1
    assert np.abs(np.diff(indices, 2)).max(initial=0) <= 1


@pytest.mark.parametrize("content", [b"", b"no film at all", encoded("GIF")[:10]])
def test_what_is_no_video_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"video .*a\.mp4"):
        asked(tmp_path, "a.mp4")


def test_heic_is_read_upright_where_its_package_is_installed(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(stream, "HEIF", exif=exif.tobytes())
    (tmp_path / "a.heic").write_bytes(stream.getvalue())
    (tmp_path / "data.jsonl").write_text('{"subject": "p", "question": "who?", "answer": "x", "image": "a.heic"}\n')
    (sample,) = read(tmp_path)
    assert sample.image is not None
    shown = sample.image.load()
    assert shown.size == (32, 64) and np.asarray(shown)[..., 0].mean() > 200
