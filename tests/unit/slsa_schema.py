"""What statements with provenance are, as a JSON Schema.

Written after https://github.com/in-toto/attestation/blob/v1.1.2/protos/in_toto_attestation/v1/statement.proto and
https://github.com/slsa-framework/slsa/blob/main/spec/v1.2/schema/provenance.cue
"""

from __future__ import annotations

URI = {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$"}
TEXT = {"type": "string"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def thing(required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


RESOURCE = {
    **thing(
        [],
        uri=URI,
        digest={"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"}},
        name=TEXT,
        downloadLocation=URI,
        mediaType=TEXT,
        content=TEXT,
        annotations={"type": "object"},
    ),
    "anyOf": [{"required": [one]} for one in ("uri", "digest", "content")],
}
RESOURCES = {"type": "array", "items": RESOURCE}
SLSA = thing(
    ["_type", "subject", "predicateType", "predicate"],
    _type={"const": "https://in-toto.io/Statement/v1"},
    subject={"type": "array", "minItems": 1, "items": {**RESOURCE, "required": ["digest"]}},
    predicateType={"const": "https://slsa.dev/provenance/v1"},
    predicate=thing(
        ["buildDefinition", "runDetails"],
        buildDefinition=thing(
            ["buildType", "externalParameters"],
            buildType=URI,
            externalParameters={"type": "object"},
            internalParameters={"type": "object"},
            resolvedDependencies=RESOURCES,
        ),
        runDetails=thing(
            ["builder"],
            builder=thing(
                ["id"],
                id=URI,
                builderDependencies=RESOURCES,
                version={"type": "object", "additionalProperties": TEXT},
            ),
            metadata=thing([], invocationId=TEXT, startedOn=TIME, finishedOn=TIME),
            byproducts=RESOURCES,
        ),
    ),
)
