import pytest

from pellucid.core.errors import UsageError
from pellucid.serve.settings import ServerSettings, is_loopback

KEY = "sixteen-letters-and-more"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_an_address_beyond_this_machine_needs_a_key(host):
    with pytest.raises(UsageError, match="no key is set"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, key=KEY).host == host and not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_none(host):
    assert ServerSettings(host=host).key is None


@pytest.mark.parametrize(
    "wrong", [{"key": "short"}, {"key": "sixteen letters é"}, {"port": 70_000}, {"deadline_s": 0.0}, {"max_waiting": -1}]
)
def test_limits_that_allow_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        ServerSettings(**wrong)
