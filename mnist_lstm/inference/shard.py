"""Deal pictures to machines: each decides by itself, from names and indices, which are its own."""

import argparse
import hashlib
import os
import sys
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number``, from 1, of ``total``. Every picture is in one of them, whatever else there is to read.

    Of twice as many shards, ``number`` and ``number + total`` together hold what this one holds.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text such as 2/8; for argparse."""
        number, slash, total = text.partition("/")
        if slash and number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total):
            return cls(int(number), int(total))
        raise argparse.ArgumentTypeError(f"{text}: must be i/n with 1 <= i <= n, such as 2/8")

    def indices(self, name: str) -> range:
        """Return which pictures of a file are in this shard: every ``total``-th, from one that depends on its name."""
        return range((self.number - 1 - _digest(name)) % self.total, sys.maxsize, self.total)

    def has(self, name: str) -> bool:
        """Return whether a file with this name is in this shard as a whole."""
        return 0 in self.indices(name)


def _digest(name: str) -> int:
    """Return a number that is the same on every machine, which `hash` is not."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=8).digest())
