"""Errors that a user can fix: one line with the thing, found, expected, and what to change."""

from __future__ import annotations


class UserError(Exception):
  """Something in the user's input is wrong; the message is one line and says what to change."""

  def __init__(self, message: str):
    line = ' '.join(message.split())
    # Control characters of a name from elsewhere would steer the terminal.
    super().__init__(''.join(c if c.isprintable() else repr(c)[1:-1] for c in line))


class ImageError(UserError):
  """A picture that cannot be used: `name` identifies it, `reason` is a short phrase to count by."""

  def __init__(self, name: str, reason: str, detail: str = ''):
    super().__init__(
      f'{name}: {reason}{f" ({detail})" if detail else ""}; replace the file or leave it out'
    )
    self.name, self.reason, self.detail = name, reason, detail

  def __reduce__(self):
    return ImageError, (self.name, self.reason, self.detail)  # errors are pickled between processes
