import os
import signal
import subprocess
import sys

import httpx
import pytest

from pellucid.core.errors import UsageError
from pellucid.serve.run import listen
from pellucid.serve.settings import ServerSettings


def test_an_address_that_is_taken_is_told():
    with listen(ServerSettings(port=0)) as taken:
        taken.listen()
        with pytest.raises(UsageError, match="cannot listen on 127.0.0.1"):
            listen(ServerSettings(port=taken.getsockname()[1]))
