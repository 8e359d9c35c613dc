"""Taking and declining offers. Whose offer it is, the engine decides from the credential, never from the request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.bodies import json_body
from services.router.api.schemas import ContactOut, PendingOut, RejectIn
from shared.contracts.commands import AcceptOffer, RejectOffer
from shared.vocabulary import OfferId, Role

router = APIRouter(tags=["offers"])

_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": ContactOut}, 202: {"model": PendingOut}}


@router.post("/v1/offers/{offer}/accept", responses=_ANSWERS)
async def accept(offer: str, call: Annotated[Call, allow(Role.AGENT)]) -> Response:
    """Take the contact. `409` says why it is too late."""
    answer = await call.submit(AcceptOffer(offer=OfferId(offer)))
    return await call.answered(answer, "contact", answer.subject)


@router.post("/v1/offers/{offer}/reject", responses=_ANSWERS)
async def reject(
    offer: str,
    call: Annotated[Call, allow(Role.AGENT)],
    body: Annotated[RejectIn, json_body(RejectIn, optional=True)],
) -> Response:
    """Decline; the contact keeps its age and place."""
    retry_after = None if body.retry_after_s is None else body.retry_after_s * 1000
    answer = await call.submit(RejectOffer(offer=OfferId(offer), reason=body.reason, retry_after=retry_after))
    return await call.answered(answer, "contact", answer.subject)
