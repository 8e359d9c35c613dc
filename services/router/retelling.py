"""What happened to a contact while it waited, in plain words for people who ask why.

Told from the journal's events as JSON knows them. Where the policy that ruled at that time is known, a rule is told
with what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.router.engine.demand import ANY_LANGUAGE, fallback_of
from services.router.engine.policy import ALL_OFFERS, QueuePolicy, QueueStep, RoutingPolicy
from shared.times import rfc3339
from shared.vocabulary import UNKNOWN_LANGUAGE

Data = Mapping[str, Any]


class Story:
    """A contact's events one after the other: `tell` gives the words, the attributes what holds after them.

    `widened`: how many languages of its fallback will do; `preference`: whether it still waits for agents it names.
    """

    def __init__(self) -> None:
        self.queue = ""
        self.language = UNKNOWN_LANGUAGE
        self.widened = 0
        self.preference = False
        self._names_agents = False

    def tell(self, kind: str, data: Data, policy: RoutingPolicy | None) -> str | None:
        """The event in words; None if it says nothing about how the contact was routed. `policy`: what ruled then, None
        if that is not known."""
        words = _WORDS.get(kind)
        told = words(self, data, policy) if words is not None else None
        self._follow(kind, data)
        return told

    def ruling(self, policy: RoutingPolicy | None) -> QueuePolicy | None:
        """The rules of the queue it waits in, if they are known."""
        return policy.queues.get(self.queue) if policy is not None else None

    def _follow(self, kind: str, data: Data) -> None:
        if kind == "ContactCreated":
            self._names_agents = bool(data.get("preferred"))
        if kind in ("ContactCreated", "ContactQueued", "ContactMoved"):
            self.queue = data["queue"]
            self.widened = 0
            self.preference = self._names_agents
        if kind == "PreferenceEnded":
            self.preference = False
        if kind == "LanguageWidened":
            self.widened = data["languages"]
        self.language = data.get("language") or self.language


def _created(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    asks = [f"language {data['language']}" if data["language"] != UNKNOWN_LANGUAGE else "no known language"]
    asks += [f"{skill} at {level} or better" for skill, level in sorted(data["skills"].items())]
    if data.get("preferred"):
        asks.append("first of all " + ", ".join(data["preferred"]))
    what = f"{data['channel']}, {'; '.join(asks)}; priority {data['priority']}"
    where = f"in {data['queue']}"
    if data.get("flow") is not None:
        where += f" by the flow {data['flow']}{_by_filter(data)}"
    if data.get("scheduled_at") is not None:
        return f"arrived for {rfc3339(data['scheduled_at'])} {where}: {what}"
    return f"arrived {where}: {what}"


def _by_filter(data: Data) -> str:
    """Which filter of the flow matched, if the event tells one."""
    return f" (filter {data['flow_filter']})" if data.get("flow_filter") is not None else ""


def _queued(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"waits again in {data['queue']}" if data["reason"] == "reopened" else f"is due and waits in {data['queue']}"


_MOVED = {
    "step": "a step of the queue says so",
    "overflow": "an overflow rule of the queue says so",
    "flow": "its flow leads there",
    "transfer": "an agent handed it on",
}


def _moved(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    told = f"moved from {data['from_queue']} to {data['queue']}: {_MOVED.get(data['reason'], data['reason'])}"
    told += _by_filter(data)
    if data.get("channel") is not None:
        told += f"; as a contact of the channel {data['channel']}"
    if data.get("age_from") is not None:
        told += "; its age counts anew"
    if data.get("excluded") is not None:
        told += f"; {data['excluded']} does not get it back"
    return told


def _stepped(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    number, queue = data["steps"], story.ruling(policy)
    notice = f"; notice: {data['notify']}" if data.get("notify") is not None else ""
    if queue is None or number > len(queue.steps):
        return f"step {number} of {story.queue} holds{notice}"
    step = queue.steps[number - 1]
    return f"step {number} of {story.queue}, after {_seconds(step.after)}: {_step_says(step)}{notice}"


def _step_says(step: QueueStep) -> str:
    says = [f"{skill} at {level} will do" for skill, level in sorted(step.set_min.items())]
    says += [f"{skill} is not asked for any more" for skill in sorted(step.drop_skills)]
    if step.drop_language:
        says.append("any language will do")
    if step.any_agent:
        says.append("any agent of the queue will do")
    if step.open_tier is not None:
        says.append(f"tiers up to {step.open_tier} are open")
    if step.raise_tiers_to is not None:
        says.append(f"tiers below {step.raise_tiers_to} count as {step.raise_tiers_to}")
    if step.max_offers:
        says.append(
            "all are asked at once" if step.max_offers == ALL_OFFERS else f"{step.max_offers} are asked at once"
        )
    if step.only_agents is not None:
        says.append("only " + (", ".join(step.only_agents) or "nobody"))
    if step.set_priority is not None:
        says.append(f"priority {step.set_priority}")
    if step.move_to is not None:
        says.append(f"on to {step.move_to}")
    return ", ".join(says) or "nothing changes"


def _delayed(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"waited {_seconds(data['delay'])} in {story.queue}: agents with a delay up to that may get it"


def _widened(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    number = data["languages"]
    queue = story.ruling(policy)
    chain = fallback_of(policy.language_fallback, queue, story.language) if policy is not None and queue else ()
    if number > len(chain):
        return f"{number} other languages will do"
    told = ["any language" if code == ANY_LANGUAGE else code for code, _ in chain[:number]]
    return "will do in " + ", then ".join(told) + " too"


def _preference_ended(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return "waits no longer for the agents it names: anybody may get it"


def _aged_out(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"too old for {story.queue}: it is offered to nobody any more"


_PRIORITY = {"step": "a step of the queue", "flow": "its flow", "supervisor": "a supervisor"}


def _prioritised(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    by = _PRIORITY.get(data.get("reason", ""), data.get("reason", ""))
    return f"priority {data['priority']}" + (f", by {by}" if by else "")


def _age_adjusted(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"its age counts from {rfc3339(data['age_from'])} now, by a supervisor"


def _assigned(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    by = f"handed on by {data['from_agent']}" if data["reason"] == "transfer" else "by hand, whatever the rules say"
    return f"assigned to {data['agent']}: {by}" + (f" ({data['note']})" if data.get("note") else "")


def _accepted(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"{data['agent']} accepted"


def _declined(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    reason = f" ({data['reason']})" if data.get("reason") else ""
    return f"{data['agent']} declined{reason}{_again(data)}"


def _expired(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"{data['agent']} did not answer in time{_again(data)}"


def _again(data: Data) -> str:
    return f"; offered again from {rfc3339(data['retry_at'])}" if data.get("retry_at") is not None else ""


_WITHDRAWN = {
    "accepted_by_another": "another agent was faster",
    "agent_lost": "the desk fell silent",
    "presence": "the agent's presence changed",
    "channel_down": "the channel is down",
    "profile": "the agent's profile changed",
    "policy": "the policy changed",
    "moved": "it moves on",
    "age": "it is too old",
}


def _withdrawn(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"the offer to {data['agent']} was taken back: {_WITHDRAWN.get(data['reason'], data['reason'])}"


def _retry_due(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return "the pause after the last answer is over"


def _may_be_asked(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"{data['agent']} may be asked again"


_REQUEUED = {
    "agent": "gave it back",
    "supervisor": "had it taken back",
    "agent_lost": "was lost",
    "full": "had no room when the customer came back",
}


def _requeued(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"waits again with its age: {data['agent']} {_REQUEUED.get(data['reason'], data['reason'])}"


def _redirected(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    by = "its agent goes on there" if data["rule"] == "transfer" else data["rule"]
    return f"moved from {data['from_channel']} to {data['channel']}: {by}"


def _redirect_refused(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return "its channel is down and no other one reaches the customer"


def _message(story: Story, data: Data, policy: RoutingPolicy | None) -> str | None:
    spoken = data.get("language")
    return f"the customer writes in {spoken}" if spoken and spoken != story.language else None


def _completed(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"completed by {data['agent']}"


def _cancelled(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return "cancelled" + (f": {data['reason']}" if data.get("reason") else "")


def _abandoned(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"the customer left after {_seconds(data['waited'])}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:g} s"


def _starving(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return "has waited so long that it goes before all but the strict lane"


def _exhausted(story: Story, data: Data, policy: RoutingPolicy | None) -> str:
    return f"everybody who is there for {data['queue']} and able has declined it ({data['declined']} so far)"


_WORDS: dict[str, Callable[[Story, Data, RoutingPolicy | None], str | None]] = {
    "ContactCreated": _created,
    "ContactQueued": _queued,
    "ContactMoved": _moved,
    "ContactStepped": _stepped,
    "DelayPassed": _delayed,
    "LanguageWidened": _widened,
    "PreferenceEnded": _preference_ended,
    "ContactAgedOut": _aged_out,
    "ContactStarving": _starving,
    "ContactExhausted": _exhausted,
    "ContactPrioritised": _prioritised,
    "AgeAdjusted": _age_adjusted,
    "ContactAssigned": _assigned,
    "OfferAccepted": _accepted,
    "OfferDeclined": _declined,
    "OfferExpired": _expired,
    "OfferWithdrawn": _withdrawn,
    "RetryDue": _retry_due,
    "DeclineForgotten": _may_be_asked,
    "DeclinePassed": _may_be_asked,
    "ContactRequeued": _requeued,
    "ContactRedirected": _redirected,
    "RedirectRefused": _redirect_refused,
    "MessageReceived": _message,
    "ContactCompleted": _completed,
    "ContactCancelled": _cancelled,
    "ContactAbandoned": _abandoned,
}
