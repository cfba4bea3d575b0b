import pytest

from pellucid.serve.errors import ApiError
from pellucid.serve.guard import Guard
from pellucid.serve.settings import ServerSettings

JSON = (b"content-type", b"application/json")


def status(guard, headers, method="GET", path="/v1/models"):
    try:
        guard.check(method, path, headers)
    except ApiError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:8000", b"localhost", b"LOCALHOST.:80", b"[::1]:8000", b"10.0.0.4", b"chat.example:80"]
)
def test_addresses_and_known_names_are_hosts(host):
    assert status(Guard(ServerSettings(allowed_hosts=("Chat.example",))), [(b"host", host)]) == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"evil.example")],
        [(b"host", b"localhost.evil.example")],
        [(b"host", b"127.0.0.1.evil.example:8000")],
        [(b"host", b"127.0.0.1"), (b"host", b"evil.example")],
        [(b"host", b"")],
        [(b"host", b"evil.example@127.0.0.1")],
        [(b"host", b"[evil.example]")],
    ],
)
def test_other_names_are_refused_as_a_page_may_have_bound_them_to_this_machine(headers):
    assert status(Guard(ServerSettings()), headers) == 403


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b""])
def test_a_body_that_a_page_may_send_unasked_is_refused(kind):
    headers = [(b"host", b"localhost"), (b"content-type", kind)]
    assert status(Guard(ServerSettings()), headers, "POST") == 415


def test_pages_of_other_sites_are_refused_and_ours_are_not():
    for site, expected in ((b"cross-site", 403), (b"same-site", 403), (b"same-origin", 200), (b"none", 200)):
        assert status(Guard(ServerSettings()), [(b"host", b"localhost"), JSON, (b"sec-fetch-site", site)], "POST") == expected


def test_a_link_of_another_site_may_lead_to_the_page_and_to_nothing_else():
    guard = Guard(ServerSettings())
    link = [(b"host", b"localhost"), (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]
    assert status(guard, link, path="/") == 200
    assert status(guard, link, path="/v1/models") == status(guard, [*link, JSON], "POST", "/") == 403
    assert status(guard, [*link[:2], (b"sec-fetch-mode", b"no-cors")], path="/") == 403


def test_only_the_whole_key_opens_and_two_keys_open_nothing():
    key = "a-key-of-twenty-characters"
    guard = Guard(ServerSettings(key=key))
    host = (b"host", b"localhost")
    right = (b"authorization", b"bearer " + key.encode())
    assert status(guard, [host, right]) == 200
    assert status(guard, [host]) == status(guard, [host, right, right]) == 401
    for wrong in (key[:-1], key + "x", "é" * 26, ""):
        assert status(guard, [host, (b"authorization", b"Bearer " + wrong.encode())]) == 401
    assert status(guard, [host], path="/health") == 200
    assert status(guard, [host], path="/metrics") == status(guard, [host], path="/openapi.json") == 401
    assert status(guard, [host], path="/") == 200  # the page itself holds nothing
