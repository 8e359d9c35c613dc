"""Why this agent: what is told of a decision is what the decision knew, whoever tells it and however late."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.router import cli, explain
from services.router.bystanders import AgentsWorker, CannotExplain, agents_at, agents_now
from services.router.engine.explain import held_back, score_of, standings, why_not
from services.router.past import states_before
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Membership
from shared.log.memory import MemoryLog
from shared.log.sqlite import SqliteLog
from shared.vocabulary import AgentId, QueueName
from tests import journaled
from tests.builders import (
    ADAPTER,
    SUPERVISOR,
    WORKSPACE,
    Centre,
    account_of,
    acting,
    agent,
    contact,
    message,
    policy,
    presence,
    queue,
    reach,
)


def member(agent_id: str, queue: str = "general", *, profile: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    """An agent's profile with a membership."""
    return replace(agent(agent_id, **(profile or {})), memberships=(Membership(queue=queue, **fields),))


async def told(centre: Centre, name: str = "c1") -> dict[str, Any]:
    """The explanation of a contact, from the whole journal."""
    log = MemoryLog(journaled.store_of(centre))
    events, policies = await explain.read_whole(log, 0, WORKSPACE, centre.id_of(name))
    return explain.explained(centre.id_of(name), 0, events, policies)


async def there(centre: Centre, name: str = "c1", number: int = 1) -> dict[str, Any]:
    """Who was there at a decision about a contact."""
    log = MemoryLog(journaled.store_of(centre))
    place = explain.place_of((await told(centre, name))["decisions"][number - 1]["id"])
    return (await agents_at(log, 0, WORKSPACE, centre.id_of(name), [place]))[0]


def reasons(found: Mapping[str, Any]) -> dict[str, str | None]:
    return {each["agent"]: each["why_not"] for each in found["agents"]}


# Decisions


async def test_a_decision_names_the_chosen_one_the_next_and_in_what_they_were_behind() -> None:
    centre = Centre(policy([queue(strategy="best_skill", skills={"cards": 2})]))
    centre.staff(
        agent("ana", skills={"cards": 3}), agent("ben", skills={"cards": 5}), agent("cay", skills={"loans": 5})
    )
    centre.write()
    (decision,) = (await told(centre))["decisions"]
    assert (decision["agent"], decision["strategy"], decision["step"]) == ("ben", "best_skill", 0)
    assert (decision["queue"], decision["policy_version"]) == ("general", 1)
    first, second = decision["considered"]
    assert [each["by"] for each in first["score"]] == ["declines", "tier", "best_skill", "longest_idle", "fixed_order"]
    assert first["score"][2]["value"] == -5
    assert (first["agent"], first["behind_by"]) == ("ben", None)
    assert (second["agent"], second["behind_by"]) == ("ana", "best_skill")
    assert decision["excluded_classes"] == {"skill": 1}


async def test_a_decisions_id_is_the_events_in_the_feed() -> None:
    centre = Centre()
    centre.staff(agent())
    centre.write()
    (decision,) = (await told(centre))["decisions"]
    played = next(each for each in centre.history if each.seq == decision["seq"])
    _, seq, index = (int(part) for part in decision["id"].split(":"))
    event = [event for d in played.decided for event in d.events][index]
    assert isinstance(event, ev.OfferMade)
    assert (seq, event.agent) == (played.seq, "ana")


async def test_what_changed_between_decisions_is_told_in_words() -> None:
    steps = [
        {"after_s": 20, "open_tier": 2, "set_priority": 7, "notify": "the floor is thin"},
        {"after_s": 40, "drop_language": True},
    ]
    centre = Centre(policy([queue(initial_tier=1, steps=steps)]))
    centre.staff(member("ben", tier=2, profile={"languages": {"en": 5}}), member("cay", tier=3))
    centre.write(language="de")
    centre.wait(50)
    centre.decline("ben")
    story = await told(centre)
    (decision,) = story["decisions"][:1]
    assert [change["what"] for change in decision["before"]] == [
        "arrived in general: chat, language de; priority 0",
        "step 1 of general, after 20 s: tiers up to 2 are open, priority 7; notice: the floor is thin",
        "priority 7, by a step of the queue",
        "step 2 of general, after 40 s: any language will do",
    ]
    assert decision["step"] == 2
    assert "ben declined (busy)" in [
        change["what"] for part in (*story["decisions"][1:], {"before": story["since"]}) for change in part["before"]
    ]


async def test_delays_moves_and_the_end_of_a_preference_are_told() -> None:
    queues = [queue("first", preferred={"wait_s": 30}, overflow=[overflow("second", 60)]), queue("second")]
    centre = Centre(policy(queues))
    centre.staff(member("ana", "first", delay=10_000, profile={"queues": ("first",)}))
    centre.do(presence("ana", "away"), by=acting("ana"))
    centre.do(replace(contact(channel="chat", queue="first"), preferred=(AgentId("ana"),)), by=ADAPTER)
    centre.wait(70)
    story = [change["what"] for change in (await told(centre))["since"]]
    assert story == [
        "arrived in first: chat, no known language; first of all ana; priority 0",
        "waited 10 s in first: agents with a delay up to that may get it",
        "waits no longer for the agents it names: anybody may get it",
        "moved from first to second: an overflow rule of the queue says so",
        "waits no longer for the agents it names: anybody may get it",
    ]


async def test_a_hop_by_hand_is_told_as_its_agents() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1", customer="kim", reach=(reach("email", "kim"),))
    centre.accept("ana")
    by_mail = cmd.TransferContact(contact=centre.id_of("c1"), channel="email", account=account_of("email"))
    centre.do(by_mail, by=acting("ana"))
    story = [change["what"] for change in (await told(centre))["since"]]
    assert story == ["ana accepted", "moved from chat to email: its agent goes on there"]


async def test_the_filter_that_decided_a_contacts_way_is_told() -> None:
    first = {
        "id": "gold",
        "match": {"plan": "gold"},
        "steps": [{"queue": "first", "until_age_s": 10}, {"queue": "second"}],
    }
    flow = {"name": "menu", "default_queue": "second", "filters": [first]}
    centre = Centre(policy([queue("first"), queue("second")], flows=[flow]))
    centre.do(replace(contact(channel="chat"), flow="menu", attributes={"plan": "gold"}), by=ADAPTER)
    centre.wait(10)
    story = [change["what"] for change in (await told(centre))["since"]]
    assert story == [
        "arrived in first by the flow menu (filter gold): chat, no known language; priority 0",
        "moved from first to second: its flow leads there (filter gold)",
    ]


def overflow(to: str, after_s: int) -> dict[str, Any]:
    return {"when": {"wait_exceeds_s": after_s}, "action": "move_to", "queue": to}


async def test_the_place_among_the_named_and_among_the_languages_have_their_names() -> None:
    fallback = {"de": [{"language": "en", "after_s": 10}]}
    centre = Centre(policy([queue(preferred={"wait_s": 600, "fallback": "hold"})], language_fallback=fallback))
    centre.do(agent("ana", languages={"en": 5}))
    centre.do(agent("ben", languages={"en": 4}))
    named = (AgentId("ben"), AgentId("ana"))
    centre.do(replace(contact("named", channel="chat", language="de"), preferred=named), by=ADAPTER)
    centre.do(contact("plain", channel="chat", language="de"), by=ADAPTER)
    centre.wait(20)
    centre.do(presence("ana"), by=acting("ana"))
    centre.do(presence("ben"), by=acting("ben"))
    names = {}
    for name in ("named", "plain"):
        (decision,) = (await told(centre, name))["decisions"]
        names[name] = [each["by"] for each in decision["considered"][0]["score"]]
        place = explain.place_of(decision["id"])
        log = MemoryLog(journaled.store_of(centre))
        (found,) = await agents_at(log, 0, WORKSPACE, centre.id_of(name), [place])
        chosen = next(each for each in found["agents"] if each["agent"] == decision["agent"])
        assert chosen["score"] == decision["considered"][0]["score"]
        assert "will do in en too" in [change["what"] for change in decision["before"]]
    assert names["named"][:4] == ["declines", "preferred", "tier", "language"]
    assert names["plain"][:4] == ["declines", "tier", "language", "longest_idle"]


async def test_scores_of_a_policy_that_is_not_known_have_no_names() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write()
    log = MemoryLog(journaled.store_of(centre))
    events, _ = await explain.read_whole(log, 0, WORKSPACE, centre.id_of("c1"))
    newer = {"version": 2, "policy": policy(), "seq": 99}
    known = {"version": 1, "policy": policy(), "seq": 99}
    for view, names in ((newer, None), (None, None), (known, "longest_idle")):
        decision = explain.explained("c", 0, events, explain.policies_from_view(view, events))["decisions"][0]
        assert decision["considered"][0]["score"][0]["by"] == "declines"
        assert decision["considered"][0]["score"][2]["by"] == names


# Who was there


async def test_a_contact_that_arrived_in_the_deciding_entry_is_explained_too() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write()
    found = await there(centre)
    assert reasons(found) == {"ana": None, "ben": None}
    assert [each["agent"] for each in found["agents"]] == ["ana", "ben"]
    assert found["asks_for"]["queue"] == "general"
    assert found["held_back"] is None


def _pause(centre: Centre) -> None:
    centre.do(replace(agent("x"), reject_pause=60_000))
    centre.do(presence("x"), by=acting("x"))
    centre.write("other")
    centre.decline("x", "other")


def _wrap_up(centre: Centre) -> None:
    centre.do(replace(agent("x"), wrap_up=60_000))
    centre.do(presence("x"), by=acting("x"))
    centre.write("other")
    centre.handle("x", "other")


def _busy(profile: cmd.PutAgent, **fields: Any) -> Any:
    def arrange(centre: Centre) -> None:
        centre.staff(profile)
        centre.write("other", **fields)

    return arrange


REASONS: dict[str, Any] = {
    "queue": lambda centre: centre.staff(agent("x", queues=("other",))),
    "channel": lambda centre: centre.staff(agent("x", channels=("email",))),
    "tier": lambda centre: centre.staff(member("x", tier=2)),
    "delay": lambda centre: centre.staff(member("x", delay=600_000)),
    "language": lambda centre: centre.staff(agent("x", languages={"en": 5})),
    "skill": lambda centre: centre.staff(agent("x", languages={"de": 5}, skills={"cards": 1})),
    "unreachable": lambda centre: centre.do(agent("x")),
    "presence": lambda centre: [centre.staff(agent("x")), centre.do(presence("x", "away"), by=acting("x"))],
    "channel_off": lambda centre: [
        centre.do(agent("x")),
        centre.do(presence("x", channels={"chat": False}), by=acting("x")),
    ],
    "capacity": _busy(agent("x")),
    "limit": _busy(replace(agent("x", capacity=5), max_contacts=1)),
    "queue_limit": _busy(agent("x", capacity=5)),
    "rate_limit": lambda centre: [_busy(agent("x", capacity=5))(centre), centre.handle("x", "other")],
    "wrap_up": _wrap_up,
    "paused": _pause,
}
RULES: dict[str, dict[str, Any]] = {
    "queue": {},
    "tier": {"initial_tier": 1},
    "language": {},
    "skill": {"skills": {"cards": 3}},
    "queue_limit": {"max_per_agent": 1},
    "rate_limit": {"rate_limit": {"max": 1, "window_s": 3600}},
}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_first_reason_against_an_agent_is_named(reason: str) -> None:
    centre = Centre(policy([queue(**RULES.get(reason, {})), queue("other")]))
    REASONS[reason](centre)
    centre.write("asked", language="de" if reason in ("language", "skill") else None)
    index = centre.engine.world.indexes[WORKSPACE]
    assert why_not(index, centre.contact("asked"), centre.agent("x"), centre.now) == reason
    assert centre.offered_to("asked") == []


@pytest.mark.parametrize(("declared", "reason"), [("away", "capacity"), ("offline", "presence")])
def test_of_a_preferred_agent_any_presence_but_offline_may_be_bypassed(declared: str, reason: str) -> None:
    centre = Centre(policy([queue(preferred={"wait_s": 60, "bypass": ["presence"]})]))
    centre.staff(agent("x", capacity=0))
    centre.do(presence("x", declared), by=acting("x"))
    centre.do(replace(message(), preferred=(AgentId("x"),)), by=ADAPTER)
    index = centre.engine.world.indexes[WORKSPACE]
    assert why_not(index, centre.contact(), centre.agent("x"), centre.now) == reason


def test_what_was_between_a_contact_and_an_agent_is_named() -> None:
    centre = Centre(policy([queue(decline={"policy": "never"}, max_offers=3), queue("other")]))
    centre.staff(agent("ana"), agent("ben", capacity=3), agent("cay"))
    centre.write()
    centre.decline("ana")
    centre.accept("ben")
    centre.do(
        cmd.TransferContact(contact=centre.id_of("c1"), queue=QueueName("general"), exclude_self=True), by=acting("ben")
    )
    index = centre.engine.world.indexes[WORKSPACE]
    assert {each.agent: each.why_not for each in standings(index, centre.contact(), centre.now)} == {
        "ana": "declined",
        "ben": "handed_on",
        "cay": "offered",
    }


def test_whoever_is_not_named_is_told_so() -> None:
    centre = Centre(policy([queue(preferred={"wait_s": 60})]))
    centre.do(agent("ana"))
    centre.staff(agent("ben"))
    centre.do(replace(contact(channel="chat"), preferred=(AgentId("ana"),)), by=ADAPTER)
    index = centre.engine.world.indexes[WORKSPACE]
    assert {each.agent: each.why_not for each in standings(index, centre.contact(), centre.now)} == {
        "ana": "unreachable",
        "ben": "not_named",
    }


async def test_whoever_scored_better_and_gets_another_contact_first_is_named() -> None:
    centre = Centre(policy([queue("calls", rank=1), queue("general", rank=2)]))
    centre.staff(agent("ana"), agent("ben", queues=("general",)))
    centre.do(contact("call", channel="chat", queue="calls", at_s=60), by=ADAPTER)
    centre.do(contact("mail", channel="chat", queue="general", priority=1, at_s=60), by=ADAPTER)
    centre.wait(60)
    (decision,) = (await told(centre, "mail"))["decisions"]
    assert (decision["agent"], centre.offered_to("call")) == ("ben", ["ana"])
    ana, ben = (await there(centre, "mail"))["agents"]
    assert (ana["agent"], ana["why_not"], ana["prefers"]) == ("ana", None, centre.id_of("call"))
    assert (ben["agent"], ben["prefers"]) == ("ben", None)


@pytest.mark.parametrize("seed", range(8))
async def test_every_record_is_what_the_agents_stood_like_then(seed: int) -> None:
    """A day of everything: in each decision's moment the chosen one could be offered it, those considered had the
    recorded scores, and whoever was better got another contact first."""
    centre = _played(seed)
    made = {
        (played.seq, index): event
        for played in centre.history
        for index, event in enumerate(event for d in played.decided for event in d.events)
        if isinstance(event, ev.OfferMade)
    }
    assert len(made) > 30
    log = MemoryLog(journaled.store_of(centre))
    seen = 0
    async for place, engine in states_before(log, 0, list(made)):
        seen += 1
        offer, index = made[place], engine.world.indexes[WORKSPACE]
        waiting = index.workspace.contacts[offer.contact]
        assert held_back(index, waiting) is None
        stood = {each.agent: each for each in standings(index, waiting, centre.now)}
        for name, *score in offer.decision.considered:
            assert stood[AgentId(str(name))].why_not is None
            assert stood[AgentId(str(name))].score == tuple(score)
            assert score_of(index, waiting, index.workspace.agents[AgentId(str(name))]) == tuple(score)
        chosen = stood[offer.agent]
        assert chosen.prefers is None
        for each in stood.values():
            if each.why_not is None and (each.score, each.agent) < (chosen.score, chosen.agent):
                assert each.prefers is not None, f"{each.agent} was better than {offer.agent}"
    assert seen == len(made)


def _played(seed: int) -> Centre:
    dice = random.Random(seed)
    names = [f"a{n}" for n in range(8)]
    queues = [
        queue("general", strategy="best_skill", initial_tier=1, steps=[{"after_s": 30, "open_tier": 3}]),
        queue("cards", rank=1, skills={"cards": 2}, decline={"policy": "never"}, max_per_agent=2),
        queue("bulk", strategy="round_robin", max_offers=2, preferred={"wait_s": 20}),
    ]
    centre = Centre(policy(queues, language_fallback={"de": [{"language": "en", "after_s": 15}]}), checked=False)
    for name in names:
        profile = agent(
            name,
            languages={code: dice.randint(1, 5) for code in ("de", "en", "id") if dice.random() < 0.7},
            skills={"cards": dice.randint(1, 5)} if dice.random() < 0.6 else {},
            capacity=dice.choice((1, 2, 3)),
        )
        tier = Membership(queue="general", tier=dice.randint(1, 3), priority=dice.randint(1, 2))
        centre.staff(replace(profile, memberships=(tier,)))
    for n in range(150):
        centre.wait(dice.choice((0, 1, 5, 20)))
        _act(centre, dice, names, n)
    return centre


def _act(centre: Centre, dice: random.Random, names: list[str], n: int) -> None:
    kind = dice.random()
    open_offers = [offer for offer in centre.ws.offers.values() if not offer.outcome]
    held = [contact for contact in centre.ws.contacts.values() if contact.agent is not None and contact.state.is_open]
    if kind < 0.45:
        fields: dict[str, Any] = {
            "queue": dice.choice(("general", "cards", "bulk")),
            "language": dice.choice(("de", "en", "id", None)),
        }
        if dice.random() < 0.3:
            named = tuple(AgentId(name) for name in dice.sample(names, 2))
            centre.do(replace(contact(f"c{n}", channel="chat", **fields), preferred=named), by=ADAPTER)
        else:
            centre.do(message(f"c{n}", priority=dice.randint(0, 3), **fields), by=ADAPTER)
    elif kind < 0.7 and open_offers:
        offer = dice.choice(open_offers)
        answer: cmd.Command = cmd.AcceptOffer(offer=offer.id)
        if dice.random() < 0.3:
            answer = cmd.RejectOffer(offer=offer.id, reason="busy", retry_after=None)
        centre.do(answer, by=acting(offer.agent))
    elif kind < 0.85 and held:
        ended = dice.choice(held)
        centre.do(cmd.CompleteContact(contact=ended.id, wrap_up_code=None), by=acting(str(ended.agent)))
    else:
        name = dice.choice(names)
        centre.do(presence(name, dice.choice(("available", "available", "away"))), by=acting(name))


# Where the past is kept


async def test_a_snapshot_of_before_is_gone_on_from_and_one_of_later_is_not() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write()
    centre.accept("ana")
    centre.write("c2")
    place = explain.place_of((await told(centre))["decisions"][0]["id"])
    expected = await there(centre)
    for seq in (place[0] - 1, place[0], centre.seq):
        log = MemoryLog(journaled.store_of(centre))
        await log.snapshots.save(journaled.snapshot_at(centre, seq, log.store.identity))
        (found,) = await agents_at(log, 0, WORKSPACE, centre.id_of("c1"), [place])
        assert found == expected
        if seq < place[0]:
            # The beginning is not needed then.
            log.store.journal_start[0] = seq
            assert await agents_at(log, 0, WORKSPACE, centre.id_of("c1"), [place]) == [expected]


async def test_what_the_journal_has_not_or_no_longer_is_said_in_words() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write()
    log = MemoryLog(journaled.store_of(centre))
    place = explain.place_of((await told(centre))["decisions"][0]["id"])
    with pytest.raises(CannotExplain, match="has not come to entry 99"):
        await agents_at(log, 0, WORKSPACE, centre.id_of("c1"), [(99, 0)])
    with pytest.raises(CannotExplain, match="is not in workspace"):
        await agents_at(log, 0, WORKSPACE, "nobody", [place])
    await log.snapshots.save(journaled.snapshot_at(centre, centre.seq, log.store.identity))
    log.store.journal_start[0] = 2
    with pytest.raises(CannotExplain, match="no snapshot is kept of a time before"):
        await agents_at(log, 0, WORKSPACE, centre.id_of("c1"), [place])


async def test_a_contact_that_waits_is_explained_as_of_now() -> None:
    centre = Centre(policy([queue(skills={"cards": 3})]))
    centre.staff(agent("ana"), agent("ben", skills={"cards": 3}))
    centre.do(presence("ben", "away"), by=acting("ben"))
    centre.write()
    log = MemoryLog(journaled.store_of(centre))
    found = await agents_now(log, 0, WORKSPACE, centre.id_of("c1"))
    assert (found["seq"], found["held_back"]) == (centre.seq, None)
    assert reasons(found) == {"ana": "skill", "ben": "presence"}
    assert found["asks_for"]["skills"] == {"cards": 3}
    centre.do(cmd.CancelContact(contact=centre.id_of("c1"), reason="spam"), by=SUPERVISOR)
    log = MemoryLog(journaled.store_of(centre))
    assert (await agents_now(log, 0, WORKSPACE, centre.id_of("c1")))["held_back"] == "cancelled"


async def test_a_forgotten_contact_is_still_explained() -> None:
    centre = Centre(policy(keep_ended_s=3600))
    centre.staff(agent("ana"))
    centre.write()
    contact_id = centre.id_of("c1")
    centre.handle("ana", "c1")
    centre.wait(2 * 3600)
    assert contact_id not in centre.ws.contacts
    log = MemoryLog(journaled.store_of(centre))
    events, policies = await explain.read_whole(log, 0, WORKSPACE, contact_id)
    story = explain.explained(contact_id, 0, events, policies)
    place = explain.place_of(story["decisions"][0]["id"])
    assert [change["what"] for change in story["since"]] == ["ana accepted", "completed by ana"]
    assert reasons((await agents_at(log, 0, WORKSPACE, contact_id, [place]))[0]) == {"ana": None}


# The command line, and another process


async def on_disk(centre: Centre, folder: Path) -> SqliteLog:
    log = SqliteLog(folder)
    await log.open()
    await journaled.write(centre, log.journal)
    return log


async def test_the_command_line_tells_it_beside_a_log_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben", languages={"en": 4}))
    centre.write(language="en")
    centre.decline("ben")
    contact_id = centre.id_of("c1")
    log = await on_disk(centre, tmp_path)
    try:
        words = ["explain", str(tmp_path), WORKSPACE, contact_id]
        assert await asyncio.to_thread(cli.main, [*words, "--agents"]) == 0
        said = capsys.readouterr().out
        assert "DECISION 1 (event 0:" in said
        assert "offered to ben in general, by longest_idle, step 0, policy 1" in said
        assert "ben: declines 0, tier 1, longest_idle (idle since 20" in said
        assert "classes of agents that were out: language 1" in said
        assert "    - ana: language" in said
        assert "ben declined (busy)" in said
        assert await asyncio.to_thread(cli.main, [*words, "--json", "--decision", "1"]) == 0
        assert json.loads(capsys.readouterr().out)["decisions"][0]["agent"] == "ben"
        for wrong in ([*words, "--decision", "9"], ["explain", str(tmp_path), WORKSPACE, "nobody"]):
            assert await asyncio.to_thread(cli.main, wrong) == 2
        assert "there were" in (errors := capsys.readouterr().err)
        assert "no contact 'nobody'" in errors
    finally:
        await log.close()


async def test_another_process_finds_out_who_was_there_one_question_at_a_time(tmp_path: Path) -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write()
    contact_id = centre.id_of("c1")
    log = await on_disk(centre, tmp_path)
    try:
        place = explain.place_of((await told(centre))["decisions"][0]["id"])
        worker = AgentsWorker(str(tmp_path))
        first = asyncio.ensure_future(worker(0, WORKSPACE, contact_id, place))
        await asyncio.sleep(0)
        with pytest.raises(CannotExplain, match="another such question"):
            await worker(0, WORKSPACE, contact_id, place)
        assert await first == await there(centre)
        with pytest.raises(CannotExplain, match="is not in workspace"):
            await worker(0, WORKSPACE, "-nobody", None)
        with pytest.raises(CannotExplain, match="longer than"):
            await AgentsWorker(str(tmp_path), most_s=0.01)(0, WORKSPACE, contact_id, place)
        with pytest.raises(CannotExplain, match="could not be read"):
            await AgentsWorker(str(tmp_path / "nowhere"))(0, WORKSPACE, contact_id, place)
    finally:
        await log.close()
