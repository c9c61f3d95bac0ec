"""Carries decisions out: sweeps read, the dispatcher writes, doubt is resolved, stock is watched and published.

Every decision is a pure function of `marketsync.domain`; every fact is in the store.
"""
