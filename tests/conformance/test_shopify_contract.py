"""Shopify's published schema 2026-10: every operation of ours is valid by it, and the sandbox's own schema is a part of it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_ast_schema,
    build_schema,
    get_named_type,
    is_specified_scalar_type,
    parse,
    validate,
)

from adapters.shopify import operations
from adapters.shopify.sandbox_schema import IDEMPOTENT, schema

DOCUMENTS = {
    name: text
    for name, text in vars(operations).items()
    if isinstance(text, str) and name.isupper() and name not in {"CARD", "ARTICLE"}
}
CUT = "admin_2026-10.slim.graphql"
WHOLE = "admin_2026-10.graphql.gz"
# Two long lists of values, which the sandbox takes as text.
LISTS = {"CountryCode", "CurrencyCode"}
LOOSER = {"code": "an enum of its own for each mutation", "errorCode": "an enum"}


@pytest.fixture(scope="module")
def published(contracts: Path) -> GraphQLSchema:
    """The whole of it is three megabytes: it is read once."""
    text = gzip.decompress((contracts / "shopify" / WHOLE).read_bytes()).decode()
    return build_ast_schema(parse(text, no_location=True), assume_valid=True, assume_valid_sdl=True)


@pytest.fixture(scope="module")
def cut(contracts: Path) -> GraphQLSchema:
    return build_schema((contracts / "shopify" / CUT).read_text(), assume_valid=True, assume_valid_sdl=True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_operation_is_valid(published: GraphQLSchema, name: str) -> None:
    assert [x.message for x in validate(published, parse(DOCUMENTS[name]))] == []


@pytest.mark.parametrize("name", ["CANCEL", "ADJUST"])
def test_what_the_cut_schema_holds_is_valid_by_it_too(cut: GraphQLSchema, name: str) -> None:
    assert [x.message for x in validate(cut, parse(DOCUMENTS[name]))] == []


def test_the_check_finds_what_is_not_there(cut: GraphQLSchema) -> None:
    wrong = DOCUMENTS["CANCEL"].replace("staffNote: $note", "note: $note")
    assert validate(cut, parse(wrong))


def test_idempotent_is_taken_by_those_whose_description_says_so(published: GraphQLSchema) -> None:
    assert published.mutation_type is not None
    fields = published.mutation_type.fields.items()
    assert {
        name for name, field in fields if "`@idempotent` directive" in (field.description or "")
    } == IDEMPOTENT


def test_the_sandbox_s_schema_is_a_part_of_the_published_one(published: GraphQLSchema) -> None:
    """Each type, field, argument and value of it, of the same type: what is required there is required here."""
    said: list[str] = []
    for name, ours in schema().type_map.items():
        if name.startswith("__") or is_specified_scalar_type(ours) or name in {"CodedError", *LISTS}:
            continue
        said += differences(name, ours, published.type_map.get(name))
    assert said == []


def differences(name: str, ours: Any, theirs: Any) -> list[str]:
    if type(ours) is not type(theirs):
        return [f"{name} is no such type there"]
    if isinstance(ours, GraphQLEnumType):
        return [f"{name}.{x} is not there" for x in ours.values if x not in theirs.values]
    if isinstance(ours, GraphQLInputObjectType):
        return [
            sentence
            for field, given in ours.fields.items()
            for sentence in typed(f"{name}.{field}", given, theirs.fields.get(field))
        ] + [
            f"{name}.{field} is required there"
            for field, given in theirs.fields.items()
            if str(given.type).endswith("!") and field not in ours.fields
        ]
    if not isinstance(ours, GraphQLObjectType | GraphQLInterfaceType):
        return []
    said = []
    for field, given in ours.fields.items():
        known = theirs.fields.get(field)
        said += typed(f"{name}.{field}", given, known)
        if known is not None:
            for argument, stated in given.args.items():
                said += typed(f"{name}.{field}({argument})", stated, known.args.get(argument))
    return said


def typed(place: str, ours: Any, theirs: Any) -> list[str]:
    if theirs is None:
        return [f"{place} is not there"]
    field = place.rpartition(".")[2]
    loose = field in LOOSER or get_named_type(ours.type).name == "CodedError"
    return (
        []
        if loose or str(ours.type) == str(theirs.type)
        else [f"{place} is {theirs.type} there, not {ours.type}"]
    )
