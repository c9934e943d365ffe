"""Which backbones exist, how they are named and built, and what they need."""
