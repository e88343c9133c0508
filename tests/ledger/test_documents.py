"""What leaves the ledger signed, where it is anchored, and the read-only door."""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import BY, GROUND, HERE, received, switched_on

from unsee.errors import SaveError
from unsee.ledger import Ledger, Person
from unsee.ledger import documents as papers
from unsee.ledger.capacity import certified
from unsee.ledger.crypto import verified
from unsee.ledger.errors import AuditError, LedgerUnavailableError, PolicyError
from unsee.ledger.holding import add
from unsee.ledger.http import server


@contextmanager
def running(door: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=door.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.server_port}"
    finally:
        door.shutdown()
        door.server_close()
        thread.join()


def got(address: str, token: str = "") -> tuple[int, dict[str, Any]]:
    asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_head_pins_the_log_and_whoever_verifies_cannot_forge(ledger: Ledger, tmp_path: Path) -> None:
    head = papers.head(ledger)
    papers.deliver(head, tmp_path / "head.json")
    received(ledger, 1)
    kept = papers.read_signed(tmp_path / "head.json")
    assert papers.require_head(ledger, kept, ledger.public_key) == head["seq"] == 1
    for change in ({"seq": 2}, {"hash": "0" * 64}, {"signed": "2020"}, {"kind": "receipt"}, {"signature": "00" * 64},
                   {"signature": ""}, {"public_key": "00" * 32}, {"more": 1}):  # fmt: skip
        with pytest.raises(AuditError):
            papers.require_head(ledger, {**kept, **change}, ledger.public_key)
    with pytest.raises(SaveError, match="nothing is overwritten"):
        papers.deliver(head, tmp_path / "head.json")
    assert (tmp_path / "head.json").stat().st_mode & 0o777 == 0o600


def test_openssl_agrees(ledger: Ledger, tmp_path: Path) -> None:
    """Another implementation verifies the same bytes under the same key."""
    from cryptography.hazmat.primitives import serialization

    from unsee.ledger.framing import canonical, framed

    head = papers.head(ledger)
    body = {name: value for name, value in head.items() if name != "signature"}
    (tmp_path / "m").write_bytes(framed(b"unsee ledger document 1", canonical(body).encode()))
    (tmp_path / "s").write_bytes(bytes.fromhex(head["signature"]))
    public = ledger.keys.signing.public_key()
    (tmp_path / "k").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "k", "-rawin", "-in", "m", "-sigfile", "s"]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0


def test_a_head_is_posted_to_who_keeps_it(ledger: Ledger) -> None:
    kept: list[bytes] = []

    class Keeper(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path == "/heads" else 500)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Keeper)) as address:
        papers.deliver(papers.head(ledger), None, f"{address}/heads")
        assert papers.require_head(ledger, json.loads(kept[0]), ledger.public_key) == 1
        with pytest.raises(LedgerUnavailableError, match="did not take the head"):
            papers.deliver(papers.head(ledger), None, f"{address}/broken")
    for nowhere in (f"{address}/heads", "no address", "file:///etc/passwd"):
        with pytest.raises(LedgerUnavailableError):
            papers.deliver(papers.head(ledger), None, nowhere)


def test_the_door_tells_servers_what_is_in_force_and_requesters_how_theirs_stands(
    ledger: Ledger, tmp_path: Path
) -> None:
    on = switched_on(ledger, tmp_path / "a", 2)
    mine = add(ledger, Person(names=("Jane Doe",)), BY, **GROUND)
    receipt = papers.receipt(ledger, mine)
    assert verified(receipt, ledger.public_key, "receipt")["due"] == "2026-06-04"
    with running(server(ledger, "127.0.0.1", 0)) as address:
        status, snapshot = got(f"{address}/v1/snapshot")
        said = verified(snapshot, ledger.public_key, "snapshot")
        assert status == 200 and said["active_set"] == ledger.active().digest
        assert [r["id"] for r in said["requests"]] == [on.id] and said["seq"] == ledger.head().seq
        place = f"{address}/opendsr/requests/{mine.request.id}"
        assert got(place, receipt["token"])[1]["request_status"] == "pending"
        ledger.take("accept", mine.request.id, BY)
        status, one = got(place, receipt["token"])
        assert (status, one["request_status"], one["answered"]) == (200, "in_progress", None)
        assert one["expected_completion_time"].startswith("2026-06-04")
        wrong = [got(place), got(place, "wrong"), got(f"{address}/opendsr/requests/{on.id}", receipt["token"]),
                 got(f"{address}/opendsr/requests/r-0000000000000000", receipt["token"]),
                 got(place[:-1], receipt["token"]),
                 got(f"{address}/opendsr/requests/", receipt["token"])]  # fmt: skip
        assert {status for status, _ in wrong} == {401} and len({json.dumps(body) for _, body in wrong}) == 1
        assert got(f"{address}/etc/passwd")[0] == 404
        (ledger.home / "policy.toml").rename(tmp_path / "away")
        assert got(f"{address}/v1/snapshot")[0] == 503


def test_capacity_is_this_models_own_or_not_known(ledger: Ledger, tmp_path: Path) -> None:
    switched_on(ledger, tmp_path / "a", 2)
    path, digest = ledger.home / "capacity.json", "sha256:" + "0" * 64
    assert certified(ledger, ledger.active()) == "not known"
    path.write_text(json.dumps({"model_digest": digest, "certified": 30, "more": []}))
    assert certified(ledger, ledger.active()) == 30
    path.write_text(json.dumps({"model_digest": digest.replace("00", "11"), "certified": 100}))
    assert certified(ledger, ledger.active()) == "not known", "another model's run says nothing of this one"
    for wrong in ("", "[]", '{"certified": 3}', '{"model_digest": "a", "certified": -1}'):
        path.write_text(wrong)
        with pytest.raises(PolicyError):
            certified(ledger, ledger.active())


def test_without_the_library_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path; from unsee.ledger import Keys\n"
        "from unsee.extras import MissingExtraError\n"
        "try: Keys.make(Path('keys'), Path('ledger'))\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=HERE, check=False
    )
    assert "unsee[ledger]" in done.stdout, done.stderr
