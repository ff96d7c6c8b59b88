"""All rules on one variant, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any

from dsvm.audit.asking import is_asked
from dsvm.audit.behind import behind, relock
from dsvm.audit.coverage import left_out, second_choice
from dsvm.audit.dates import to_come
from dsvm.audit.ends import end_of_life, tool_ended
from dsvm.audit.evidence import Evidence
from dsvm.audit.exempting import RULE as VEX_RULE
from dsvm.audit.exempting import exempted
from dsvm.audit.held import held
from dsvm.audit.images import WHY as IMAGE_RULES
from dsvm.audit.judging import Rules, judge
from dsvm.audit.licensing import license, license_differs
from dsvm.audit.sarif import to_sarif
from dsvm.audit.vulnerabilities import advisories, vulnerability
from dsvm.model import LEVELS, Audit, Finding, Level

Rule = Callable[[Evidence], Iterable[Finding]]

# In the order in which people read them: one module each, or two where they look at the same.
RULES: tuple[Rule, ...] = (
    left_out, second_choice, behind, relock, held, to_come, end_of_life, tool_ended, license, license_differs,
    vulnerability, advisories,
)  # fmt: skip


def audit(evidence: Evidence, more: Iterable[Finding] | None = None, *, fail_on: Level | None = None) -> Audit:
    """What all rules find, and `more` findings on the image, the worst first, as the policy has it.

    `fail_on` takes the place of the policy's.
    """
    policy = evidence.catalog.policy
    found = [*exempted(evidence, [finding for rule in RULES for finding in rule(evidence)]), *(more or ())]
    rules = Rules(known_rules(), ran(evidence, image=more is not None))
    judged = judge(found, policy, variant=evidence.lock.variant, today=evidence.today, rules=rules)
    order = {name: number for number, name in enumerate(LEVELS)}
    judged.sort(key=lambda one: (one.waived is not None, order[one.level], one.rule, one.id, one.where.pin or ""))
    return Audit(
        schema="dsvm.audit/1",
        variant=evidence.lock.variant,
        lock=evidence.lock.digest,
        day=evidence.today,
        fail_on=fail_on or policy.fail_on,
        artefacts=len(evidence.artefacts),
        findings=tuple(judged),
    )


def known_rules() -> set[str]:
    """The names of all rules that a policy can speak of."""
    return {*map(rule_name, RULES), *IMAGE_RULES, VEX_RULE, "waiver"}


def ran(evidence: Evidence, *, image: bool) -> set[str]:
    """The names of the rules that have looked at something: without an image or a registry some have not."""
    idle = {rule_name(one) for one in (behind, relock) if not evidence.online}
    idle |= {rule_name(vulnerability)} if not is_asked(evidence) else set()
    return known_rules() - idle - (set() if image else {*IMAGE_RULES})


def sarif_report(audits: Sequence[Audit]) -> dict[str, Any]:
    """Audits as SARIF, with what each rule is about."""
    about = {rule_name(rule): (rule.__doc__ or "").partition("\n")[0] for rule in RULES}
    about[VEX_RULE] = "VEX statements can be read, and are for something, and for a while"
    about["waiver"] = "Waivers and levels of the policy are for something, and for a while"
    return to_sarif(audits, about, version("dsvm"))


def rule_name(rule: Rule) -> str:
    """The name that people see: end-of-life."""
    return rule.__name__.replace("_", "-")
