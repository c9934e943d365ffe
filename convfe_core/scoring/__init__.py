"""From maps and boxes to numbers."""
