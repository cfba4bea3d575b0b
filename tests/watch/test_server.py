import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.watch.run import RunWatch
from pellucid.watch.server import PageServer


@pytest.fixture
def server(training: Callable, tmp_path: Path) -> Iterator[PageServer]:
    training().train(1, 20)
    with PageServer([RunWatch(tmp_path / "run")], 0, every_s=0.0) as opened:
        thread = threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = (answer.status, dict(answer.getheaders()), answer.read())
    connection.close()
    return found


def test_the_page_and_its_data_are_served(server: PageServer) -> None:
    status, headers, body = ask(server, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!doctype html>")
    assert "script-src 'sha256-" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    status, headers, body = ask(server, "/stage?run=0&stage=pretrain")
    assert (status, headers["Content-Type"], headers["X-Content-Type-Options"]) == (200, "application/json", "nosniff")
    assert headers["Cache-Control"] == "no-store"
    assert len(json.loads(body)["steps"]) == 20
    assert json.loads(ask(server, "/runs")[2])["runs"][0]["at_work"] == "pretrain"


def test_it_listens_on_this_machine_only(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("path", ["/", "/runs", "/stage?run=0"])
def test_names_that_others_can_point_here_and_pages_of_other_sites_are_refused(server: PageServer, path: str) -> None:
    assert ask(server, path, Host="evil.example")[0] == 403
    assert ask(server, path, Host="evil.example:8100")[0] == 403
    assert ask(server, path, Sec_Fetch_Site="cross-site")[0] == 403
    status, headers, _ = ask(server, path, Host="localhost:8100")
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/etc/passwd", 404), ("/../metrics.jsonl", 404), ("/stage?run=9", 400), ("/stage?run=x", 400), ("/stage?run=0&stage=..", 400),
     ("/stage?have=-5&generation=1&stride=1", 200)],
)  # fmt: skip
def test_what_is_not_there_is_said(server: PageServer, path: str, status: int) -> None:
    got, _, body = ask(server, path)
    assert got == status
    assert b"Traceback" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_questions_is_taken(server: PageServer, method: str) -> None:
    assert ask(server, "/runs", method)[0] == 501


def test_a_port_that_is_taken_is_told(server: PageServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--port: got"):
        PageServer([RunWatch(tmp_path / "run")], server.server_address[1])


def test_what_cannot_be_worked_out_is_answered_with_the_reason(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("a\x1b[31mname")

    monkeypatch.setattr(server.feed, "runs", broken)
    status, _, body = ask(server, "/runs")
    assert status == 500
    assert json.loads(body)["error"]["message"].startswith("this run's files cannot be shown: KeyError: 'a")
    assert b"Traceback" not in body
    assert ask(server, "/stage?run=0")[0] == 200, "the server goes on"
