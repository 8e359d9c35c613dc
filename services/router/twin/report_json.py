"""The report as one JSON object, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from services.router.twin.compare import differences
from services.router.twin.interval import Interval
from services.router.twin.measure import Figures
from services.router.twin.runs import Results

KEYS: Final = (*("sl", "sl_int", "ab", "ab_int", "worst_lang", "low5_lang", "lang_sl", "occ", "occ_sd", "cpu_s", "ch"),)
"""What is told of a run; the rest stands under `detail`."""
DETAIL: Final = ("occ_load", "occ_load_sd", "jain", "moved", "unserved", "lang_n", "lang_ch_sl", "agents", "queue")


def as_json(results: Results, *, detail: bool = False) -> str:
    """`{policies: {NAME: {SEED: {sl, …}}}, paired: {NAME: {against, by: {sl: {mean, low, high, runs}}}}}`. With
    `detail` also `detail: {NAME: {SEED: {occ_load, jain, agents: […], queue: {…}, …}}}`."""
    report: dict[str, Any] = {
        "policies": _each(results, KEYS),
        "paired": {
            each.policy: {"against": each.against, "by": {name: told(found) for name, found in each.by.items()}}
            for each in differences(results)
        },
    }
    if detail:
        report["detail"] = _each(results, DETAIL)
    return json.dumps(report, ensure_ascii=False)


def told(found: Interval) -> dict[str, float | int | None]:
    """An interval as `{mean, low, high, runs}`."""
    return {"mean": found.mean, "low": found.low, "high": found.high, "runs": found.runs}


def _each(results: Results, keys: tuple[str, ...]) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        policy: {str(seed): _run(figures, keys) for seed, figures in runs.items()} for policy, runs in results.items()
    }


def _run(figures: Figures, keys: tuple[str, ...]) -> dict[str, Any]:
    whole = asdict(figures)
    return {key: whole[key] for key in keys}
