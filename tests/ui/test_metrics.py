"""What Live shows is what the server's own metrics say."""

import pytest

from unsee.serve.server.metrics import Metrics, Record
from unsee.ui.metrics import quantile, read


def test_a_page_of_the_server_is_read_back() -> None:
    metrics = Metrics()
    metrics.in_force("sha256:abc", 3, 1, 17)
    metrics.well("engine", True)
    metrics.well("canary", False)
    metrics.passed()
    plain = [Record(status=200, outcome="unsteered") for _ in range(2)]
    for record in (*plain, Record(status=200, outcome="steered"), Record(status=422, outcome="refused")):
        record.seconds["gate"] = 0.03
        metrics.observe(record)
    found = read(metrics.page().decode())
    assert found.sets == ["sha256:abc"] and found.parts == {"engine": True, "canary": False}
    assert found.numbers["erasers in force"] == 3 and found.numbers["newest row of the ledger"] == 17
    assert found.outcomes == {"steered": 1, "unsteered": 2, "refused": 1}
    assert found.canary is not None and found.canary > 1e9
    assert sum(n for _, n in found.stages["answer"]) == 4
    assert quantile(found.stages["gate"], 0.5) == pytest.approx(0.05), "the upper end of its bucket"


def test_half_of_few_and_of_none() -> None:
    assert quantile([(1.0, 1), (5.0, 0), (10.0, 3)], 0.25) == 1.0
    assert quantile([(1.0, 1), (5.0, 0), (10.0, 3)], 0.5) == 10.0
    assert quantile([(1.0, 0)], 0.5) is None
