"""The OpenAPI document says what there is."""

import pytest
from common_serve import form, post, request

from speechcls.serve.app import Service
from speechcls.serve.models import ModelSet
from speechcls.serve.openapi import ERRORS, PARAMETERS, describe_api
from speechcls.serve.settings import ServeConfig

METHODS = {"get", "post"}


@pytest.fixture(scope="module")
def document():
    return describe_api(ServeConfig())


def test_it_has_every_route_with_its_methods(document, server):
    service = server._service
    assert isinstance(service, Service)
    routes = {}
    for route in service.routes():
        methods = getattr(route, "methods", None) or {"GET"}
        routes.setdefault(route.path, set()).update(m.lower() for m in methods - {"HEAD"})
    assert {path: set(about) for path, about in document["paths"].items()} == routes
    assert isinstance(service.models, ModelSet)
    assert request(server.port, "GET", "/v1/openapi.json").json == document


def test_every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    names = {each.removeprefix("#/components/schemas/") for each in references(document)}
    assert names == set(document["components"]["schemas"])


def test_the_parameters_are_those_that_the_routes_take(document, server, encoded):
    for route, parameters in PARAMETERS.items():
        [operation] = document["paths"][route].values()
        assert [each["name"] for each in operation["parameters"]] == list(parameters)
    for route in ("/v1/predict", "/v1/detect"):
        values = {"model": "commands-tiny", "threshold": 0.5, "labels": "yes", "channel": 1}
        values["top_k"] = 1
        query = "&".join(f"{name}={values[name]}" for name in PARAMETERS[route])
        assert post(server.port, f"{route}?{query}", encoded("WAV")).status == 200


def test_every_error_of_the_routes_is_in_it(document, server, encoded):
    """Of those that a client can cause without waiting."""
    body, kind = form(*[("a.wav", b"x", None)] * 101)
    caused = [
        ("/v1/predict", "post", post(server.port, "/v1/predict?x=1", b"x")),
        ("/v1/predict", "post", post(server.port, "/v1/predict?model=x", b"x")),
        ("/v1/predict", "post", post(server.port, "/v1/predict", b"x", "text/plain")),
        ("/v1/detect", "post", post(server.port, "/v1/detect", b"some text")),
        ("/v1/detect", "post", post(server.port, "/v1/detect", body, kind)),
        ("/v1/detect", "post", post(server.port, "/v1/detect", b"x", origin="https://a.b")),
        ("/v1/stream", "get", request(server.port, "GET", "/v1/stream")),
        ("/v1/models", "get", request(server.port, "PUT", "/v1/models")),
    ]
    statuses = [reply.status for _, _, reply in caused]
    assert statuses == [400, 404, 415, 422, 413, 403, 426, 405]
    for path, method, reply in caused:
        assert str(reply.status) in document["paths"][path][method]["responses"]
        assert reply.json.keys() == {"error"}
    described = {
        int(status)
        for about in document["paths"].values()
        for method in METHODS & about.keys()
        for status in about[method]["responses"]
    }
    assert described == {*ERRORS, 101, 200}
