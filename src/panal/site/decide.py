"""Whether a run may work at the site, and whether a message may leave it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from panal.api import names
from panal.api.quantity import in_bytes
from panal.site.budgets import Usage, overlap, overspent
from panal.site.codes import WAITS, Code
from panal.site.policy import Approval, Day, Disclosure, Hours, Protection, SitePolicySpec, SiteRule, zone
from panal.site.request import Asked

DAYS = tuple(Day)
COUNTED = "flower"  # the framework whose messages are read: rounds and bytes of others are not known before they leave
# The framework whose tools heed PANAL_APP_HASH, PANAL_MINIMUM_EXAMPLES and PANAL_PRIVACY. In the Pod of another one they are mere words.
ENFORCES = COUNTED
MIDNIGHT_TO_MIDNIGHT = timedelta(days=1)


class Verdict(StrEnum):
    ALLOWED = "Allowed"
    WAITS = "Waits"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """`code` is None if it is allowed. `text` is for the owner of the site, and never leaves it. `rule`: the name of the rule that fits."""

    code: Code | None
    text: str
    rule: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.code is None:
            return Verdict.ALLOWED
        return Verdict.WAITS if self.code in WAITS else Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Left:
    """What of a run has left the site: the bytes of its requests, and its rounds: the most replies of one type, since a round gets at most
    one, and what a reply says about its round is the app's word. `usage`: of the privacy budgets, by all runs."""

    bytes: int = 0
    rounds: int = 0
    usage: Usage = field(default_factory=Usage)


NOTHING = Left()


def decide(policy: SitePolicySpec | None, asked: Asked, now: datetime, left: Left = NOTHING) -> Decision:
    """Whether the run may work here now. `policy` is None if the site has none. `now` knows its zone."""
    if policy is None:
        return Decision(Code.NO_SITE_POLICY, f"there is no SitePolicy {names.SITE_POLICY}")
    if asked.id in policy.refused:
        return Decision(Code.REFUSED_BY_OWNER, f"the request {asked.id} is in spec.refused")
    strangers = [image for image in asked.panal_images if not _fits(image, policy.panal_images)]
    if strangers:
        return Decision(Code.PANAL_IMAGE_NOT_ALLOWED, f"{strangers[0]} is not in spec.panalImages")
    found = _by_rules(policy, asked, now, left)
    if policy.suspend and found.verdict is not Verdict.REFUSED:
        return Decision(Code.SUSPENDED, "spec.suspend is true", found.rule)
    return found


def _by_rules(policy: SitePolicySpec, asked: Asked, now: datetime, left: Left) -> Decision:
    """The decision of the first rule that fits; if none does, that of the rule whose conditions hold the furthest."""
    nearest, reached = Decision(Code.NO_SITE_POLICY, "the SitePolicy has no rules"), -1
    for rule in policy.rules:
        broken = next(((held, *each) for held, each in enumerate(_conditions(rule, asked)) if each[1]), None)
        if broken is None:
            return _within(policy, rule, asked, now, left)
        held, code, text = broken
        if held > reached:
            nearest, reached = Decision(code, f"rule {rule.name}: {text}", rule.name), held
    return nearest


def _conditions(rule: SiteRule, asked: Asked) -> Iterable[tuple[Code, str]]:
    """The conditions of a rule in their order, each with what does not hold, or an empty text."""
    data = any(covers(each, asked.data) for each in rule.data)
    yield Code.DATA_NOT_ALLOWED, "" if data else f"{asked.data or 'a run without data'} is not in data"
    yield Code.NAMESPACE_NOT_ALLOWED, _missing(asked.namespace, rule.namespaces, "namespaces")
    yield Code.REQUESTER_NOT_ALLOWED, _missing(asked.requester, rule.requesters, "requesters")
    yield Code.PURPOSE_NOT_ALLOWED, _missing(asked.purpose, rule.purposes, "purposes")
    yield Code.IMAGE_NOT_ALLOWED, "" if _fits(asked.image, rule.images) else f"{asked.image} is not in images"
    unable = "" if asked.framework == ENFORCES else f"the tools of {asked.framework or 'an unknown framework'} do not enforce "
    of_app = f"{unable}an app hash" if unable and rule.app_hashes else _missing(asked.app_hash, rule.app_hashes, "appHashes")
    yield Code.APP_NOT_ALLOWED, of_app
    secrets = [each for each in asked.secrets if each not in rule.secrets]
    yield Code.SECRET_NOT_ALLOWED, f"the Secret {secrets[0]} is not in secrets" if secrets else ""
    noise = rule.minimum_noise_multiplier or 0.0
    strong = not noise or (not unable and asked.noise_multiplier >= noise)
    weak = f"{unable}noise" if unable else f"the run's noiseMultiplier is {asked.noise_multiplier:g}"
    yield Code.PRIVACY_TOO_WEAK, "" if strong else f"{weak}; {noise:g} is needed"
    masked = rule.secure_aggregation is Protection.OPTIONAL or (not unable and asked.aggregates_securely)
    bare = f"{unable}secureAggregation" if unable else "the run has no secureAggregation"
    yield Code.SECURE_AGGREGATION_REQUIRED, "" if masked else f"{bare}, which is Required"
    yield Code.TOO_FEW_CLUSTERS, _too_few_clusters(rule, asked)
    least = rule.minimum_examples or 0
    enough = not least or (not unable and asked.minimum_examples >= least)
    few = f"{unable}minimumExamples" if unable else f"the run's minimumExamples is {asked.minimum_examples}"
    yield Code.TOO_FEW_EXAMPLES, "" if enough else f"{few}; {least} is needed"


def _too_few_clusters(rule: SiteRule, asked: Asked) -> str:
    least = rule.minimum_clusters or 0
    if asked.minimum_clusters < least:
        return f"the run's minAvailableClients is {asked.minimum_clusters}; {least} is needed"
    if rule.secure_aggregation is Protection.REQUIRED and asked.threshold < least:
        return f"the run's threshold is {asked.threshold or 'not set'}; {least} is needed"
    return ""


def _within(policy: SitePolicySpec, rule: SiteRule, asked: Asked, now: datetime, left: Left) -> Decision:
    """What a rule that fits says about approval, hours and limits."""
    if asked.framework != COUNTED and (rule.max_rounds is not None or rule.max_bytes is not None):
        text = f"rule {rule.name}: maxRounds and maxBytes need the framework {COUNTED}, not {asked.framework or 'an unknown one'}"
        return Decision(Code.LIMITS_NOT_SUPPORTED, text, rule.name)
    if rule.max_rounds is not None and left.rounds > rule.max_rounds:
        return Decision(Code.ROUNDS_EXHAUSTED, f"rule {rule.name}: {rule.max_rounds} rounds have their reply", rule.name)
    if rule.max_bytes is not None and left.bytes > in_bytes(rule.max_bytes):
        return Decision(Code.BYTES_EXHAUSTED, f"rule {rule.name}: {rule.max_bytes} have left the site", rule.name)
    if problem := over_budget(policy, asked, left.usage):
        return Decision(*problem, rule.name)
    if rule.approval is Approval.REQUIRED and asked.id not in policy.approved:
        return Decision(Code.APPROVAL_REQUIRED, f"rule {rule.name}: approve the request {asked.id}", rule.name)
    if rule.hours is not None and not within_hours(rule.hours, now):
        return Decision(Code.OUTSIDE_HOURS, f"rule {rule.name}: {rule.hours.start} to {rule.hours.end} {rule.hours.time_zone}", rule.name)
    return Decision(None, f"rule {rule.name}", rule.name)


def over_budget(policy: SitePolicySpec, asked: Asked, usage: Usage) -> tuple[Code, str] | None:
    """Why the privacy budgets of the data do not allow the run."""
    budget = next((each for each in policy.privacy_budgets if overlap(each.data, asked.data)), None)
    if budget is None:
        return None
    which, terms = f"the privacy budget of {budget.data}", asked.terms
    if asked.framework != COUNTED:
        return Code.LIMITS_NOT_SUPPORTED, f"{which} needs the framework {COUNTED}, not {asked.framework or 'an unknown one'}"
    if not terms.noise:
        return Code.PRIVACY_TOO_WEAK, f"{which} needs updates with noise: spec.privacy.differentialPrivacy of the run"
    if not terms.planned:
        return Code.POD_NOT_RECOGNIZED, f"{which} needs the number of updates that the run plans, which its Pod does not say"
    text = overspent(policy.privacy_budgets, usage, asked.key, terms)
    return (Code.PRIVACY_BUDGET_SPENT, text) if text else None


def next_change(policy: SitePolicySpec | None, now: datetime) -> datetime | None:
    """When a rule's hours begin or end next, at most a day from now: the decisions may differ then."""
    if policy is None:
        return None
    found = [each for rule in policy.rules if rule.hours for each in _edges(rule.hours, now)]
    return min(found, default=None)


def _edges(hours: Hours, now: datetime) -> Iterable[datetime]:
    here = now.astimezone(zone(hours.time_zone))
    for clock in (hours.start, hours.end):
        edge = _at(here, clock)
        yield edge if edge > here else _at(here + MIDNIGHT_TO_MIDNIGHT, clock)


def within_hours(hours: Hours, now: datetime) -> bool:
    here = now.astimezone(zone(hours.time_zone))
    overnight = hours.end <= hours.start
    today, yesterday = _began(hours, here), _began(hours, here - MIDNIGHT_TO_MIDNIGHT)
    begins, ends = _at(here, hours.start), _at(here, hours.end)
    if overnight:
        return (today and here >= begins) or (yesterday and here < ends)
    return today and begins <= here < ends


def _began(hours: Hours, day: datetime) -> bool:
    return not hours.days or DAYS[day.weekday()] in hours.days


def _at(day: datetime, clock: str) -> datetime:
    hour, _, minute = clock.partition(":")
    return day.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)


def covers(allowed: str, location: str) -> bool:
    """Whether a location is the allowed one, or below it. `None` allows no location."""
    if not location or allowed == names.NO_DATA:
        return not location and allowed == names.NO_DATA
    if location.startswith("s3://"):  # what follows is how to reach it
        allowed, location = (each.partition("?")[0] for each in (allowed, location))
    allowed, location = allowed.rstrip("/"), location.rstrip("/")
    return bool(allowed) and (location == allowed or location.startswith(f"{allowed}/"))


def _fits(image: str, allowed: Iterable[str]) -> bool:
    return bool(image) and any(image.startswith(each[:-1]) if each.endswith("*") else image == each for each in allowed)


def _missing(value: str, allowed: tuple[str, ...], field: str) -> str:
    return "" if not allowed or value in allowed else f"{value or 'nothing'} is not in {field}"


def told(policy: SitePolicySpec | None, code: Code) -> Code:
    """What the hub is told."""
    return Code.UNDISCLOSED if policy and policy.disclosure is Disclosure.NONE else code
