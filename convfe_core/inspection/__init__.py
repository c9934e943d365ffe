"""Is this network in order?"""
