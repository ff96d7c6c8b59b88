"""What the ledger of an image says, as findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dsvm.audit.budgets import size_findings
from dsvm.audit.evidence import Evidence
from dsvm.host import Engine
from dsvm.ledger import LEVELS, Account, account, recorded
from dsvm.model import DsvmError, Finding, Plan, Where

WHY = {
    "file-unexplained": "nobody knows where it comes from, or what it does",
    "file-changed": "it is not what was locked, whatever made it so",
    "file-missing": "what was locked is not all there",
    "file-mode": "others than the package's makers decided who may do what with it",
    "file-owner": "others than the package's makers decided whose it is",
    "file-stale": "Python runs it in the place of the source that people read",
    "setuid": "whoever runs it has its owner's rights",
    "setgid": "whoever runs it has its group's rights",
    "capability": "whoever runs it can do what only root should",
    "writable": "any user of the image can change what all others run",
    "account": "accounts are ways in",
    "sudo": "who may be root may do everything",
    "ca-bundle": "an authority can vouch for any server",
    "hidden-program": "a command is not the program that people think it is",
    "secret": "whoever has the image has it too",
    "unread": "what nobody looked into is not known",
    "leftover": "it is of no use, and tells of those who made the image, or makes its copies alike",
    "service": "whoever reaches a service can run whatever they like",
    "broken-link": "what it should lead to is not in the image",
    "library": "it does not start, or fails when it is first used",
    "size": "whoever pulls the image waits for it, and every host keeps it",
    "settings": "an engine starts it otherwise than it was planned and checked",
    "layers": "the image is not the one that was built and verified",
    "ledger": "what is not accounted for is not known",
}


ACTIONS: Mapping[str, str] = {
    "account": "take it out of what makes it; people get accounts where the image runs",
    "ca-bundle": "take it out; who runs the image says whom to trust beside the usual ones, with DSVM_CA_BUNDLE",
    "leftover": "remove it in the step that makes it; a later layer would only hide it",
    "library": "add the package that has it, or say in the tool's manifest why it may lack (lacks)",
    "secret": "take it out and change it: older copies of the image have it; hand it over when it starts",
    "service": "take the setting out; what a service of ours needs stands in its tool's manifest",
    "unread": "see to the files that nothing explains first",
}


def image_findings(name: str, plan: Plan, evidence: Evidence, engine: Engine, folder: Path) -> Iterator[Finding]:
    """Findings on the image `name`; `folder` is where its build left what it recorded."""
    found = account(name, plan, evidence.store, engine, layers=recorded(folder, plan), echo=evidence.echo)
    yield from _silent(found)
    yield from size_findings(found, evidence)
    for difference in found.differences:
        rule = difference.verdict if difference.verdict in WHY else f"file-{difference.verdict}"
        yield Finding(
            rule=rule,
            id=difference.path,
            level=LEVELS.get(difference.verdict, "error"),
            what=f"{difference.path}: {difference.what}",
            where=Where(
                path=difference.path if difference.path.startswith("/") else None, pin=difference.who[:500] or None
            ),
            why=WHY[rule],
            action=ACTIONS.get(rule, "look at what made it so; build the image again: invoke build --no-cache"),
            source="the ledger of the image, by the artefacts of the lock",
        )


def no_image(name: str, error: DsvmError) -> Finding:
    """That there is nothing to look at, where other variants have images."""
    return Finding(
        rule="ledger",
        id="image",
        level="unknown",
        what=f"{name} was not looked at: {error.message}",
        why=WHY["ledger"],
        action=error.hint,
        source="the engine",
    )


def _silent(found: Account) -> Iterator[Finding]:
    for section, ecosystem in found.silent.items():
        yield Finding(
            rule="ledger",
            id=section,
            level="unknown",
            what=f"{section}: packages of {ecosystem} do not tell which files they bring; {_untold(found, section)}",
            where=Where(section=section),
            why=WHY["ledger"],
            action="read the findings on its folder with that in mind",
            source="the ledger of the image",
        )


def _untold(found: Account, section: str) -> str:
    if section in found.untold:
        return f"nothing else explains {found.untold[section]} of the image"
    return "those are called unexplained"
