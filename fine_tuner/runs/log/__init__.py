"""The log of a run: events, their writer, the fold over them, and the columns its curves are kept in. No torch."""
