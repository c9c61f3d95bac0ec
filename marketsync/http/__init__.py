"""The one door to the network: which call, how often, how signed, and what its failure means."""

from __future__ import annotations

from marketsync.http.auth import ApiKey, Auth, Basic, InBody, OAuth1, OAuth2
from marketsync.http.budgets import Budgets
from marketsync.http.calls import Answer, Budget, Call, Operation, decode, segment
from marketsync.http.client import Http
from marketsync.http.plan import AdapterSpec, BuildContext, ConnectionPlan, Role, client_of
from marketsync.http.settings import did_you_mean, settings_of
from marketsync.http.tokens import MemoryTokens, Tokens

__all__ = [
    "AdapterSpec",
    "Answer",
    "ApiKey",
    "Auth",
    "Basic",
    "Budget",
    "Budgets",
    "BuildContext",
    "Call",
    "ConnectionPlan",
    "Http",
    "InBody",
    "MemoryTokens",
    "OAuth1",
    "OAuth2",
    "Operation",
    "Role",
    "Tokens",
    "client_of",
    "decode",
    "did_you_mean",
    "segment",
    "settings_of",
]
