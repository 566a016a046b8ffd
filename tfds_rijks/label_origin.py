"""Where labels come from that are not in the museum's table: the text feature `label_origin`.

It is in datasets that were prepared with `--decisions`: '' for a record with the museum's own
labels only, else a JSON object {feature: origin}. Readers of the data learn from it whose label it
is, how much it counts in training, and what is unknown about the record.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from tfds_rijks import strict_json

FEATURE = 'label_origin'


@dataclasses.dataclass(frozen=True)
class Origin:
  """The decisions that are labels of a record.

  Attributes: `status` accepted, or changed if any was; `weight` of these labels in the training
  loss, 1 for one like the museum's own; `values` the classes that people decided it has, and
  `rejected` those that it has not; `partial`: of a feature with several labels, the museum said
  nothing, so that every other class is unknown, not absent.
  """

  status: str
  weight: float = 1.0
  values: tuple[str, ...] = ()
  rejected: tuple[str, ...] = ()
  partial: bool = False


def text(origins: Mapping[str, Origin]) -> str:
  """The content of the feature."""
  if not origins:
    return ''
  entries = {feature: dataclasses.asdict(one) for feature, one in sorted(origins.items())}
  return json.dumps(entries, ensure_ascii=False)


def parse(content: str) -> dict[str, Origin]:
  """The origins by feature; raises `ValueError` for another content."""
  if not content:
    return {}
  try:
    return {
      feature: Origin(
        str(one['status']),
        float(one['weight']),
        tuple(map(str, one['values'])),
        tuple(map(str, one['rejected'])),
        bool(one['partial']),
      )
      for feature, one in strict_json.parse(content).items()
    }
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{FEATURE} is {content[:60]!r} ({error!r})') from None
