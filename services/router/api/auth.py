"""Who is calling: API keys by their hash, JWTs by one fixed algorithm. What may be called is `access.py`'s.

A key is `sk_{workspace}.{key id}.{secret}` with 256 random bits; only its SHA-256 is ever recorded. A slow password
hash would add nothing: there is no dictionary of such secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from services.router.api.problems import NotReady, TooManyFailures, Unauthorized
from shared.clock import Clock
from shared.contracts.commands import Actor
from shared.views.port import Views, ViewsUnavailable
from shared.vocabulary import Role

KEY_PREFIX: Final = "sk_"
_ALGORITHMS: Final = ("HS256",)
_REQUIRED_CLAIMS: Final = ("iss", "aud", "exp", "sub", "ws", "role")
_MAX_CREDENTIAL: Final = 4096
_TRUSTED_S: Final = 300.0
_SEEN_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """`jwt_secret` has at least 32 bytes; whoever knows it can be anybody."""

    jwt_secret: str
    issuer: str = "switchdesk"
    audience: str = "switchdesk"
    leeway_s: int = 5
    token_ttl_s: int = 3600
    max_token_ttl_s: int = 43_200


@dataclass(frozen=True, slots=True)
class Caller:
    """What a credential says. `id` is the agent's id for agents; `expires_at` is seconds since the epoch."""

    workspace: str
    role: Role
    id: str
    key_id: str | None = None
    expires_at: float | None = None

    @property
    def actor(self) -> Actor:
        return Actor(role=self.role, id=self.id)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it is known whole."""

    key_id: str
    token: str
    key_hash: str


def new_key(workspace: str, key_id: str | None = None) -> NewKey:
    """A fresh key; `key_hash` is what goes into `CreateKey`."""
    key_id = key_id or secrets.token_hex(6)
    token = f"{KEY_PREFIX}{workspace}.{key_id}.{secrets.token_urlsafe(32)}"
    return NewKey(key_id, token, hash_key(token))


def hash_key(token: str) -> str:
    """SHA-256 over the whole key, workspace and id included."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def issue_token(
    settings: AuthSettings, *, workspace: str, role: Role, subject: str, now_ms: int, ttl_s: int | None = None
) -> tuple[str, int]:
    """A JWT and when it ends (seconds since the epoch). For agents the subject is the agent's id."""
    issued_at = now_ms // 1000
    expires_at = issued_at + (ttl_s or settings.token_ttl_s)
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": subject,
        "ws": workspace,
        "role": role.value,
        "iat": issued_at,
        "exp": expires_at,
    }
    return jwt.encode(claims, settings.jwt_secret, algorithm=_ALGORITHMS[0]), expires_at


class Authenticator:
    """Turns an `Authorization` header into a `Caller`, or refuses."""

    def __init__(self, settings: AuthSettings, views: Views, clock: Clock, partition_of: Callable[[str], int]) -> None:
        self._settings = settings
        self._views = views
        self._partition_of = partition_of
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str], tuple[float, Mapping[str, Any]]] = OrderedDict()
        self._failures = _Failures(clock)

    async def authenticate(self, header: str | None, client: str) -> Caller:
        """Raises `Unauthorized`, `TooManyFailures` where failures come too fast, `NotReady` while keys are unknown.

        Only failures are counted and only failures are slowed: a guesser behind the same address as a desk must not be
        able to lock the desk out, and 256 bits do not become guessable by this.
        """
        if header is None:
            # Forgetting the header is no guess; it costs us nothing and is not counted.
            raise Unauthorized("send `Authorization: Bearer …`")
        scheme, _, credential = header.partition(" ")
        credential = credential.strip()
        suspect = client
        if scheme.lower() == "bearer" and 0 < len(credential) <= _MAX_CREDENTIAL:
            if not credential.startswith(KEY_PREFIX):
                caller = self._of_token(credential)
            else:
                suspect = credential.rpartition(".")[0][:128] or client
                caller = await self._of_key(credential)
            if caller is not None:
                return caller
        retry_after = max(self._failures.count(f"ip {client}"), self._failures.count(f"id {suspect}"))
        if retry_after:
            raise TooManyFailures(headers={"Retry-After": str(retry_after)})
        raise Unauthorized("the key or token is not valid")

    async def still_valid(self, caller: Caller, now_s: float) -> bool:
        """Whether a stream that began with this caller may go on: not expired, not revoked."""
        if caller.expires_at is not None and now_s >= caller.expires_at:
            return False
        if caller.key_id is None:
            return True
        try:
            return await self._key(caller.workspace, caller.key_id) is not None
        except NotReady:
            return True
        except ViewsUnavailable:
            return False

    async def _of_key(self, credential: str) -> Caller | None:
        parts = credential.removeprefix(KEY_PREFIX).rsplit(".", 2)
        if len(parts) != 3:
            return None
        workspace, key_id, _ = parts
        known = await self._key(workspace, key_id)
        if known is None or not hmac.compare_digest(hash_key(credential), str(known["key_hash"])):
            return None
        role = Role(known["role"])
        agent = known.get("agent")
        if role is Role.AGENT and not agent:
            return None
        return Caller(workspace, role, str(agent) if role is Role.AGENT else key_id, key_id=key_id)

    async def _key(self, workspace: str, key_id: str) -> Mapping[str, Any] | None:
        """The key's document. While the views are away, the one that was seen here within `_TRUSTED_S`: whoever could
        call a minute ago still can, and a key that was revoked since can for so long."""
        now = self._clock.monotonic()
        try:
            known = await self._views.get(workspace, "key", key_id)
            if known is None and await self._views.seq(self._partition_of(workspace)) == 0:
                raise NotReady()
        except ViewsUnavailable:
            seen = self._seen.get((workspace, key_id))
            if seen is None or now - seen[0] > _TRUSTED_S:
                raise
            return seen[1]
        if known is None:
            self._seen.pop((workspace, key_id), None)
        else:
            self._seen[workspace, key_id] = (now, known)
            self._seen.move_to_end((workspace, key_id))
            if len(self._seen) > _SEEN_KEYS:
                self._seen.popitem(last=False)
        return known

    def _of_token(self, credential: str) -> Caller | None:
        settings = self._settings
        try:
            claims: dict[str, Any] = jwt.decode(
                credential,
                settings.jwt_secret,
                algorithms=list(_ALGORITHMS),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": list(_REQUIRED_CLAIMS)},
            )
            workspace, subject = claims["ws"], claims["sub"]
            if not (isinstance(workspace, str) and workspace and isinstance(subject, str) and subject):
                return None
            return Caller(workspace, Role(claims["role"]), subject, expires_at=float(claims["exp"]))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None


class _Failures:
    """A small token bucket per name: `burst` failures at once, then one every `1 / per_s` seconds."""

    def __init__(self, clock: Clock, *, burst: int = 20, per_s: float = 0.5, names: int = 10_000) -> None:
        self._clock = clock
        self._burst = burst
        self._per_s = per_s
        self._names = names
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, name: str) -> int:
        """Take one; 0, or how many seconds to wait until the next failure is answered again."""
        now = self._clock.monotonic()
        left, at = self._buckets.pop(name, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= 1
        self._buckets[name] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._names:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, round((1 - left) / self._per_s))
