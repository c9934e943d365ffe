"""Boxes that a visitor draws by hand, and what they say of maps."""
