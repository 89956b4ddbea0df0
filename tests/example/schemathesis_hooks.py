"""Gives schemathesis keys that exist: what is well typed names a row, so that accepted data can be stored.

Only data that is meant to be valid is touched. Nothing else is exempted or changed.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import schemathesis

KEYS: dict[str, list[Any]] = json.loads(Path(os.environ["EXISTING_KEYS"]).read_text())
BY_PARAMETER = {
    "airline_carrier": "own_airline",
    "airport_faa": "origins",
    "plane_tailnum": "planes",
    "flight_id": "flights",
    "weather_origin_time_hour": "weather",
}
BY_FIELD = {"origin": "airports", "dest": "airports", "tailnum": "planes", "carrier": "own_airline"}


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """Put existing keys into the path and the foreign keys of a valid case."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    chosen = random.Random(repr((case.path_parameters, case.query, case.body)))
    case.path_parameters = dict(case.path_parameters or {})
    for name, value in case.path_parameters.items():
        created = name == "flight_id" and str(value).isdigit() and int(value) > max(KEYS["flights"])
        # What a stateful scenario has created is what it asks for next.
        case.path_parameters[name] = value if created else chosen.choice(KEYS[BY_PARAMETER[name]])
    if {"airport_faa", "weather_origin_time_hour"} <= set(case.path_parameters):
        case.path_parameters["airport_faa"] = case.path_parameters["weather_origin_time_hour"].split(",")[0]
    if isinstance(case.body, dict):
        # Cases share what they were made from.
        case.body = dict(case.body)
        for field, pool in BY_FIELD.items():
            if case.body.get(field) is not None:
                case.body[field] = chosen.choice(KEYS[pool])
        if "airport_faa" in case.path_parameters and "origin" in case.body:
            case.body["origin"] = case.path_parameters["airport_faa"]
    return case
