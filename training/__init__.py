"""How the built-in backbones were trained; not part of the installed package."""
