"""The description of the server's routes is one that other tools read."""

import pytest

from speechcls.serve.openapi import describe_api
from speechcls.serve.settings import ServeConfig


def test_it_is_openapi():
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(describe_api(ServeConfig()))
