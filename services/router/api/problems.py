"""Every error the API can answer, in one shape: RFC 9457 `application/problem+json`.

A subclass sets status, slug and title once; whoever raises it gives the detail and the members that help. The slugs
are listed in `docs/problems.md` with cause and cure; a test holds that page equal to this file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.router.api.answers import NO_STORE
from shared.intake import UnknownChannel as NoSuchAccount
from shared.log.codec import encode
from shared.log.port import LogUnavailable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Raise it anywhere under a request; one handler answers it."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> Response:
        body: dict[str, Any] = {"type": f"/problems/{self.slug}", "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        body.update(self.members)
        return Response(
            encode(body), status_code=self.status, media_type=MEDIA_TYPE, headers={**NO_STORE, **self.headers}
        )


class MalformedJson(Problem):
    status, slug, title = 400, "malformed-json", "The body is not the JSON that we accept"


class Unauthorized(Problem):
    status, slug, title = 401, "unauthorized", "A valid key or token is needed"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    status, slug, title = 403, "forbidden", "This role may not do that"


class NotFound(Problem):
    status, slug, title = 404, "not-found", "There is nothing at this address"


class UnknownWorkspace(Problem):
    status, slug, title = 404, "unknown-workspace", "There is no such workspace"


class UnknownAgent(Problem):
    status, slug, title = 404, "unknown-agent", "There is no such agent"


class UnknownContact(Problem):
    status, slug, title = 404, "unknown-contact", "There is no such contact"


class UnknownOffer(Problem):
    status, slug, title = 404, "unknown-offer", "There is no such offer"


class UnknownQueue(Problem):
    status, slug, title = 404, "unknown-queue", "There is no such queue"


class UnknownFlow(Problem):
    status, slug, title = 404, "unknown-flow", "There is no such flow"


class UnknownChannel(Problem):
    status, slug, title = 404, "unknown-channel", "There is no such channel"


class UnknownPresence(Problem):
    status, slug, title = 404, "unknown-presence", "There is no such presence"


class UnknownMessage(Problem):
    status, slug, title = 404, "unknown-message", "There is no such message"


class UnknownOutbound(Problem):
    status, slug, title = 404, "unknown-outbound", "There is no such outbound message"


class UnknownKey(Problem):
    status, slug, title = 404, "unknown-key", "There is no such key"


class UnknownCommand(Problem):
    status, slug, title = 404, "unknown-command", "There is no such command"


class MethodNotAllowed(Problem):
    status, slug, title = 405, "method-not-allowed", "This address does not take that method"


class BodyTooSlow(Problem):
    status, slug, title = 408, "body-too-slow", "The body did not arrive in time"


class OfferExpired(Problem):
    status, slug, title = 409, "offer-expired", "This offer ran out"


class OfferWithdrawn(Problem):
    status, slug, title = 409, "offer-withdrawn", "This offer was taken back"


class OfferDeclined(Problem):
    status, slug, title = 409, "offer-declined", "This offer was already declined"


class OfferAcceptedByAnother(Problem):
    status, slug, title = 409, "offer-accepted-by-another", "Somebody else has this contact"


class NotYours(Problem):
    status, slug, title = 409, "not-yours", "This belongs to another agent"


class WrongState(Problem):
    status, slug, title = 409, "wrong-state", "The contact is not in a state that allows this"


class NoRoom(Problem):
    status, slug, title = 409, "no-room", "The agent has no room for the contact"


class Unreachable(Problem):
    status, slug, title = 409, "unreachable", "The customer must not be written to there"


class ChannelIsDown(Problem):
    status, slug, title = 409, "channel-down", "This channel is down"


class NotThere(Problem):
    status, slug, title = 409, "not-there", "The agent is not there"


class TooManyConsulted(Problem):
    status, slug, title = 409, "too-many-consulted", "So many colleagues are asked already"


class NoWrapUp(Problem):
    status, slug, title = 409, "no-wrap-up", "There is no wrap-up running"


class AlreadyExists(Problem):
    status, slug, title = 409, "already-exists", "This exists already"


class CannotReply(Problem):
    status, slug, title = 409, "cannot-reply", "The customer cannot be written to here"


class Conflict(Problem):
    status, slug, title = 409, "conflict", "The request does not fit the present state"


class HistoryTrimmed(Problem):
    """`detail` says at which entry the journal begins."""

    status, slug, title = 410, "history-trimmed", "The journal does not reach back to the beginning of this contact"


class BodyTooLarge(Problem):
    status, slug, title = 413, "body-too-large", "The body is larger than allowed"


class UnsupportedMediaType(Problem):
    status, slug, title = 415, "unsupported-media-type", "The body is of a kind that this address does not take"


class Invalid(Problem):
    """`errors` names every offending field."""

    status, slug, title = 422, "invalid", "The request is not valid"

    def __init__(self, errors: Sequence[Mapping[str, Any]], detail: str = "", **members: Any) -> None:
        super().__init__(detail or _summary(errors), errors=list(errors), **members)


class InvalidPolicy(Invalid):
    status, slug, title = 422, "policy-invalid", "The policy is not valid"


class KeyReused(Problem):
    status, slug, title = 422, "idempotency-key-reused", "This idempotency key was used for another request"


class TooManyFailures(Problem):
    status, slug, title = 429, "too-many-failures", "Too many failed attempts from there"


class TooManyMessages(Problem):
    """One source's quota is used up. Nothing was stored of this message."""

    status, slug, title = 429, "too-many-messages", "Too many messages from this source"


class TooManyStreams(Problem):
    status, slug, title = 429, "too-many-streams", "Too many open streams"


class CommandRejected(Problem):
    """A bug of ours: the command lies in the dead letters, the state is as it was."""

    status, slug, title = 500, "command-rejected", "The router could not decide this command"


class CannotExplain(Problem):
    """A decision's agents are not recorded but found out again, and that is not possible; `detail` says why."""

    status, slug, title = 503, "cannot-explain", "Who was there cannot be found out"


class OutcomeUnknown(Problem):
    """It may or may not have become durable. Retrying under the same key is safe."""

    status, slug, title = 503, "outcome-unknown", "The log did not confirm in time"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail or "It may still happen. Try again with the same Idempotency-Key (or source_key).",
            headers={"Retry-After": "1"},
        )


class NotReady(Problem):
    """The views are empty: after a start, or after they were lost. Nobody can be told "no such thing" by them."""

    status, slug, title = 503, "not-ready", "The views are being written"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class ViewBehind(Problem):
    status, slug, title = 503, "view-behind", "The views have not reached that sequence number yet"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


_REFUSALS: dict[str, type[Problem]] = {
    "unknown_workspace": UnknownWorkspace,
    "unknown_agent": UnknownAgent,
    "unknown_contact": UnknownContact,
    "unknown_offer": UnknownOffer,
    "unknown_queue": UnknownQueue,
    "unknown_flow": UnknownFlow,
    "unknown_channel": UnknownChannel,
    "unknown_presence": UnknownPresence,
    "unknown_message": UnknownMessage,
    "unknown_key": UnknownKey,
    "not_yours": NotYours,
    "offer_expired": OfferExpired,
    "offer_withdrawn": OfferWithdrawn,
    "offer_declined": OfferDeclined,
    "offer_accepted_by_another": OfferAcceptedByAnother,
    "wrong_state": WrongState,
    "no_room": NoRoom,
    "unreachable": Unreachable,
    "channel_down": ChannelIsDown,
    "not_there": NotThere,
    "too_many": TooManyConsulted,
    "no_wrap_up": NoWrapUp,
    "already_exists": AlreadyExists,
    "duplicate_key": AlreadyExists,
    "cannot_reply": CannotReply,
    "forbidden": Forbidden,
    "rejected": CommandRejected,
}


_OF_THE_BODY = frozenset({"unknown_queue", "unknown_flow", "unknown_channel", "unknown_presence", "invalid_route"})
_BODY_FIELDS = frozenset({"contact_id"})
"""Fields that no address has: what they name is the body's fault, whatever it is."""


def refusal(reason: str, detail: str, field: str | None) -> Problem:
    """The problem behind the engine's "no".

    A queue, channel or presence that does not exist is the body's fault (`422`, with the field): a `404` would say that
    the address is wrong.
    """
    if reason == "id_reused":
        return KeyReused(detail)
    if reason == "policy_invalid":
        return InvalidPolicy([{"field": field or "", "detail": detail}], reason=reason)
    if field is not None and (reason in _OF_THE_BODY or field in _BODY_FIELDS):
        return Invalid([{"field": field, "detail": detail or reason.replace("_", " ")}], reason=reason)
    members: dict[str, Any] = {"reason": reason}
    if field is not None:
        members["errors"] = [{"field": field, "detail": detail}]
    return _REFUSALS.get(reason, Conflict)(detail, **members)


_PLACE = re.compile(r"^([A-Za-z_][\w-]*(?:\.[\w-]+)*): (.*)$", re.DOTALL)


def field_errors(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Pydantic's errors as `{field, detail}`, without the value: what a customer wrote does not come back in errors."""
    found: list[dict[str, Any]] = []
    for error in errors:
        field = ".".join(str(part) for part in error["loc"])
        detail = str(error["msg"]).removeprefix("Value error, ")
        place = _PLACE.match(detail) if not field and error["type"] == "value_error" else None
        if place is not None:
            field, detail = place.groups()
        found.append({"field": field, "detail": detail})
    return found


def _summary(errors: Sequence[Mapping[str, Any]]) -> str:
    if not errors:
        return ""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{first['field']}: {first['detail']}{more}" if first["field"] else f"{first['detail']}{more}"


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem: our own, the framework's, and what nobody expected."""

    async def of_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def of_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return Invalid(field_errors(error.errors())).response()

    async def of_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _of_status(error).response()

    async def of_log(_: Request, __: Exception) -> Response:
        return OutcomeUnknown().response()

    async def of_account(_: Request, error: Exception) -> Response:
        assert isinstance(error, NoSuchAccount)
        return Invalid(
            [{"field": "channel", "detail": f"there is no channel of kind {error.channel.value}"}],
            reason="unknown_channel",
        ).response()

    async def of_bug(_: Request, __: Exception) -> Response:
        # Starlette raises the exception again after this answer, so the server logs its traceback.
        return Problem().response()

    app.add_exception_handler(Problem, of_problem)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(LogUnavailable, of_log)
    app.add_exception_handler(NoSuchAccount, of_account)
    app.add_exception_handler(Exception, of_bug)


_BY_STATUS: dict[int, type[Problem]] = {
    404: NotFound,
    405: MethodNotAllowed,
    415: UnsupportedMediaType,
}


def _of_status(error: HTTPException) -> Problem:
    known = _BY_STATUS.get(error.status_code)
    if known is not None:
        return known(headers=error.headers)
    phrase = HTTPStatus(error.status_code).phrase
    kind = type("HttpProblem", (Problem,), {"status": error.status_code, "slug": "http-error", "title": phrase})
    problem: Problem = kind(str(error.detail) if error.detail != phrase else "", headers=error.headers)
    return problem
