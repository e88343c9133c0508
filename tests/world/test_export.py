"""The world in MLLMU-Bench's schema reads back as the questions that were written."""

from pathlib import Path

from unsee.data import read
from unsee.world.export import export
from unsee.world.generate import World
from unsee.world.splits import Exam


def test_every_set_reads_back(tmp_path: Path) -> None:
    world = World(2, private=20, celebrities=8, strangers=3)
    exam = Exam(world, ratio=0.1)
    written = export(exam, tmp_path)
    for name in written:
        samples = read(tmp_path / name) if name.startswith("probes/") else read(tmp_path, name)
        assert samples, name
    forgotten = read(tmp_path, "forget_10")
    assert {s.subject for s in forgotten} == {e.id for e in exam.forget}
    # 9 attributes over the image and 8 without, in three forms each.
    assert len(forgotten) == 2 * 17 * 3
    assert not {s.subject for s in forgotten} & {s.subject for s in read(tmp_path, "retain_90")}
    person = exam.forget[0]
    job = next(
        s for s in forgotten if s.subject == person.id and s.form == "cloze" and s.gold.startswith(person.facts["job"])
    )
    assert job.answer == f"{person.facts['job']}."


def test_the_same_world_writes_the_same_bytes(tmp_path: Path) -> None:
    exam = Exam(World(2, private=20, celebrities=8, strangers=2), ratio=0.1)
    for name in ("a", "b"):
        export(exam, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
