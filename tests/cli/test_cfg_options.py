"""--cfg-options reads what mmengine's DictAction reads, and keeps spaces."""

import argparse

import hypothesis.strategies as st
import pytest
from hypothesis import given
from mmengine.config import DictAction

from snnssl_mm.cli.shared.cfg_options import KeyValues


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--cfg-options", nargs="+", action=KeyValues)
    return parser


def options(parser, *arguments):
    return parser.parse_args(["--cfg-options", *arguments]).cfg_options


WORDS = st.text("ab/._-1", min_size=1, max_size=4)
SCALARS = st.one_of(
    WORDS, st.integers().map(str), st.floats().map(str), st.sampled_from(["None"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda parts: st.sampled_from([f"[{','.join(parts)}]", f"({','.join(parts)})"])
    ),
)


@given(VALUES)
def test_values_are_those_of_mmengine(value):
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", nargs="+", action=KeyValues)
    parser.add_argument("--theirs", nargs="+", action=DictAction)
    read = parser.parse_args(["--ours", f"k={value}", "--theirs", f"k={value}"])
    assert repr(read.ours) == repr(read.theirs)  # NaN is not itself


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/data/my images/x.json", "/data/my images/x.json"),
        ("a b,c d", ["a b", "c d"]),
        ("[(1, 2), [a b, c]]", [(1, 2), ["a b", "c"]]),
        ("x=1", "x=1"),
        ("", ""),
        ("True", True),
        ("a,", ["a"]),
        ("(1,)", (1,)),
        ("dict(type=SGD, lr=0.1)", {"type": "SGD", "lr": 0.1}),
        ("{'a b': [1, {'c': None}]}", {"a b": [1, {"c": None}]}),
        ("[dict(type='A'), dict()]", [{"type": "A"}, {}]),
        ("epoch_{}.pth", "epoch_{}.pth"),
    ],
)
def test_spaces_and_signs_inside_a_value_survive(parser, text, value):
    assert options(parser, f"a.b={text}") == {"a.b": value}


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "1"],
        ["=1"],
        ["a=[1"],
        ["a=1)"],
        ["a=(1]"],
        ["a=/my", "x.json"],
        ["a=dict(b)"],
        ["a={b}"],
        ["a..b=1"],
        ["a.=1"],
    ],
)
def test_what_is_no_assignment_is_refused(parser, arguments):
    with pytest.raises(argparse.ArgumentError):
        options(parser, *arguments)


def test_later_options_are_added(parser):
    read = parser.parse_args(["--cfg-options", "a=1", "b=2", "--cfg-options", "b=3"])
    assert read.cfg_options == {"a": 1, "b": 3}
