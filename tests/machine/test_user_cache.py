"""The folder of all reproducible files, and how a user moves it."""

from __future__ import annotations

from pathlib import Path

from flaxart.machine.files import user_cache


def test_it_is_below_the_home_folder_or_where_the_user_says(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  assert user_cache('features') == tmp_path / '.cache' / 'flaxart' / 'features'
  monkeypatch.setenv('XDG_CACHE_HOME', '/elsewhere')
  assert user_cache('decoded') == Path('/elsewhere/flaxart/decoded')
