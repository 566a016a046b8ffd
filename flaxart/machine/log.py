"""The logger of flaxart; `main` decides where its lines go."""

from __future__ import annotations

import logging

log = logging.getLogger('flaxart')
