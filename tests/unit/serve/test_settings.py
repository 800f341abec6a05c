"""Limits that cannot be are refused."""

import pytest

from speechcls.errors import ConfigError
from speechcls.fields import describe_fields
from speechcls.serve.settings import ServeConfig


def test_every_default_is_possible_and_described():
    settings = ServeConfig()
    assert ServeConfig.from_dict(settings.to_dict()) == settings
    assert describe_fields(ServeConfig).keys() == settings.to_dict().keys()
    assert (settings.host, settings.body_bytes, settings.held_bytes) == (
        *("127.0.0.1", 32_000_000),
        256_000_000,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("port", 65_536), ("port", -1), ("body_mb", 0.0), ("held_mb", 31.0), ("streams", 0)),
        *(("requests_per_minute", -1), ("stop_s", float("inf")), ("frame_kb", float("nan"))),
    ],
)
def test_impossible_ones_are_refused(field, value):
    with pytest.raises(ConfigError) as raised:
        ServeConfig().replaced({field: value})
    assert raised.value.field == field
