"""What a user can put right: one line that names the thing, found, expected, and what to change."""

from __future__ import annotations


class UserError(Exception):
  """Something in the user's input is wrong; the message is one line and says what to change."""

  def __init__(self, message: str):
    super().__init__(' '.join(message.split()))
