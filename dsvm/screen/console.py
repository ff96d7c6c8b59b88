"""What people see: messages, tables and errors on the terminal."""

from __future__ import annotations

import errno
import functools
import os
import re
import shlex
import signal
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

from dsvm.host import redact
from dsvm.model import DsvmError, FileError, InputError

Task = TypeVar("Task", bound=Callable[..., Any])
Given = TypeVar("Given", str, list[str])


def debugging() -> bool:
    """Whether invoke was asked for --debug: then errors come with their traceback."""
    return bool(os.environ.get("INVOKE_DEBUG"))


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that may get colours and be redrawn: https://no-color.org, and TERM=dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# What no foreign text may do to a terminal, or to its reader: move, colour, hide or turn around what stands there.
KEPT = "\n\t"
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def visible(text: str) -> str:
    """The text with an escape for every character that nobody sees, or that does something."""
    if text.isprintable():
        return text
    return "".join(
        one if one in KEPT or unicodedata.category(one) not in UNSEEN else one.encode("unicode_escape").decode()
        for one in text
    )


def warn(line: str) -> None:
    """A warning, on standard error: what a command gives stands alone on standard output."""
    sys.stderr.write(f"{coloured('warning:', 'yellow', sys.stderr)} {with_catalog(visible(redact(line)))}\n")
    sys.stderr.flush()


def note(line: str) -> None:
    """A line about what is going on, on standard error."""
    sys.stderr.write(visible(line) + "\n")
    sys.stderr.flush()


def echo(line: str) -> None:
    """A line of what a command gives, on standard output."""
    put(with_catalog(visible(line)))


def echo_marked(mark: str, colour: str, rest: str) -> None:
    """A line that begins with a word in a colour."""
    put(with_catalog(coloured(visible(mark), colour) + visible(rest)))


def put(line: str) -> None:
    """Write a line as it is, on standard output; FileError when nothing can be written there."""
    document(line + "\n")


def document(text: str) -> None:
    """A whole document of printable characters for programs, as it is, on standard output."""
    try:
        # one write: lines of several threads stay lines
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _nobody_reads()
        raise FileError(f"what is said here cannot be written: {error.strerror}") from error


COLOURS = {"green": 32, "yellow": 33, "red": 31, "dim": 2}


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where people read `stream` (standard output) on a terminal, plain everywhere else."""
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if is_terminal(stream or sys.stdout) else text


# a command of ours in a sentence, with its options: "Run: invoke lock --variant mine"
OUR_COMMAND = re.compile(r"\binvoke (?:compat --explain [\w.-]+|[a-z]+)((?: --[a-z][a-z-]*(?: [\w./:,+-]*[\w/])?)*)")
_folders: list[str] = []  # that --catalog named, for the commands that messages propose


def with_catalog(text: str) -> str:
    """`text` with the user's own --catalog in every command that it proposes."""

    def completed(found: re.Match[str]) -> str:
        known = any(option in found[1] for option in ("--catalog", "--list", "--help"))
        return found[0] if known else " ".join((found[0], *(f"--catalog {shlex.quote(one)}" for one in _folders)))

    return OUR_COMMAND.sub(completed, text) if _folders else text


def plain_errors(task: Task) -> Task:
    """Let `task` end an expected failure with its message, its hint and its exit code.

    Ctrl-C and TERM, by which CI cancels, end it too: whatever it holds, containers and folders, is cleaned up first.
    """

    @functools.wraps(task)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        signal.signal(signal.SIGTERM, _interrupt)
        # what goes into images is other users' to read, whoever builds; what is secret says so itself
        os.umask(0o022)
        _folders[:] = kwargs.get("catalog") or ()
        try:
            return task(*args, **kwargs)
        except DsvmError as error:
            if debugging():
                raise
            print(f"{coloured('error:', 'red', sys.stderr)} {visible(redact(error.message))}", file=sys.stderr)
            if error.hint:
                print(with_catalog(visible(redact(error.hint))), file=sys.stderr)
            sys.exit(error.exit_code)
        except (OSError, RecursionError, MemoryError, UnicodeError) as error:
            if debugging():
                raise
            if isinstance(error, BrokenPipeError):
                _nobody_reads()
                sys.exit(0)
            where = visible(f"{error.filename}: ") if isinstance(error, OSError) and error.filename else ""
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            if isinstance(error, OSError) and not error.filename and error.errno in (errno.ENOSPC, errno.EIO):
                _nobody_reads()
                where = "what is said here cannot be written: "
            print(f"{coloured('error:', 'red', sys.stderr)} {where}{why} (--debug shows where)", file=sys.stderr)
            sys.exit(FileError.exit_code)
        except KeyboardInterrupt as error:
            print("\ninterrupted; what was fetched and built so far is kept", file=sys.stderr)
            # as shells say it: 128 and the number of the signal
            sys.exit(128 + (error.args[0] if error.args else signal.SIGINT))

    return wrapped  # type: ignore[return-value]


def _nobody_reads() -> None:
    """Let what is still to be written to standard output go nowhere: its reader, `head` for one, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def say_what_was_meant(argv: Sequence[str], commands: Mapping[str, bool]) -> None:
    """End `invoke build cpu-debian`, of which invoke says only that it has no idea, with the command that was meant.

    `commands` tells of each whether it takes words without an option. Of those invoke takes `--help` for the first.
    """
    program, *words = argv
    if Path(program).name not in ("invoke", "inv") and Path(program).parent.name != "invoke":
        return
    place = next((number for number, word in enumerate(words) if word in commands), len(words))
    if place < len(words) and commands[words[place]]:
        if words[place + 1 :] in (["--help"], ["-h"]):
            os.execv(sys.executable, [sys.executable, "-m", "invoke", "--help", words[place]])  # noqa: S606 -- ourselves
        return
    stray = "".join(words[place + 1 : place + 2])
    if stray and not stray.startswith("-") and stray not in commands:
        option = {"compat": "explain", "test": "which", "lint": "only"}.get(words[place], "variant")
        meant = shlex.join(["invoke", *words[: place + 1], f"--{option}", *words[place + 1 :]])
        print(f"{coloured('error:', 'red', sys.stderr)} '{stray}' is no option\nWrite: {meant}", file=sys.stderr)
        sys.exit(InputError.exit_code)


def number(option: str, text: str, least: int = 1) -> int:
    """The value of an option that is a whole number from `least` up; invoke itself would end in a traceback."""
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise InputError(f"--{option}: '{text}' is no whole number from {least} up")
    return int(text)


def given(option: str, value: Given | None) -> Given:
    """The value of an option that is never left out."""
    if not value:
        raise InputError(f"--{option} is missing")
    return value


def known_format(format: str, known: Sequence[str]) -> str:
    """`format`; InputError when it is none of the `known` ones."""
    if format not in known:
        raise InputError(f"unknown format '{format}'", hint=f"Known formats: {', '.join(known)}")
    return format


def show_files(paths: Iterable[Path]) -> None:
    """A line for each file that was written."""
    for path in paths:
        echo(str(path))


def not_given(options: Mapping[str, object], why: str) -> None:
    """Raise InputError for the first of these options that has a value: `why` it has no place here."""
    for option, value in options.items():
        if value:
            raise InputError(f"--{option} has no place with {why}", hint="Leave it out")


def names(option: str, text: str) -> list[str]:
    """The value of an option that is one name or more, separated by commas."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise InputError(f"--{option} names nothing", hint=f"Leave --{option} out, or name one or more: a,b")
    return found


def terminal_width() -> int:
    """Columns that a line may take: the terminal's, or as many as anything needs where there is none."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else 1000


def table(
    title: str, columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = (), wraps: tuple[int, ...] = ()
) -> None:
    """Print a table; values are shown as they are, without markup.

    Where the terminal is too narrow, the columns `wraps` and the last one go on in further lines; nothing is cut off.
    A pipe gets a line for each row.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        may_wrap = number in wraps or number == len(columns) - 1
        shown.add_column(
            column,
            justify="right" if number in right else "left",
            no_wrap=not may_wrap,
            overflow="fold",
            min_width=0 if may_wrap else max(map(len, (*column.split("\n"), *(row[number] for row in rows)))),
        )
    for row in rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    console = Console(width=terminal_width(), force_terminal=is_terminal(sys.stdout))
    with console.capture() as capture:
        console.print(shown)
    put(with_catalog("\n".join(line.rstrip() for line in capture.get().splitlines())))


def paragraph(text: str) -> None:
    """Say prose, its lines broken between words where a terminal is too narrow for them."""
    for line in visible(text).split("\n"):
        echo("\n".join(textwrap.wrap(line, terminal_width(), break_on_hyphens=False)) or "")
