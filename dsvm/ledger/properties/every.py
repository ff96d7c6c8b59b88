"""All properties of an image, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dsvm.ledger.comparing import Difference
from dsvm.ledger.properties.accounts import accounts, sudoers
from dsvm.ledger.properties.authorities import authorities
from dsvm.ledger.properties.leftovers import leftovers
from dsvm.ledger.properties.libraries import libraries
from dsvm.ledger.properties.programs import broken_links, hidden_programs
from dsvm.ledger.properties.rights import rights
from dsvm.ledger.properties.secrets import secrets
from dsvm.ledger.properties.services import services
from dsvm.ledger.properties.sight import Sight

PROPERTIES: tuple[Callable[[Sight], Iterator[Difference]], ...] = (
    rights, accounts, sudoers, authorities, hidden_programs, broken_links, libraries,
    secrets, leftovers, services,
)  # fmt: skip


def every(sight: Sight) -> Iterator[Difference]:
    """What all of them find."""
    for one in PROPERTIES:
        yield from one(sight)
