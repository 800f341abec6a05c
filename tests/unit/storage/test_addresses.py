"""What is an address, what its files are called here, and what nobody reads in a message."""

import pytest

from speechcls.errors import ConfigError, StorageError
from speechcls.files import CACHE_VARIABLE
from speechcls.storage.addresses import read_address
from speechcls.storage.places import (
    full_address,
    is_address,
    is_mirrored,
    local_path,
    place_of,
    shown,
)
from speechcls.storage.settings import StorageSettings, storage_settings
from speechcls.text import without_credentials


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/yes/1.wav", True),
        ("HTTPS://example.org/1.wav", True),
        ("memory://data", True),
        ("file:///data/1.wav", False),
        ("C:\\data\\1.wav", False),
        ("C://data/1.wav", False),
        ("a:b.wav", False),
        ("folder/s3://x", False),
        ("s3://", False),
        ("-", False),
    ],
)
def test_what_is_an_address(text, expected):
    assert is_address(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ftp://ann:secret@host/a.wav: gone", "ftp://host/a.wav: gone"),
        ("https://h/a.wav?id=1", "https://h/a.wav?id=1"),
        ("https://h/a.wav?X-Amz-Signature=abc&x=1: no", "https://h/a.wav?... no"),
        ("url='https://h/a?sig=abc', next", "url='https://h/a?...', next"),
        ("mail ann@host", "mail ann@host"),
        ("a question? token=1", "a question? token=1"),
    ],
)
def test_credentials_are_taken_out_of_text(text, expected):
    assert without_credentials(text) == expected


@pytest.mark.parametrize(
    "address", ["s3://bucket", "s3://bucket/a b/ü.wav", "https://example.org/x/1.wav"]
)
def test_an_address_has_a_place_and_the_place_an_address(address, cache):
    place = place_of(address)
    assert place == cache.joinpath(*address.replace("://", "/").split("/"))
    assert full_address(place) == shown(str(place)) == address
    assert is_mirrored(place) and not is_mirrored(cache.parent / "data")
    assert shown(f"{place}: no audio; {place}/x") == f"{address}: no audio; {address}/x"


def test_what_needs_credentials_is_fetched_with_them_and_shown_without():
    address = "https://ann:secret@host/x/1.wav?id=7&token=abc"
    place = place_of(address)
    assert full_address(place) == address
    assert shown(str(place)) == "https://host/x/1.wav"
    assert "secret" not in str(place) and "abc" not in str(place)
    assert place_of("https://host/x/1.wav?id=7") == place != place_of("https://host/x/1.wav?id=8")


@pytest.mark.parametrize("part", ["..", ".", "", "a" * 256, "a\0b"])
def test_names_that_no_file_can_have_are_refused(part):
    with pytest.raises(StorageError, match="no name that a file can have"):
        place_of(f"s3://bucket/{part}/1.wav")


def test_a_local_path_is_itself(tmp_path):
    assert local_path("data/x") == local_path(local_path("data/x"))
    assert local_path(tmp_path) == tmp_path


def test_an_unknown_store_is_named_with_those_there_are():
    with pytest.raises(StorageError, match=r"^gopher://x/y: no store .*there are s3://, "):
        read_address("gopher://x/y")


@pytest.mark.parametrize(
    ("address", "package", "pip"),
    [("gs://b/x", "gcsfs", "gcsfs"), ("s3://b/x", "s3fs", r"'speechcls\[remote\]'")],
)
def test_a_missing_package_is_named_with_how_to_install_it(address, package, pip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    fact = f"{address}: {address[:2]}:// is read by {package}, which is not installed"
    with pytest.raises(StorageError, match=f"{fact}; install it: pip install {pip}"):
        read_address(address)


def test_settings_come_from_the_environment(monkeypatch):
    assert storage_settings() == StorageSettings()
    monkeypatch.setenv("SPEECHCLS_REMOTE_ATTEMPTS", "2")
    monkeypatch.setenv("SPEECHCLS_REMOTE_READ_TIMEOUT_S", "0.5")
    assert storage_settings() == StorageSettings(attempts=2, read_timeout_s=0.5)


@pytest.mark.parametrize("text", ["many", "0", "1.5"])
def test_a_setting_that_is_impossible_names_its_variable(text, monkeypatch):
    monkeypatch.setenv("SPEECHCLS_REMOTE_ATTEMPTS", text)
    with pytest.raises(ConfigError, match=r"^\$SPEECHCLS_REMOTE_ATTEMPTS: "):
        storage_settings()
