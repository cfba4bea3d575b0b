import os
import signal
import threading

from pellucid.core.signals import signals_handled


def test_signals_go_to_the_handler_inside_the_block_and_to_the_former_one_after_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    received: list[int] = []
    with signals_handled(lambda number, _: received.append(number), signal.SIGTERM, signal.SIGUSR1):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert received == [signal.SIGTERM, signal.SIGUSR1]
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found: list[object] = []

    def work() -> None:
        with signals_handled(lambda *_: None, signal.SIGTERM):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
