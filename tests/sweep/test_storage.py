"""Addresses of databases: passwords stay in them, mistakes get one line."""

from pathlib import Path

import pytest

from mnist_lstm.errors import InputError
from mnist_lstm.sweep import storage
from mnist_lstm.sweep.storage import open_storage, shown, sqlite_url


def test_a_password_is_not_shown() -> None:
    assert shown("postgresql://me:se{c}ret@host/sweeps") == "postgresql://me:***@host/sweeps"
    for url in ("me:secret@host", "postgresql://me:secret@host:port/sweeps", "mysql+nodriver://me:secret@host/x"):
        with pytest.raises(InputError, match="--storage") as error:
            open_storage(url, 10)
        assert "secret" not in str(error.value)


def test_a_server_that_is_not_there_is_named_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "ATTEMPTS", 1)
    with pytest.raises(InputError, match=r"--storage postgresql://me:\*\*\*@127.0.0.1:1/x: cannot be opened") as error:
        open_storage("postgresql://me:secret@127.0.0.1:1/x", 10)
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_file_in_a_folder_of_any_name_is_a_database() -> None:
    folder = Path("50 % of {this}?#")
    folder.mkdir()
    opened = open_storage(sqlite_url(folder / "study.db"), 10)
    opened.engine.dispose()
    assert (folder / "study.db").is_file()
