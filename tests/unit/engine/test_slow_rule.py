"""The slow rule by itself: what it lets pass, and what it does not."""

from __future__ import annotations

from tests.builders import Centre, agent, channel, policy, queue
from tests.oracle.moment import Moment
from tests.oracle.rule import first_wrong


def waiting(*, mail: bool) -> tuple[Moment, dict[str, str]]:
    """A chat, a younger Telegram message of a queue with another order, perhaps mail that is younger still and can
    wait; and an agent for all of them. With the contacts' ids by name."""
    centre = Centre(
        policy(
            [queue("money", contact_order="slo", target_s={"chat": 100, "email": 40}), queue("cards")],
            [channel("chat", to="money"), channel("email", to="money"), channel("telegram", to="cards")],
        )
    )
    centre.do(agent("ana", capacity=9))
    for name, kind in (("chat", "chat"), ("card", "telegram"), *((("mail", "email"),) if mail else ())):
        centre.write(name, channel=kind, queue=None)
        centre.wait(2)
    centre.wait(10)
    (workspace,) = centre.engine.state.workspaces.values()
    (ana,) = workspace.agents.values()
    ana.presence, ana.reachable = "available", True
    ids = {name: str(centre.id_of(name)) for name in ("chat", "card", *(("mail",) if mail else ()))}
    return Moment.of(workspace, centre.now), ids


def test_mail_that_can_wait_may_decide_who_comes_first_of_the_others() -> None:
    """Of two kinds of order the firsts are compared by age. The first by deadline is the chat, which is older than the
    card; or the mail, if it is looked at, which is younger. The router may or may not look at it."""
    for name in ("chat", "card"):
        moment, ids = waiting(mail=True)
        assert first_wrong(moment, [(ids[name], "ana")]) is None, name


def test_without_such_mail_there_is_one_order() -> None:
    moment, ids = waiting(mail=False)
    assert first_wrong(moment, [(ids["chat"], "ana"), (ids["card"], "ana")]) is None
    moment, ids = waiting(mail=False)
    assert "the rule says" in str(first_wrong(moment, [(ids["card"], "ana")]))
