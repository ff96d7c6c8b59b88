"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell that runs the tests in the background has them ignore Ctrl-C, and with them every program that they start
# and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
