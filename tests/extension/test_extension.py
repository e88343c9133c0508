"""A package from outside, as docs/extend.md writes it: one file each for a benchmark, metric, method and attack."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from unsee.errors import OptionError
from unsee.registry import Entry, Registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's package as pip would lay it down: its modules and the metadata of a distribution."""
    site = tmp_path_factory.mktemp("site")
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    project = tomllib.loads(toml)["project"]
    for name, text in FILES.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in ours.items())
        for group, ours in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    return site


def unsee(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(ROOT / "src")])
    return subprocess.run(
        [sys.executable, "-m", "unsee", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=500, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def test_each_of_the_four_is_one_file_of_at_most_forty_lines() -> None:
    assert len(FILES) == 4
    assert all(len(text.splitlines()) <= 40 for text in FILES.values())


def test_one_evaluation_uses_all_four(installed: Path, tmp_path: Path) -> None:
    listed = unsee(installed, "list", "attacks", "--json")
    assert listed.returncode == 0, listed.stderr[-2000:]
    entries = {one["name"]: one for one in json.loads(listed.stdout.splitlines()[-1])["entries"]}
    assert entries["please"]["summary"] == "The same question, asked politely."
    done = unsee(
        installed, "eval", "world:llava", "--benchmark", "capitals", "--measure", "brevity", "--method", "hush",
        "--attack", "please", "--max-new-tokens", 6, "--out", tmp_path / "r", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "r" / "answers.jsonl").read_text().splitlines()]
    assert {row["split"] for row in rows} == {
        "forget_heldout", "retain_unseen", "forget_fit", "retain_fit", "forget_heldout/please",
    }  # fmt: skip
    asked = [row for row in rows if "/" not in row["split"]]
    for row in asked:
        assert row["measures"]["brevity"] == pytest.approx(1 / len(row["answer"].split()))
    assert {row["in_sample"] for row in rows if row["split"].endswith("_fit")} == {True}
    about = json.loads((tmp_path / "r" / "settings.json").read_text())["conditions"]
    assert list(about) == ["hush"] and about["hush"]["method"] == "hush"
    measured = json.loads((tmp_path / "r" / "metrics.json").read_text())["measures"]
    assert {one["split"] for one in measured if one["measure"] == "brevity"} == {"retain_unseen", "retain_fit"}


@pytest.mark.slow
def test_what_a_package_promises_and_does_not_hold_is_said_so(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_text("[unsee.attacks]\nodd = json\nlost = no_such_module\n")
    for name, told in (("odd", "registers none of that name"), ("lost", "cannot be imported")):
        done = unsee(tmp_path, "eval", "world:llava", "--benchmark", "world", "--attack", name, "--out", tmp_path / "r")
        assert done.returncode == 2 and "'broken'" in done.stderr and told in " ".join(done.stderr.split())
    assert not (tmp_path / "r").exists(), "before a model is loaded"


def test_two_of_one_name_are_refused() -> None:
    registry = Registry("attack", ())
    registry.add(Entry("same", test_each_of_the_four_is_one_file_of_at_most_forty_lines))
    registry.add(Entry("same", test_each_of_the_four_is_one_file_of_at_most_forty_lines))
    with pytest.raises(OptionError, match="two of kind attack are called 'same'"):
        registry.add(Entry("same", unsee))
