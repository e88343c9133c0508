"""The examples of `deploy/`: each is read by what it is for, and they agree with one another and with the server."""

import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.serve.test_life import running, until

from unsee.serve.server.metrics import Metrics, Record
from unsee.serve.server.options import Options, read_options
from unsee.serve.server.tenants import read_tenants
from unsee.serve.server.verdict import Verdict

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIG = "/etc/unsee/serve.toml"


def parsed(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


@pytest.fixture(scope="module")
def options() -> Options:
    return read_options(DEPLOY / "serve.toml", {"engine": []})


def drain(options: Options) -> int:
    return int(options.engine[options.engine.index("--shutdown-timeout") + 1])


def test_the_config_and_the_tenants_are_taken(options: Options) -> None:
    tenants = read_tenants(DEPLOY / "tenants" / "tenants.toml")
    assert tenants.of("Bearer change-me").name == tenants.of("Bearer change-me-too").name
    assert options.tenants == Path("/etc/unsee/tenants/tenants.toml")
    assert options.host == "0.0.0.0", "a container that listens on its own loopback is reached by nobody"


def test_compose_mounts_what_the_config_names_and_waits_for_the_end(options: Options) -> None:
    (compose,) = parsed("compose.yaml")
    service = compose["services"]["unsee"]
    mounts = {m.split(":")[1]: m.split(":") for m in service["volumes"]}
    assert mounts[CONFIG][0] == "./serve.toml"
    assert str(options.tenants).startswith("/etc/unsee/tenants/")
    assert mounts["/etc/unsee/tenants"][0] == "./tenants", "a folder: a file that is replaced must be seen"
    assert mounts[str(options.ledger)][2] == "ro"
    assert int(service["stop_grace_period"].removesuffix("s")) > drain(options) + 10
    assert "/ready" in " ".join(service["healthcheck"]["test"])
    for one in compose["services"].values():
        for source in (m.split(":")[0] for m in one["volumes"] if m.startswith("./")):
            assert (DEPLOY / source).exists() or source == "./ledger", source
    named = {m.split(":")[0] for one in compose["services"].values() for m in one["volumes"] if m[0] not in "./"}
    assert named == set(compose["volumes"])
    assert f"unsee:{options.port}" in parsed("prometheus.yaml")[0]["scrape_configs"][0]["static_configs"][0]["targets"]


def test_the_image_has_the_tried_vllm_and_reads_the_config() -> None:
    from unsee.serve.engine.compat import TRIED

    said = (DEPLOY / "Dockerfile").read_text()
    (image,) = re.findall(r"^FROM vllm/vllm-openai:v(\S+)$", said, re.M)
    assert image in TRIED
    (command,) = re.findall(r"^CMD (\[.*\])$", said, re.M)
    assert json.loads(command) == ["--config", CONFIG]
    for source in re.findall(r"^COPY (.+) \S+$", said, re.M):
        assert all((DEPLOY.parent / name).exists() for name in source.split())


def test_kubernetes_probes_mounts_and_ends_as_the_server_does(options: Options) -> None:
    objects = {one["kind"]: one for one in parsed("kubernetes/unsee.yaml")}
    pod = objects["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/ready", "readiness": "/ready", "liveness": "/health"}
    assert pod["spec"]["terminationGracePeriodSeconds"] > drain(options) + 5 + 10
    assert {p["name"]: p["containerPort"] for p in container["ports"]} == {"http": options.port}
    assert objects["Service"]["spec"]["ports"][0]["port"] == options.port
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert "subPath" not in mounts[str(Path(str(options.tenants)).parent)]
    assert mounts[str(options.ledger)]["readOnly"]
    assert mounts[CONFIG]["readOnly"]
    assert {m["name"] for m in mounts.values()} == {v["name"] for v in pod["spec"]["volumes"]}
    for selector in (
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= pod["metadata"]["labels"].items()


def exported() -> set[str]:
    """Names of metrics on the page of a server that has answered once."""
    metrics = Metrics()
    metrics.in_force("d", 1, 0, 1)
    metrics.well("canary", True)
    record = Record(verdict=Verdict("d", 1, frozenset({"sha256:0123456789ab"}), 1.0, 1, 2, "prefix"))
    metrics.observe(record)
    return set(re.findall(r"^(unsee_\w+)", metrics.page().decode(), re.M))


def asked() -> dict[str, str]:
    """All that the dashboard and the alerts ask Prometheus, by what for."""
    board, (alerts,) = json.loads((DEPLOY / "grafana/unsee.json").read_text()), parsed("alerts.yaml")
    queries = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]
    queries += [(rule["alert"], rule["expr"]) for group in alerts["groups"] for rule in group["rules"]]
    return {f"{number} {title}": expression for number, (title, expression) in enumerate(queries)}


def test_dashboard_and_alerts_ask_for_metrics_that_there_are() -> None:
    """Those of vLLM are looked for on the page of a real server: `test_server`."""
    found = {metric for expression in asked().values() for metric in re.findall(r"unsee_\w+", expression)}
    assert found
    assert found <= exported()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="apt-get install prometheus")
def test_prometheus_reads_a_server_as_configured_and_answers_all_queries(tmp_path: Path) -> None:
    """The real program with the files of `deploy/`; only the target and the interval are other ones."""
    said = (DEPLOY / "prometheus.yaml").read_text().replace("15s", "1s")
    shutil.copy(DEPLOY / "alerts.yaml", tmp_path)
    with running(open_metrics=True) as server, socket.create_server(("127.0.0.1", 0)) as free:
        (tmp_path / "prometheus.yaml").write_text(said.replace("unsee:8000", f"127.0.0.1:{server.port}"))
        place = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        options = {"config.file": "prometheus.yaml", "web.listen-address": place, "storage.tsdb.path": "data"}
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:

            def query(expression: str) -> list[Any]:
                address = f"http://{place}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
                with urllib.request.urlopen(address, timeout=10) as answer:
                    return json.load(answer)["data"]["result"]

            def seen() -> bool:
                with suppress(OSError):
                    return bool(query("rate(unsee_requests_total[5m]) > 0"))
                assert process.poll() is None
                return False

            try:
                until(lambda: server.ask("hello") and seen(), 30)
                with urllib.request.urlopen(f"http://{place}/api/v1/rules", timeout=10) as answer:
                    (group,) = json.load(answer)["data"]["groups"]
                assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}
                for name, expression in asked().items():
                    found = query(expression)
                    if not re.search(r"[<>]| == |vllm:|fired", expression):
                        assert found, f"{name}: {expression}"
            finally:
                process.kill()


def test_the_dashboard_fits_the_screen_and_its_data_source_is_there() -> None:
    board = json.loads((DEPLOY / "grafana" / "unsee.json").read_text())
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    (source,) = parsed("grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"]
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    folder = parsed("grafana/provisioning/dashboards/unsee.yaml")[0]["providers"][0]["options"]["path"]
    assert any(m.split(":")[1].startswith(folder) for m in parsed("compose.yaml")[0]["services"]["grafana"]["volumes"])


def test_systemd_takes_the_unit(tmp_path: Path, options: Options) -> None:
    said = (DEPLOY / "unsee.service").read_text()
    assert f"--config {CONFIG}" in said
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", said, re.M)[0]) > drain(options) + 10
    assert "KillMode=mixed" in said, "the engine must outlive the answers that its front still gives"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    here = re.sub(
        r"^ExecStart=\S+", "ExecStart=/bin/true", re.sub(r"^(User|Group)=.*$", r"\1=root", said, flags=re.M), flags=re.M
    )
    unit = tmp_path / "unsee.service"
    unit.write_text(here)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "unsee.service" in done.stderr) == (0, False), done.stderr
