"""The SitePolicy, the resource by which the owner of a site says what may happen with the site's data. Nothing of panal writes it.

`kubectl explain` shows the descriptions. The one with the name `site` applies. A run is allowed by the first of `rules` whose conditions
all hold; without a rule nothing is allowed.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from panal.api.schema import Model, rule
from panal.api.spec import SIZE

MAX_ITEMS = 100
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
APP_HASH = r"^[0-9a-f]{64}$"
REQUEST_ID = r"^[0-9a-f]{32}$"

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
AppHash = Annotated[str, StringConstraints(pattern=APP_HASH)]
RequestId = Annotated[str, StringConstraints(pattern=REQUEST_ID)]


class Approval(StrEnum):
    AUTOMATIC = "Automatic"
    REQUIRED = "Required"


class Disclosure(StrEnum):
    REASON = "Reason"
    NONE = "None"


class Protection(StrEnum):
    OPTIONAL = "Optional"
    REQUIRED = "Required"


class Day(StrEnum):
    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


class Hours(Model):
    start: str = Field(pattern=CLOCK, description="When they begin, such as 20:00.")
    end: str = Field(pattern=CLOCK, description="When they end. Before start: on the next day. The same as start: 24 hours.")
    days: tuple[Day, ...] = Field(default=(), max_length=7, description="The days on which they begin. If empty: every day.")
    time_zone: str = Field(default="UTC", max_length=64, description="The name of the time zone, such as Europe/Berlin.")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        zone(name)
        return name


def zone(name: str) -> tzinfo:
    """Raises ValueError for a time zone that this machine does not know."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone that is known here") from error


# An API server compares a whole number with the whole part of a minimum: 0 would do for 0.001.
NOISE = rule(
    "!has(self.minimumNoiseMultiplier) || self.minimumNoiseMultiplier > 0.0",
    "minimumNoiseMultiplier: must be at least 0.001; remove it to allow updates without noise",
)


class SiteRule(Model):
    """Empty lists of `data` and `images` allow nothing, and of `secrets` none; other empty lists allow everything."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [NOISE]})

    name: str = Field(min_length=1, max_length=63, description="A name of your choice. It is in the ledger.")
    data: tuple[Text, ...] = Field(
        default=(),
        max_length=MAX_ITEMS,
        description="The data that a run may mount, as in a ClusterClaim: pvc://CLAIM, an absolute path, or s3://BUCKET, each with what is "
        "below it. None: also a run that mounts no data.",
    )
    images: tuple[Text, ...] = Field(
        default=(),
        max_length=MAX_ITEMS,
        description="The images that may see the data: a name with its digest, such as registry.example.com/app@sha256:…, or a prefix that "
        "ends with *. A prefix also allows what is pushed there later.",
    )
    app_hashes: tuple[AppHash, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="The SHA-256 of the app bundles that may run. If empty: any that the images have."
    )
    namespaces: tuple[Text, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="The namespaces of the hub whose runs may come. If empty: all."
    )
    requesters: tuple[Text, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="Who may ask (spec.requester of the run). The hub says who it is. If empty: everyone."
    )
    purposes: tuple[Text, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="What the model may be for (spec.purpose of the run). If empty: anything."
    )
    secrets: tuple[Text, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="The Secrets in the namespace panal-collaborator that the run's image may read."
    )
    approval: Approval = Field(
        default=Approval.AUTOMATIC, description="Required: a run waits until you approve its request (panal site approve)."
    )
    max_rounds: int | None = Field(
        default=None,
        ge=1,
        description="How many replies of one kind, such as those about training, may leave the site for a run, from its beginning: one for "
        "each round, and one more for a round that is repeated. If not set: any number.",
    )
    max_bytes: str | None = Field(
        default=None,
        max_length=64,
        pattern=SIZE,
        description="How much of one run may leave the site, from its beginning, such as 2Gi. If not set: any amount.",
    )
    minimum_examples: int | None = Field(
        default=None, ge=1, le=2**53, description="The least number of examples about which a reply may say something."
    )
    minimum_clusters: int | None = Field(
        default=None,
        ge=1,
        le=2**53,
        description="The least number of clusters whose updates are combined (spec.server.minAvailableClients of the run, of which the hub "
        "tells the site). With secureAggregation Required also the least threshold (spec.privacy.secureAggregation.threshold), which the "
        "site keeps itself.",
    )
    minimum_noise_multiplier: float | None = Field(
        default=None,
        ge=0.001,
        le=1000,
        description="How much noise the updates must have (spec.privacy.differentialPrivacy.noiseMultiplier of the run). If not set: "
        "updates need not be protected.",
    )
    secure_aggregation: Protection = Field(
        default=Protection.OPTIONAL,
        description="Required: the updates must be masked, so that the aggregator learns only their sum (spec.privacy.secureAggregation of "
        "the run).",
    )
    hours: Hours | None = Field(default=None, description="When runs may work here. A run that is there when they end, waits.")


EPSILON = rule("self.epsilon > 0.0", "epsilon: must be at least 0.001; to allow nothing, take the data out of the rules")
DELTA = rule(
    "!has(self.delta) || self.delta > 0.0", "delta: must be larger than 0; remove it for the default, or give one such as 0.000001"
)


class PrivacyBudget(Model):
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [EPSILON, DELTA]})

    data: Text = Field(
        description="The data, as in a rule: pvc://CLAIM, an absolute path, or s3://BUCKET. A run that mounts it, a part of it, or what "
        "contains it, spends from the budget. None: runs that mount no data."
    )
    epsilon: float = Field(ge=0.001, le=1000, description="The largest ε of all updates that have left the site, of all runs.")
    delta: float | None = Field(
        default=None, ge=0, le=0.1, description="The δ for which ε is reckoned, larger than 0. If not set: 0.00001."
    )


class SitePolicySpec(Model):
    suspend: bool = Field(default=False, description="true: everything stops now, and nothing starts.")
    rules: tuple[SiteRule, ...] = Field(default=(), max_length=50, description="What is allowed. The first rule that fits a run applies.")
    privacy_budgets: tuple[PrivacyBudget, ...] = Field(
        default=(),
        max_length=50,
        description="What the updates of all runs together may tell about data. A run whose updates have no noise "
        "(spec.privacy.differentialPrivacy), or whose plan does not fit, is refused.",
    )
    panal_images: tuple[Text, ...] = Field(
        default=(),
        max_length=20,
        description="The images of panal's own containers, pod tools and gateway: a name with its digest, or a prefix that ends with *.",
    )
    egress: tuple[Text, ...] = Field(
        default=(),
        max_length=MAX_ITEMS,
        description="The addresses that collaborators may reach, such as 192.0.2.7/32: those of the hub, of the site's proxy and of its "
        "buckets. If empty: a single address for each run, which the hub names.",
    )
    approved: tuple[RequestId, ...] = Field(default=(), max_length=1000, description="The requests that you have approved.")
    refused: tuple[RequestId, ...] = Field(
        default=(), max_length=1000, description="The requests that you have refused, also if a rule fits."
    )
    own_pods: tuple[Text, ...] = Field(
        default=(),
        max_length=MAX_ITEMS,
        description="The names of your own Pods in the namespace panal-collaborator, such as one that fills a volume. They are left alone.",
    )
    disclosure: Disclosure = Field(
        default=Disclosure.REASON, description="What a refusal tells the hub: its reason, or only that the site refuses."
    )
