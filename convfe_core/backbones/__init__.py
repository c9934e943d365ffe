"""From a spec to a loaded backbone."""
