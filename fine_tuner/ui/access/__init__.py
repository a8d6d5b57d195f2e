"""Who may come in and what they may ask: guard, links, roles, limits, sharing."""
