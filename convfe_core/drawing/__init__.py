"""From maps to figures and pictures."""
