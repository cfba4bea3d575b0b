"""Signals all processes it may, its parent and its group. (A signal that harms nobody: the test must not.)"""
# control

import os, signal
for act in (lambda: os.kill(-1, signal.SIGURG), lambda: os.kill(TARGET["victim"], signal.SIGURG), lambda: os.killpg(os.getpgid(TARGET["victim"]), signal.SIGURG)):
    try:
        act()
    except OSError:
        pass
