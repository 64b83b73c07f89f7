"""Keeps notes by title, for ever or for some time. A program with a command line. It must never replace a note that it
was not told to delete, however many of it run at once."""

import sys

from componentize_py_types import Err
from moment import millis, shown
from wit_world import exports
from wit_world.imports import collections
from wit_world.imports.types import (
    Condition_Absent,
    Error_AlreadyExists,
    Error_Conflict,
    Expiry,
    Expiry_After,
    Expiry_Never,
    KeyRange,
    ListOptions,
    SetOptions,
)

USAGE = """\
usage: notes add [--for TIME] TITLE [TEXT..]
                                  keep a note; without TEXT, from stdin; with TIME, such as 90s, 5m, 12h
                                  or 7d, only for so long
       notes list [PREFIX]        the notes, the newest first: all, or those whose titles begin with PREFIX
       notes show TITLE           print a note
       notes delete TITLE         remove a note
"""

# Titles are keys behind this prefix, so that later kinds of records do not meet them.
NOTE = "note/"


class Run(exports.Run):
    """The export `wasi:cli/run` of the world. It fails, with exit code 1, by raising an `Err`."""

    def run(self) -> None:
        try:
            main(sys.argv[1:])
        except Usage:
            complaint = USAGE
        except (Problem, ValueError) as problem:
            complaint = f"notes: {problem}\n"
        except Err as error:
            complaint = f"notes: {reason(error.value)}\n"
        else:
            return
        sys.stderr.write(complaint)
        sys.stderr.flush()
        raise Err(None)


class Usage(Exception):
    """The command line makes no sense."""


class Problem(Exception):
    """What did not work, for a person."""


def main(args: list[str]) -> None:
    match args:
        case ["add", "--for", time, title, *text]:
            add(title, text, Expiry_After(millis(time)))
        case ["add", title, *text]:
            add(title, text, Expiry_Never())
        case ["list"]:
            list_notes("")
        case ["list", prefix]:
            list_notes(prefix)
        case ["show", title]:
            show(title)
        case ["delete", title]:
            delete(title)
        case ["help" | "--help" | "-h"]:
            write(USAGE.encode())
        case _:
            raise Usage


def add(title: str, text: list[str], expires: Expiry) -> None:
    if not title or any(char < " " or "\x7f" <= char <= "\x9f" for char in title):
        raise Problem("a title is one line of text, and not empty")
    note = " ".join(text).encode() if text else read()
    if not note:
        raise Problem("nothing to keep: the text is empty")
    if not note.endswith(b"\n"):
        note += b"\n"
    # The store asks and stores in one: nobody can come between.
    call = collections.SetCall(Condition_Absent(), SetOptions(expires, "text/plain", []))
    try:
        notes().set(NOTE + title, note, call)
    except Err as error:
        if isinstance(error.value, Error_AlreadyExists):
            raise Problem(f"there is already a note '{title}'; delete it first")
        raise


def notes() -> collections.Collection:
    """Where the notes are: the collection that is always there, so that `stash kv` shows them."""
    return collections.open("")


def list_notes(prefix: str) -> None:
    options = ListOptions(
        range=KeyRange(prefix=NOTE + prefix, start=None, end=None, pattern=None),
        start_after=None,
        reverse=False,
        limit=None,
        cursor=None,
    )
    store, entries = notes(), []
    while True:
        page = store.list_entries(options)
        entries += page.entries
        options.cursor = page.cursor
        if page.cursor is None:
            break
    # Versions, not times: two notes can be of one millisecond, but never of one commit.
    entries.sort(key=lambda entry: entry.metadata.version, reverse=True)
    lines = []
    for entry in entries:
        created, expires = entry.metadata.created, entry.metadata.expires
        until = "" if expires is None else f"  (until {shown(expires)})"
        lines.append(f"{'-' if created is None else shown(created)}  {entry.key.removeprefix(NOTE)}{until}\n")
    write("".join(lines).encode())


def show(title: str) -> None:
    note = notes().get(NOTE + title)
    if note is None:
        raise missing(title)
    write(note)


def delete(title: str) -> None:
    if not notes().delete(NOTE + title, None):
        raise missing(title)


def missing(title: str) -> Problem:
    return Problem(f"there is no note '{title}'")


def read() -> bytes:
    """All of standard input, whatever bytes it is."""
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise Problem(f"cannot read stdin: {error}")


def write(content: bytes) -> None:
    """Prints bytes as they were given; a reader that has seen enough is no error."""
    rest = memoryview(content)
    try:
        while rest:
            # It has no buffer here, and may take less than it is given.
            rest = rest[sys.stdout.buffer.write(rest) :]
    except BrokenPipeError:
        pass
    except OSError as error:
        raise Problem(f"cannot write the output: {error}")


def reason(error) -> str:
    """What the store said, for a person. A WIT function that returns an error raises it as the value of an `Err`."""
    return error.value.message if isinstance(error, Error_Conflict) else error.value
