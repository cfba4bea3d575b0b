import pytest

from pellucid.core.errors import UsageError
from pellucid.serve.run import listen
from pellucid.serve.settings import ServerSettings


def test_an_address_that_is_taken_is_told():
    with listen(ServerSettings(port=0)) as taken:
        taken.listen()
        with pytest.raises(UsageError, match=r"cannot listen on 127\.0\.0\.1"):
            listen(ServerSettings(port=taken.getsockname()[1]))


def test_a_name_that_leads_nowhere_is_told():
    with pytest.raises(UsageError, match=r"no-such-host\.invalid"):
        listen(ServerSettings(host="no-such-host.invalid", key="sixteen-letters-and-more", port=0))
