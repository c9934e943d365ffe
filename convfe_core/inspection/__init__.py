"""Is this network in order, and does this machine work?"""
