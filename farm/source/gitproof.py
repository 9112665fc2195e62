"""What an archive of a commit brings so that its files can be held against the commit's id.

A commit object names a tree object, which names what is in a folder, by their hashes.  With
these two kinds of objects, whoever has the files can compute everything up to the commit
(`farm.inside.unpack.Checkout` does).  The proof is these objects one after the other, as git
hashes them: ``commit <size>``, a zero byte, the content, then the next.
"""

from __future__ import annotations

import re

from farm.errors import FetchError

_ID_LENGTH = 40
_ANSWER = re.compile(rb"[0-9a-f]{40} ((?:commit|tree) (\d+))\n")

LIST = ("rev-list", "--objects", "--no-walk", "--filter=blob:none")
"""git with these words and a commit says what it is made of, but for the contents of files."""
READ = ("cat-file", "--batch")
"""git with these words, and the ids of what it said, gives what `proof` takes."""


def ids(listing: bytes) -> bytes:
    """The ids of what git lists, one a line, in an order that no git can change."""
    return b"".join(sorted({line[:_ID_LENGTH] + b"\n" for line in listing.split(b"\n")[:-1]}))


def proof(answer: bytes) -> bytes:
    """The proof, from the objects as git gives them.

    Raises:
        FetchError: git does not have one of them, or gave something else.
    """
    objects, start = [], 0
    while start < len(answer):
        head = _ANSWER.match(answer, start)
        if head is None:
            raise FetchError(f"git gave no commit and no tree: {answer[start : start + 60]!r}")
        end = head.end() + int(head[2])
        objects.append(head[1] + b"\0" + answer[head.end() : end])
        start = end + 1
    return b"".join(objects)
