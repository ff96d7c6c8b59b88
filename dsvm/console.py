"""What people see: messages, tables and errors on the terminal."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from dsvm.errors import DsvmError, InputError

Task = TypeVar("Task", bound=Callable[..., Any])


def debugging() -> bool:
    """Whether invoke was asked for --debug: then errors come with their traceback."""
    return bool(os.environ.get("INVOKE_DEBUG"))


def say(line: str) -> None:
    # one write: lines of several threads stay lines
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


COLOURS = {"green": 32, "yellow": 33, "red": 31, "dim": 2}


def coloured(text: str, colour: str) -> str:
    """`text` in a colour where people read it on a terminal, plain everywhere else."""
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if sys.stdout.isatty() else text


def plain_errors(task: Task) -> Task:
    """Let `task` end an expected failure with its message, its hint and its exit code.

    Ctrl-C and TERM, by which CI cancels, end it too: whatever it holds, containers and folders, is cleaned up first.
    """

    @functools.wraps(task)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            return task(*args, **kwargs)
        except DsvmError as error:
            if debugging():
                raise
            red, reset = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
            print(f"{red}error:{reset} {error.message}", file=sys.stderr)
            if error.hint:
                print(error.hint, file=sys.stderr)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # the reader, `head` for one, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt as error:
            print("\ninterrupted; what was fetched and built so far is kept", file=sys.stderr)
            # as shells say it: 128 and the number of the signal
            sys.exit(128 + (error.args[0] if error.args else signal.SIGINT))

    return wrapped  # type: ignore[return-value]


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def number(option: str, text: str) -> int:
    """The value of an option that is a whole number from 1 up; invoke itself would end in a traceback."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InputError(f"--{option}: '{text}' is no whole number from 1 up")
    return int(text)


def terminal_width() -> int:
    """Columns that a line may take: the terminal's, or as many as anything needs where there is none."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else 1000


def table(title: str, columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = ()) -> None:
    """Print a table, one line for a row; values are shown as they are, without markup.

    The last column gives way where the terminal is too narrow; a pipe gets everything.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        last = number == len(columns) - 1
        shown.add_column(
            column,
            justify="right" if number in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=0 if last else max(map(len, (*column.split("\n"), *(row[number] for row in rows)))),
        )
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console = Console(width=terminal_width())
    with console.capture() as capture:
        console.print(shown)
    say("\n".join(line.rstrip() for line in capture.get().splitlines()))
