"""A ranking as files: JSON, CSV, and one page that needs nothing beside it."""
