"""Numbers and names as a person reads them."""

from __future__ import annotations

from tfds_rijks.words import alphabetical, counted


def test_one_thing_is_not_plural():
  assert counted(1, 'run') == '1 run' and counted(0, 'run') == '0 runs'
  assert counted(1200, 'class', 'classes') == '1,200 classes'


def test_accents_and_case_do_not_move_a_name():
  names = ['Zola', 'Éluard', 'eduard', 'Duras', 'Ende', 'Øyen', 'ÉLUARD']
  assert sorted(names, key=alphabetical) == [
    'Duras', 'eduard', 'ÉLUARD', 'Éluard', 'Ende', 'Zola', 'Øyen',
  ]  # fmt: skip
