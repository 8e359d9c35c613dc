"""`/webhooks/{provider}/{account}`: verify on the raw bytes, understand, make durable, and only then answer 200."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.ingest_social.dead_letters import DeadLetters, Letter, Reason
from services.ingest_social.platforms.port import BadSignature, Platform, Unreadable
from shared.contracts.commands import Actor
from shared.contracts.message import InboundMessage
from shared.http_body import BodyTooLarge, read_capped
from shared.intake import Intake, UnknownChannel
from shared.log.port import LogUnavailable
from shared.quotas import OverQuota, Quotas, Source, source_of
from shared.vocabulary import Role

log = logging.getLogger(__name__)

ACTOR: Final = Actor(role=Role.ADAPTER, id="ingest_social")


class Webhooks:
    """All providers' requests."""

    def __init__(
        self,
        platforms: Mapping[str, Platform],
        intake: Intake,
        dead_letters: DeadLetters,
        largest_body: int,
        quotas: Quotas | None = None,
    ) -> None:
        """Without `quotas` any number of messages is taken."""
        self._platforms = platforms
        self._intake = intake
        self._dead_letters = dead_letters
        self._quotas = quotas
        self._largest_body = largest_body

    def add_to(self, router: APIRouter) -> None:
        router.add_api_route("/webhooks/{provider}/{account}", self.receive, methods=["POST"], include_in_schema=False)
        router.add_api_route("/webhooks/{provider}/{account}", self.greet, methods=["GET"], include_in_schema=False)

    async def greet(self, request: Request, provider: str, account: str) -> Response:
        """The provider's handshake."""
        platform = self._platforms.get(provider)
        if platform is None or platform.workspace_of(account) is None:
            return _problem(404, "there is no such webhook")
        answer = platform.handshake(account, dict(request.query_params))
        if answer is None:
            return _problem(403, "this is not the provider's handshake")
        return PlainTextResponse(answer, headers={"X-Content-Type-Options": "nosniff"})

    async def receive(self, request: Request, provider: str, account: str) -> Response:
        platform = self._platforms.get(provider)
        workspace = platform.workspace_of(account) if platform is not None else None
        if platform is None or workspace is None:
            return _problem(404, "there is no such webhook")
        try:
            body = await read_capped(request, self._largest_body)
            platform.verify(account, request.headers, body)
        except BodyTooLarge:
            return _problem(413, f"at most {self._largest_body} bytes")
        except BadSignature as error:
            return _problem(401 if error.missing else 403, str(error))
        try:
            return await self._accept(platform, provider, account, workspace, body)
        except OverQuota as refused:
            # Never 200, after which nobody would send it again. Telegram and Meta repeat whatever is not answered with
            # 2xx, whole; a provider that takes a 4xx for the end of it would have to be answered 503 here.
            return _problem(429, str(refused), {"Retry-After": refused.retry_after})
        except (LogUnavailable, OSError):
            return _problem(503, "not stored for certain; please send it again", {"Retry-After": "5"})

    async def read_again(self, letter: Letter) -> list[str]:
        """A dead letter by the same road as a request; what is still wrong with it. Raises `LogUnavailable`."""
        platform = self._platforms.get(letter.provider)
        if platform is None or platform.workspace_of(letter.account) != letter.workspace:
            return [f"there is no account {letter.provider}/{letter.account} of workspace {letter.workspace}"]
        # Whoever reads it again has waited for it, and is no flood: no quota counts.
        _, faults, _ = await self._read(platform, letter.account, letter.workspace, letter.raw, None)
        return [words for _, words in faults]

    async def _accept(self, platform: Platform, provider: str, account: str, workspace: str, body: bytes) -> Response:
        """In order, one after the other: messages of one thread must not overtake each other. Raises `OverQuota`."""
        accepted, faults, refused = await self._read(platform, account, workspace, body, self._quotas)
        if refused is not None:
            # What was taken is recognised when all of it comes again, and what cannot be read is put aside then.
            raise refused
        if faults:
            letter = await self._dead_letters.put(
                provider=provider,
                account=account,
                workspace=workspace,
                kinds={kind for kind, _ in faults},
                reason="; ".join(words for _, words in faults)[:1000],
                raw=body,
            )
            log.warning("a webhook's request could not be read", extra={"dead_letter": letter, "provider": provider})
        return JSONResponse({"accepted": accepted, "dead_letters": len(faults)})

    async def _read(
        self, platform: Platform, account: str, workspace: str, body: bytes, quotas: Quotas | None
    ) -> tuple[int, list[tuple[Reason, str]], OverQuota | None]:
        """How many messages were made durable, what could not be understood or placed, in words, and why some were
        refused."""
        accepted = 0
        try:
            batch = platform.parse(account, body)
        except Unreadable as error:
            return 0, [(Reason.UNREADABLE, str(error))], None
        refused = _admitted(quotas, workspace, batch.messages) if quotas is not None else {}
        faults = [(Reason.UNREADABLE, words) for words in batch.unreadable]
        for message in batch.messages:
            if source_of(workspace, message) in refused:
                continue
            try:
                await self._intake.accept(workspace, message, actor=ACTOR)
                accepted += 1
            except UnknownChannel as error:
                faults.append((Reason.UNKNOWN_CHANNEL, str(error)))
        return accepted, faults, max(refused.values(), key=lambda each: int(each.retry_after), default=None)


def _admitted(quotas: Quotas, workspace: str, messages: Sequence[InboundMessage]) -> dict[Source, OverQuota]:
    """Whose messages are refused: all of a request or none of them, so that none overtakes another. The others pay.

    A sender who floods does not hold up others of the same request: theirs are taken, whatever is answered. Raises
    `OverQuota` where the account takes nothing at all.
    """
    counts = Counter(source_of(workspace, message) for message in messages)
    for channel, account in {(source.channel, source.account) for source in counts}:
        if (over := quotas.account(channel, account, messages=len(messages))) is not None:
            raise over
    refused: dict[Source, OverQuota] = {}
    for source, count in counts.items():
        if (over := quotas.sender(source, messages=count)) is not None:
            refused[source] = over
        else:
            quotas.charge(source, count)
    return refused


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail},
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )
