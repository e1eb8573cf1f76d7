"""Descriptions of endpoints in the OpenAPI schema, beyond what drf-spectacular derives."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

Json = dict[str, Any]

SAFE = {"get", "head"}
REFUSAL: Json = {
    "type": "object",
    "properties": {"detail": {"type": "string", "description": "why, in a sentence"}},
    "required": ["detail"],
}
INVALID: Json = {
    "description": "For each field what is wrong with it, or `detail`; a list where no field is to blame.",
    "anyOf": [
        {"type": "object", "additionalProperties": {}},
        {"type": "array", "items": {"type": "string"}},
    ],
}
# Refusals that any endpoint may answer with, those that only a change gets, and only one with a body.
ALWAYS = {
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "The token or the session may not do this.",
    "404": "There is no such address, or it is not for you.",
    "406": "`Accept` names nothing that this address can give.",
    "429": "Too many requests in this minute: ask again after Retry-After.",
}
OF_CHANGES = {"409": "It cannot be done as things stand."}
OF_BODIES = {"413": "The body is too large.", "415": "The body is of a type that is not read here."}


class DescribedSchema(AutoSchema):
    """Each operation has the first sentence of its description beside its path.

    An endpoint that both reads and writes is described as "what it reads; or what it does".
    """

    def get_summary(self) -> str | None:
        sentence = " ".join(self.get_description().split()).partition(". ")[0].rstrip(".")
        reads, _, does = sentence.partition("; or ")
        summary = does if does and self.method != "GET" else reads
        return summary[:1].upper() + summary[1:] or None


def describe_refusals(result: Json, **_: Any) -> Json:
    """Add the refusals that endpoints share: a hook of drf-spectacular's.

    An endpoint's own words about one of them stay.
    """
    result["components"]["schemas"] |= {"Refusal": REFUSAL, "Invalid": INVALID}
    for operations in result["paths"].values():
        for method, operation in operations.items():
            responses: Json = operation["responses"]
            shared = ALWAYS | ({} if method in SAFE else OF_CHANGES)
            if "requestBody" in operation:
                shared |= OF_BODIES
            for status, why in shared.items():
                responses.setdefault(status, {"description": why})
            for status, response in responses.items():
                if status.startswith("4") and status != "400":
                    response.setdefault("content", _as_json("Refusal"))
            _describe_invalid(responses)
            operation["responses"] = dict(sorted(responses.items()))
    return result


def _describe_invalid(responses: Json) -> None:
    """Say what a 400 holds: besides what an endpoint says itself, fields with what is wrong with them."""
    response = responses.setdefault("400", {"description": "It cannot be read, or a field is wrong."})
    own = response.get("content", {}).get("application/json", {}).get("schema")
    response["content"] = _as_json("Invalid")
    if own:
        schema = response["content"]["application/json"]
        schema["schema"] = {"anyOf": [own, schema["schema"]]}


def _as_json(component: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{component}"}}}
