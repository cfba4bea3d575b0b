import logging

import pytest

from pellucid.export.remarks import without_remarks


def test_errors_are_still_said_and_everything_is_as_before_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    one, other = logging.getLogger("pellucid.test.one"), logging.getLogger("pellucid.test.other")
    one.setLevel(logging.DEBUG)
    with pytest.raises(KeyError), without_remarks(one.name, other.name):
        for logger in (one, other):
            logger.warning("a remark")
            logger.error("an error")
        raise KeyError
    assert [record.getMessage() for record in caplog.records] == ["an error", "an error"]
    assert (one.level, other.level) == (logging.DEBUG, logging.NOTSET)
