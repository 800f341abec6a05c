"""The description of all routes in OpenAPI 3.1."""

from typing import Any

from speechcls import __version__
from speechcls.serve.settings import ServeConfig

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT = {"type": "integer", "minimum": 1}
_TEXT = {"type": "string"}
_MODEL = ("name of a model of /v1/models", _TEXT)
_THRESHOLD = ("detection threshold of all labels (default: the model's own)", _PROBABILITY)
_LABELS = ("labels to detect, as yes,no (default: all words)", _TEXT)
_CHANNEL = ("channel to use, the first is 1 (default: the mean of those with sound)", _COUNT)
PARAMETERS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "/v1/predict": {
        "model": _MODEL,
        "threshold": ("predict _uncertain_ below this probability", _PROBABILITY),
        "top_k": ("labels among the probabilities (default: all)", _COUNT),
        "channel": _CHANNEL,
    },
    "/v1/detect": {
        "model": _MODEL,
        "threshold": _THRESHOLD,
        "labels": _LABELS,
        "channel": _CHANNEL,
    },
    "/v1/stream": {
        "model": _MODEL,
        "threshold": _THRESHOLD,
        "labels": _LABELS,
        "channel": _CHANNEL,
        "rate": ("sample rate, Hz", {"type": "integer", "minimum": 1_000, "maximum": 768_000}),
        "channels": ("channels of the samples", {"type": "integer", "minimum": 1, "maximum": 16}),
        "encoding": ("of the samples", {"type": "string", "enum": ["s16le", "f32le"]}),
        "posteriors": ("1: the latest probabilities too", {"type": "string", "enum": ["0", "1"]}),
        "thresholds": ('detection threshold of some labels, as {"yes": 0.7}', _TEXT),
    },
}
"""What each route takes in its query: text and schema by name."""
ERRORS = {
    400: "A parameter, or the form of the request, is not possible.",
    401: "The token is missing or wrong.",
    403: "The page or name that asks may not.",
    404: "No such route, or no such model.",
    405: "The route has another method.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or holds too many recordings.",
    415: "The content type is none of a recording.",
    422: "The recording cannot be used.",
    426: "The route is a WebSocket.",
    429: "Too many requests from this address; Retry-After says when to try again.",
    500: "A fault of the server.",
    503: "The server has too much to do, or is stopping; Retry-After says when to try again.",
}
"""What each status of an error means."""
_ALWAYS = (403, 405, 429, 500, 503)
_OF_BODY = (400, 401, 404, *_ALWAYS, 408, 413, 415, 422)
_NUMBER = {"type": "number"}
_SCHEMAS = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "description": "subject: fact; next step"},
            "path": _TEXT,
        },
    },
    "Prediction": {
        "type": "object",
        "required": ["path", "label", "probability", "probabilities"],
        "properties": {
            "path": {"type": "string", "description": "name of the file, or - of a bare body"},
            "label": _TEXT,
            "probability": _PROBABILITY,
            "probabilities": {"type": "object", "additionalProperties": _PROBABILITY},
        },
    },
    "Event": {
        "type": "object",
        "required": ["path", "start_s", "end_s", "label", "probability"],
        "properties": {
            "path": _TEXT,
            "start_s": _NUMBER,
            "end_s": _NUMBER,
            "label": _TEXT,
            "probability": _PROBABILITY,
        },
    },
    "LiveEvent": {
        "type": "object",
        "required": ["time_s", "start_s", "end_s", "label", "probability", "heard_s"],
        "properties": {
            "time_s": {"type": "number", "description": "centre of the word"},
            "start_s": _NUMBER,
            "end_s": _NUMBER,
            "label": _TEXT,
            "probability": _PROBABILITY,
            "heard_s": {"type": "number", "description": "when it was known"},
        },
    },
    "Models": {
        "type": "object",
        "required": ["models", "default", "default_live"],
        "properties": {
            "models": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": _TEXT,
                        "source": _TEXT,
                        "labels": {"type": "array", "items": _TEXT},
                        "sample_rate": {"type": "integer", "description": "Hz"},
                        "window_s": _NUMBER,
                        "is_causal": {"type": "boolean"},
                        "every_s": {"type": ["number", "null"]},
                        "thresholds": {"type": "object", "additionalProperties": _PROBABILITY},
                    },
                },
            },
            "default": _TEXT,
            "default_live": {"type": "string", "description": "the one of streams"},
        },
    },
}
_RECORDING = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "audio/*": {"schema": _RECORDING},
        "application/octet-stream": {"schema": _RECORDING},
        "audio/pcm": {"schema": _RECORDING},
        "multipart/form-data": {
            "schema": {"type": "object", "additionalProperties": _RECORDING},
        },
    },
}


def describe_api(settings: ServeConfig) -> dict[str, Any]:
    """Return the document of a server of these settings, JSON-ready."""
    limits = (
        f"At most {settings.body_mb:g} MB and {settings.clips} recordings a request; audio/pcm"
        " takes the parameters rate, channels and encoding (s16le, f32le), audio/L16 is big-endian."
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "speechcls",
            "version": __version__,
            "description": f"Recognises speech commands. {limits}",
        },
        "paths": {
            "/": {"get": _get("What there is, in words.", _text("text/plain"))},
            "/health": {"get": _get("Whether the server runs.", {}, (403, 405, 429, 500, 503))},
            "/metrics": {"get": _get("Counters for Prometheus.", _text("text/plain"))},
            "/v1/models": {"get": _get("The models that are served.", _json("Models"))},
            "/v1/openapi.json": {"get": _get("This document.", {})},
            "/v1/predict": {
                "post": _post(
                    "/v1/predict",
                    f"The word of each recording, of up to {settings.clip_s:g} s: one object of a"
                    " bare body, one a line of a form.",
                    "Prediction",
                )
            },
            "/v1/detect": {
                "post": _post(
                    "/v1/detect",
                    f"The words in recordings of up to {settings.recording_s:g} s, one a line.",
                    "Event",
                )
            },
            "/v1/stream": {"get": _stream(settings)},
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _lines(name: str) -> dict[str, Any]:
    return {"application/x-ndjson": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _text(kind: str) -> dict[str, Any]:
    return {kind: {"schema": _TEXT}}


def _errors(statuses: tuple[int, ...]) -> dict[str, Any]:
    return {
        str(status): {"description": ERRORS[status], "content": _json("Error")}
        for status in sorted(statuses)
    }


def _get(
    summary: str, content: dict[str, Any], statuses: tuple[int, ...] = (401, *_ALWAYS)
) -> dict[str, Any]:
    content = content or {"application/json": {"schema": {"type": "object"}}}
    answers = {"200": {"description": summary, "content": content}, **_errors(statuses)}
    return {"summary": summary, "responses": answers}


def _query_of(route: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, (text, schema) in PARAMETERS[route].items()
    ]


def _post(route: str, summary: str, schema: str) -> dict[str, Any]:
    content = _lines(schema)
    if schema == "Prediction":
        content |= _json(schema)
    notes = {
        "description": "what was mended in recordings, a JSON list",
        "schema": _TEXT,
    }
    good = {"description": summary, "content": content, "headers": {"speechcls-notes": notes}}
    return {
        "summary": summary,
        "parameters": _query_of(route),
        "requestBody": _BODY,
        "responses": {"200": good, **_errors(_OF_BODY)},
    }


def _stream(settings: ServeConfig) -> dict[str, Any]:
    about = (
        "A WebSocket. Send samples as binary messages of any length up to"
        f' {settings.frame_kb:g} kB, and {{"type": "end"}} as text at their end. Each word is a'
        " text message (LiveEvent); with posteriors=1 the latest probabilities too, as"
        ' {"heard_s", "probabilities"}. {"warning"} and {"error"} are sentences. It is closed with'
        " 1000 at the end, 1001 when the server stops, 1003 after data that is none, 1008 without"
        " a message for too long, 1009 after a message that is too large."
    )
    good = {"description": "The stream is open.", "content": _json("LiveEvent")}
    return {
        "summary": "Words in live sound.",
        "description": about,
        "parameters": _query_of("/v1/stream"),
        "responses": {"101": good, **_errors((400, 401, 404, 422, 426, *_ALWAYS))},
    }
