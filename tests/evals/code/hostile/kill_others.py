"""Sends signals to processes of the user's."""
# control

import os, signal
for target in (TARGET["victim"],):
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
        os.kill(target, number)
