import threading
import time

import pytest

from pellucid.evals.endpoint.parallel import at_once, in_parallel
from pellucid.evals.local import LocalModel


def test_order_is_kept_and_no_more_run_at_once_than_allowed():
    running, most, lock = 0, 0, threading.Lock()

    def slow(item, stop):
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        time.sleep(0.002 * (9 - item))
        with lock:
            running -= 1
        return item * item

    done = []
    assert in_parallel(slow, range(10), 3, done.append) == [n * n for n in range(10)]
    assert most == 3
    assert sum(done) == 10


def test_after_an_error_nothing_new_is_begun_and_waits_end():
    begun, left = [], threading.Event()

    def ask(item, stop):
        begun.append(item)
        if item == 0:
            time.sleep(0.02)
            raise ValueError("dead")
        if stop.wait(10):
            left.set()

    with pytest.raises(ValueError, match="dead"):
        in_parallel(ask, range(50), 2)
    assert left.wait(1)
    assert begun == [0, 1]


def test_nothing_asked_is_nothing_answered():
    assert in_parallel(lambda item, stop: item, [], 4) == []


def test_an_endpoint_is_asked_for_a_few_rounds_at_once_and_a_model_in_this_process_for_all(between, open_at, tiny):
    endpoint = open_at(between(lambda path, body: (200, {"data": [{"id": "m"}]})).url, parallel=3)
    assert (at_once(endpoint, 32), at_once(endpoint, 4)) == (6, 4)
    assert at_once(LocalModel(tiny.model, tiny.tokenizer), 32) == 32
