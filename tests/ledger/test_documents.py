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
from unsee.ledger.canonical import canonical
from unsee.ledger.capacity import certified
from unsee.ledger.errors import AuditError, LedgerUnavailableError, PolicyError
from unsee.ledger.holding import add
from unsee.ledger.http import server
from unsee.ledger.keys import verified


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
        with error:
            return error.code, json.load(error)


def test_a_head_pins_the_log_and_whoever_verifies_cannot_forge(ledger: Ledger, tmp_path: Path) -> None:
    head, place = papers.head(ledger), tmp_path / "head.json"
    papers.save_private(place, papers.as_file(head))
    received(ledger, 1)
    kept = papers.read_signed(place)
    assert papers.require_head(ledger, kept, ledger.public_key) == head["seq"] == 1
    for change in ({"seq": 2}, {"hash": "0" * 64}, {"signed": "2020"}, {"kind": "receipt"}, {"signature": "00" * 64},
                   {"signature": ""}, {"public_key": "00" * 32}, {"more": 1}):  # fmt: skip
        with pytest.raises(AuditError):
            papers.require_head(ledger, {**kept, **change}, ledger.public_key)
    with pytest.raises(AuditError, match="does not fit"):
        papers.require_head(ledger, ledger.keys.signed("head", {"ledger": ledger.id}), ledger.public_key)
    with pytest.raises(SaveError, match="othing is overwritten"):
        papers.save_private(place, b"")
    assert place.stat().st_mode & 0o777 == 0o600


def test_openssl_agrees(ledger: Ledger, tmp_path: Path) -> None:
    """Another implementation verifies the same bytes under the same key."""
    head = papers.head(ledger)
    signature = bytes.fromhex(head.pop("signature"))
    prefix = bytes.fromhex("302a300506032b6570032100")  # of an Ed25519 public key in DER, RFC 8410
    files = {"m": canonical(head), "s": signature, "k": prefix + bytes.fromhex(ledger.public_key)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "k", "-rawin", "-in", "m"]
    done = subprocess.run([*command, "-sigfile", "s"], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


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
        papers.post(papers.head(ledger), f"{address}/heads")
        assert papers.require_head(ledger, json.loads(kept[0]), ledger.public_key) == 1
        with pytest.raises(LedgerUnavailableError, match="did not take the head"):
            papers.post(papers.head(ledger), f"{address}/broken")
        Keeper.protocol_version = "nonsense"
        with pytest.raises(LedgerUnavailableError, match="otherwise than HTTP"):
            papers.post(papers.head(ledger), f"{address}/heads")
    for nowhere in (f"{address}/heads", "no address", "file:///etc/passwd"):
        with pytest.raises(LedgerUnavailableError):
            papers.post(papers.head(ledger), nowhere)


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
                 got(place[:-3], receipt["token"])]  # fmt: skip
        assert all(one == (401, wrong[0][1]) for one in wrong), "nothing tells a known id from an unknown one"
        assert verified(got(f"{address}/v1/head")[1], ledger.public_key, "head") and got(f"{address}/etc")[0] == 404
        (ledger.home / "ledger.db").rename(ledger.home / "away")
        assert got(f"{address}/v1/snapshot")[0] == 503


@pytest.mark.parametrize(("text", "said"), [
    ('{"model_digest": "DIGEST", "certified": 7, "rows": []}', 7),
    ('{"model_digest": "sha256:other", "certified": 7}', "not known"), ("", "not known"),
    ('{"model_digest": "DIGEST", "certified": -1}', None), ("no JSON", None),
])  # fmt: skip
def test_how_many_are_certified_is_this_models_own_figure(
    ledger: Ledger, tmp_path: Path, text: str, said: int | str | None
) -> None:
    on = switched_on(ledger, tmp_path / "a", 2).in_force
    assert on is not None
    if text:
        (ledger.home / "capacity.json").write_text(text.replace("DIGEST", on.model_digest))
    if said is not None:
        assert certified(ledger, ledger.active()) == said
    else:
        with pytest.raises(PolicyError, match="is no capacity run"):
            certified(ledger, ledger.active())


@pytest.mark.parametrize("library", ["cryptography", "sqlalchemy"])
def test_without_the_library_the_error_says_how_to_get_it(tmp_path: Path, library: str) -> None:
    code = (
        f"import sys; sys.modules['{library}'] = None\nfrom unsee.extras import MissingExtraError\n"
        "try: from unsee.ledger import Keys\nexcept MissingExtraError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=HERE, check=False)
    assert "unsee[ledger]" in done.stdout, done.stderr
