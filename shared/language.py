"""Which language a text is in, and how sure we are. Ingest records the answer; the engine decides with the history.

Four steps: clean; the commonest chat words from a small table (every detector is at chance there); scripts that only
one language uses answer at once; else two detectors vote. `eldc` gives a similarity per language, `pycld2` names one;
both are added with a weight that depends on the length of the text, and a softmax makes shares of them. The result is
**uncalibrated**: a share of 0.9 is not yet a promise to be right nine times in ten.

Where the detectors' wheels are missing (they exist for x86-64 Linux), the script rule stands alone and says so once.
"""

from __future__ import annotations

import logging
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from shared.contracts.commands import LanguageCandidate

log = logging.getLogger(__name__)

MOST_CANDIDATES: Final = 5
_LONGEST: Final = 600
"""Characters looked at: more does not change the answer, only the time."""
_LEAST_SHARE: Final = 0.01


class LanguageDetector(Protocol):
    """One method, never an exception: detection that fails is a text of unknown language."""

    def detect(self, text: str) -> tuple[LanguageCandidate, ...]:
        """Up to five candidates, best first; none for a text without language (digits, emoji, a lone address)."""
        ...


_FOLDED: Final = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl", "ji": "yi", "jw": "jv", "mo": "ro"}


def fold_language(code: str) -> str:
    """The key under which we know a language: no region, no script, one name each (`nb` → `no`, `zh-Hant` → `zh`)."""
    base = code.lower().replace("_", "-").partition("-")[0]
    return _FOLDED.get(base, base)


# --- cleaning ---------------------------------------------------------------------------------------------------------

_NOT_LANGUAGE: Final = re.compile(
    r"(?:https?://|www\.)\S+"  # web addresses
    r"|\S+@\S+"  # mail addresses
    r"|[@#/]\S+"  # mentions, tags, commands
    r"|[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"  # controls, surrogates, marks
)
_SPACES: Final = re.compile(r"\s+")
_LETTER: Final = re.compile(r"[^\W\d_]")


def clean(text: str) -> str:
    """What there is of language in a text: cut, without addresses, mentions, controls and lone surrogates."""
    return _SPACES.sub(" ", _NOT_LANGUAGE.sub(" ", text[:_LONGEST])).strip()


# --- the commonest words ----------------------------------------------------------------------------------------------


def _words(language: str, share: float, words: str) -> dict[str, dict[str, float]]:
    return {word.strip(): {language: share} for word in words.split(",")}


COMMON_WORDS: Final[Mapping[str, Mapping[str, float]]] = {
    **_words(
        "en", 0.97, "thanks, thank you, thanks a lot, please, yes please, good morning, need help, help me, sorry"
    ),
    **_words("en", 0.9, "hello, hello there, hi there, hey there, yes, thx, bye, help, cancel, refund, great, cool"),
    **_words("es", 0.97, "hola, gracias, muchas gracias, buenos días, buenos dias, buenas tardes, por favor, adiós"),
    **_words("fr", 0.96, "bonjour, merci, merci beaucoup, bonsoir, oui, s'il vous plaît, s'il vous plait, d'accord"),
    **_words("de", 0.96, "danke, danke schön, guten tag, guten morgen, bitte, nein, vielen dank, hallo zusammen"),
    **_words("it", 0.95, "ciao, grazie, grazie mille, buongiorno, buonasera, per favore, prego"),
    **_words("pt", 0.96, "obrigado, obrigada, olá, bom dia, boa tarde, boa noite, por favor!, tudo bem, sim"),
    **_words("id", 0.93, "makasih, terima kasih, selamat siang, selamat sore, permisi, halo kak, kak, iya kak"),
    **_words("tr", 0.97, "merhaba, teşekkürler, teşekkür ederim, tamam, selam, lütfen, evet, hayır"),
    **_words("vi", 0.95, "xin chào, cảm ơn, xin chao, cam on, chào bạn"),
    **_words("sv", 0.9, "tack, tack så mycket"),
    **_words("nl", 0.95, "bedankt, dank je, alstublieft, goedemorgen, dankjewel"),
    **_words("pl", 0.97, "cześć, dziękuję, dzień dobry, proszę, dzieki"),
    **_words("hi", 0.85, "namaste, dhanyavad, dhanyawad, shukriya, haan, kya"),
    **_words("ru", 0.8, "spasibo, privet, zdravstvuyte"),
    "hi": {"en": 0.75, "sv": 0.03, "no": 0.03},
    "hey": {"en": 0.7, "de": 0.05, "no": 0.04, "sv": 0.04},
    "ok": {"en": 0.25, "es": 0.08, "id": 0.06, "fr": 0.05, "de": 0.05},
    "okay": {"en": 0.45, "de": 0.1},
    "no": {"en": 0.35, "es": 0.3, "it": 0.15, "ca": 0.02},
    "si": {"es": 0.55, "it": 0.25, "ca": 0.05, "ro": 0.03},
    "sí": {"es": 0.9, "ca": 0.05},
    "ja": {"de": 0.4, "nl": 0.15, "sv": 0.1, "no": 0.1, "da": 0.1},
    "halo": {"id": 0.7, "ms": 0.05, "pl": 0.05},
    "hallo": {"de": 0.6, "nl": 0.25, "no": 0.05},
    "hej": {"sv": 0.5, "da": 0.25, "pl": 0.1, "no": 0.05},
    "hei": {"fi": 0.45, "no": 0.45},
    "salut": {"fr": 0.6, "ro": 0.25, "ca": 0.05},
    "ola": {"pt": 0.6, "gl": 0.1, "es": 0.1},
    "oi": {"pt": 0.8, "en": 0.05},
    "tolong": {"id": 0.6, "ms": 0.3},
    "ya": {"id": 0.4, "es": 0.3, "ms": 0.1},
    "tidak": {"id": 0.6, "ms": 0.3},
    "stop": {"en": 0.4, "fr": 0.1, "nl": 0.1, "de": 0.08},
    "test": {"en": 0.3},
}

# --- scripts ----------------------------------------------------------------------------------------------------------

_LATIN: Final = "latin"
# (first code point, script); a script lasts until the next row. "" is nothing to go by.
_RANGES: Final[tuple[tuple[int, str], ...]] = (
    (0x0000, _LATIN), (0x0370, "el"), (0x0400, "cyrillic"), (0x0530, "hy"), (0x0590, "he"), (0x0600, "arabic"),
    (0x0700, ""), (0x0750, "arabic"), (0x0780, ""), (0x08A0, "arabic"), (0x0900, "devanagari"), (0x0980, "bn"),
    (0x0A00, "pa"), (0x0A80, "gu"), (0x0B00, "or"), (0x0B80, "ta"), (0x0C00, "te"), (0x0C80, "kn"), (0x0D00, "ml"),
    (0x0D80, "si"), (0x0E00, "th"), (0x0E80, "lo"), (0x0F00, "bo"), (0x1000, "my"), (0x10A0, "ka"), (0x1100, "ko"),
    (0x1200, "am"), (0x13A0, ""), (0x1780, "km"), (0x1800, ""), (0x1E00, _LATIN), (0x1F00, "el"), (0x2000, ""),
    (0x2C60, _LATIN), (0x2C80, ""), (0x2DE0, "cyrillic"), (0x2E00, ""), (0x3040, "ja"), (0x3100, ""), (0x3130, "ko"),
    (0x3190, ""), (0x31F0, "ja"), (0x3200, ""), (0x3400, "han"), (0xA000, ""), (0xA640, "cyrillic"), (0xA6A0, ""),
    (0xA720, _LATIN), (0xA800, ""), (0xA8E0, "devanagari"), (0xA900, ""), (0xAC00, "ko"), (0xD7B0, ""),
    (0xF900, "han"), (0xFB00, _LATIN), (0xFB13, "hy"), (0xFB1D, "he"), (0xFB50, "arabic"), (0xFE00, ""),
    (0xFE70, "arabic"), (0xFF00, ""), (0xFF21, _LATIN), (0xFF66, "ja"), (0xFFA0, ""), (0x20000, "han"), (0x32000, ""),
)  # fmt: skip
_STARTS: Final = [first for first, _ in _RANGES]
_BEYOND_LATIN: Final = re.compile(r"[\u0370-\u1dff\u2c80-\ua71f\ua800-\ufaff\ufb13-\uff20\uff66-\U0010ffff]")
_DENSE: Final = {"han": 3.0, "ja": 2.0, "ko": 2.0, "th": 1.5}
"""A character of these says as much as several Latin letters."""

SHARED_SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = {
    "cyrillic": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg", "tt"),
    "arabic": ("ar", "fa", "ur", "ku", "ps", "ug", "sd"),
    "devanagari": ("hi", "mr", "ne", "sa"),
    "han": ("zh", "ja"),
}
_NEVER_LATIN: Final = frozenset({name for _, name in _RANGES} | set().union(*SHARED_SCRIPTS.values())) - {"sr", "ku"}
"""What a detector must not make of Latin letters, however odd they are."""


class Script(NamedTuple):
    """The script that carries the text, its share, and whether kana stands among the Han characters."""

    name: str
    share: float


def script_of(text: str) -> Script:
    """Which script most of the (cleaned) text is in. A text with kana is Japanese, however many kanji it has."""
    if text.isascii() or not _BEYOND_LATIN.search(text):
        return Script(_LATIN, 1.0)
    weights: dict[str, float] = {}
    for char in text[:200]:
        if char.isalpha() or char >= "\u0300":
            name = _RANGES[bisect_right(_STARTS, ord(char)) - 1][1]
            if name:
                weights[name] = weights.get(name, 0.0) + _DENSE.get(name, 1.0)
    if "ja" in weights:
        weights["ja"] += weights.pop("han", 0.0)
    if not weights:
        return Script("", 0.0)
    best = max(weights, key=lambda name: (weights[name], name))
    return Script(best, weights[best] / sum(weights.values()))


# --- detectors --------------------------------------------------------------------------------------------------------

Scores = Mapping[str, float]
Scorer = Callable[[str], Scores]
"""Evidence per (folded) language; what is not named has none."""


def _eldc_scorer() -> Scorer:
    """Similarities between 0 and 1. An instance of our own: eldc's module-level settings are global."""
    import eldc  # type: ignore[import-untyped]

    eldc.init()
    instance = eldc.instance()
    instance.set_scores(12)

    def score(text: str) -> Scores:
        scores: dict[str, float] = instance.detect_details(text).scores
        if "ms" in scores:
            # eldc knows Malay and Indonesian as one; Indonesian has ten times the writers.
            return {**scores, "id": scores["ms"] + 0.02}
        return scores

    return score


def _cld2_scorer() -> Scorer:
    """One vote, as large as the share of the text it stands on."""
    import pycld2  # type: ignore[import-untyped]

    def score(text: str) -> Scores:
        try:
            _, _, details = pycld2.detect(text, bestEffort=True)
        except pycld2.error:
            return {}
        return {fold_language(code): percent / 100 for _, code, percent, _ in details if code != "un"}

    return score


class Weights(NamedTuple):
    """How much each detector counts at a length; fitted roughly, to be calibrated."""

    longest: int
    eldc: float
    cld2: float


WEIGHTS: Final = (
    Weights(6, 5.4, 0.8),
    Weights(12, 8.4, 1.1),
    Weights(25, 13.2, 1.6),
    Weights(_LONGEST, 19.2, 2.0),
)
_URDU: Final = re.compile("[ٹڈڑےںھہ]")
_PERSIAN: Final = re.compile("[پچژگ]")
_UKRAINIAN: Final = re.compile("[їєґЇЄҐ]")
_RUSSIAN: Final = re.compile("[ыэёЫЭЁ]")
_NARROWING: Final[Mapping[str, Callable[[str], str | None]]] = {
    "arabic": lambda text: "ur" if _URDU.search(text) else "fa" if _PERSIAN.search(text) else None,
    "cyrillic": lambda text: "uk" if _UKRAINIAN.search(text) else "ru" if _RUSSIAN.search(text) else None,
    # Japanese without a single kana is rare; both detectors are at a loss between the two.
    "han": lambda text: "zh",
}
_LETTER_EVIDENCE: Final = 2.0


class CombinedDetector:
    """Table, script rule, and whatever scorers there are."""

    def __init__(self, similarity: Scorer | None, vote: Scorer | None) -> None:
        self._similarity = similarity
        self._vote = vote

    def detect(self, text: str) -> tuple[LanguageCandidate, ...]:
        text = clean(text)
        if not _LETTER.search(text):
            return ()
        if len(text) <= 24:
            known = COMMON_WORDS.get(text.lower().strip(" .,!?¡¿:;)(-…~*'\""))
            if known is not None:
                return _candidates(known)
        script = script_of(text)
        if not script.name:
            return ()
        if script.name == _LATIN:
            return _candidates(self._combine(text, None))
        allowed = SHARED_SCRIPTS.get(script.name)
        shares = {script.name: 0.99} if allowed is None else self._combine(text, allowed, _NARROWING.get(script.name))
        return _candidates({language: share * script.share for language, share in shares.items()})

    def _combine(
        self,
        text: str,
        allowed: tuple[str, ...] | None,
        narrowing: Callable[[str], str | None] | None = None,
    ) -> Mapping[str, float]:
        """`exp(weight * similarity + weight * vote)`, normalised over the languages that anything speaks for."""
        similarities = self._similarity(text) if self._similarity else {}
        votes = self._vote(text) if self._vote else {}
        weights = next(row for row in WEIGHTS if len(text) <= row.longest)
        evidence: dict[str, float] = {}
        for language in {*similarities, *votes} - _NEVER_LATIN if allowed is None else allowed:
            evidence[language] = weights.eldc * similarities.get(language, 0.0) + weights.cld2 * votes.get(
                language, 0.0
            )
        told = narrowing(text) if narrowing else None
        if told is not None:
            evidence[told] = evidence.get(told, 0.0) + _LETTER_EVIDENCE
        if not evidence:
            return {}
        if allowed is not None and not similarities and not votes and told is None:
            # Nothing but the script: its commonest language, with little conviction.
            return {allowed[0]: 0.5}
        top = max(evidence.values())
        raw = {language: math.exp(value - top) for language, value in evidence.items()}
        total = sum(raw.values())
        return {language: value / total for language, value in raw.items()}


def _candidates(shares: Mapping[str, float]) -> tuple[LanguageCandidate, ...]:
    best = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:MOST_CANDIDATES]
    return tuple(
        LanguageCandidate(language=language, confidence=round(share, 4))
        for language, share in best
        if share >= _LEAST_SHARE
    )


def language_detector() -> LanguageDetector:
    """The best detector that this machine can have."""
    scorers: dict[str, Scorer | None] = {}
    for name, make in (("eldc", _eldc_scorer), ("pycld2", _cld2_scorer)):
        try:
            scorers[name] = make()
        except ImportError:
            scorers[name] = None
            log.warning(
                "language detector is missing; texts in shared scripts will be guessed", extra={"library": name}
            )
    return CombinedDetector(scorers["eldc"], scorers["pycld2"])
