"""Which contact comes first: inside one order, and across orders by waiting."""

from __future__ import annotations

from collections.abc import Iterable

from services.router.engine.policy import BucketRule, QueuePolicy, matches
from services.router.engine.records import Agent, Contact
from tests.oracle.asks import lane
from tests.oracle.deadline import worth
from tests.oracle.moment import Moment


def first(moment: Moment, choices: Iterable[tuple[Contact, Agent]]) -> Contact:
    """Of the first lane the first of each kind of order, and of those the one that waits longest; earlier arrival, then
    id on a tie. Of whoever is ordered by deadlines it counts to which agent they would go. Who starves has one order,
    by age."""
    every = list(choices)
    ahead = min(lane(moment, contact) for contact, _ in every)
    every = [(contact, agent) for contact, agent in every if lane(moment, contact) == ahead]
    if ahead == 1:
        return min((contact for contact, _ in every), key=_age)
    kinds: dict[object, list[tuple[Contact, Agent]]] = {}
    for contact, agent in every:
        kinds.setdefault(_kind(moment.queue_of(contact)), []).append((contact, agent))
    firsts = [min(alike, key=lambda choice: _place(moment, *choice))[0] for alike in kinds.values()]
    return min(firsts, key=_age)


def _kind(queue: QueuePolicy) -> object:
    """What contacts of two queues must share to be compared by their order."""
    kinds = {"score": ("score", queue.priority_unit), "buckets": ("buckets", queue.buckets), "slo": ("slo",)}
    return kinds.get(queue.contact_order, "")


def _place(moment: Moment, contact: Contact, agent: Agent) -> tuple[object, ...]:
    queue = moment.queue_of(contact)
    if queue.contact_order == "slo":
        return (-worth(moment, contact, agent), *_age(contact))
    if queue.contact_order == "score":
        waited = moment.now - contact.age_from
        return (-(waited + contact.priority * queue.priority_unit), *_age(contact))
    if queue.contact_order == "buckets":
        for number, bucket in enumerate(queue.buckets):
            if matches(contact.attributes, bucket.match):
                return (number, *_inside(bucket, contact), *_age(contact))
        return (len(queue.buckets), 0, 0.0, "", *_age(contact))
    return (-contact.priority, *_age(contact))


def _inside(bucket: BucketRule, contact: Contact) -> tuple[int, float, str]:
    """Ascending by the bucket's attribute: numbers, then words, then contacts without it."""
    value = contact.attributes.get(bucket.order_attr) if bucket.order_attr else ""
    if value is None:
        return (2, 0.0, "")
    if not value:
        return (0, 0.0, "")
    return (0, float(value), "") if value.lstrip("-").replace(".", "", 1).isdigit() else (1, 0.0, value)


def _age(contact: Contact) -> tuple[int, int]:
    return (contact.age_from, contact.number)
