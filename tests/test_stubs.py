"""The stubs for editors say what the code does: each name, each argument, each default."""

import ast
import inspect
from pathlib import Path

import picolink
import pytest
from picolink.blocking import BlockingLink
from picolink.link import Link
from picolink.newest import Newest
from picolink.policy import Policy
from picolink.radio import bleak, memory
from picolink.receiving import FileReceiver

PACKAGE = Path(picolink.__file__).parent


def functions(stub, owner=None):
    """Name -> ast node, of the functions in a stub, or of the class `owner` there."""
    body = ast.parse((PACKAGE / stub).read_text()).body
    if owner:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == owner).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name: node for node in body if isinstance(node, kinds)}


def attributes(stub, owner):
    body = ast.parse((PACKAGE / stub).read_text()).body
    node = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == owner)
    return [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]


def promised(node):
    """Argument -> its default, as text; None where there is none."""
    arguments = node.args
    names = [a.arg for a in arguments.args]
    defaults = [None] * (len(names) - len(arguments.defaults)) + [ast.unparse(d) for d in arguments.defaults]
    result = dict(zip(names, defaults, strict=True))
    for name, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        result[name.arg] = default and ast.unparse(default)
    return result


def actual(function):
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= {
                key: value for key, value in actual(Link.__init__).items() if key not in ("self", "role")
            }
        else:
            default = parameter.default
            named = inspect.isfunction(default)
            found[name] = None if default is parameter.empty else "..." if named else repr(default)
    return found


@pytest.mark.parametrize(
    ("stub", "owner", "code"),
    [
        ("__init__.pyi", None, picolink),
        ("link.pyi", "Link", Link),
        ("receiving.pyi", "FileReceiver", FileReceiver),
        ("newest.pyi", "Newest", Newest),
        ("blocking.pyi", "BlockingLink", BlockingLink),
        ("radio/bleak/__init__.pyi", None, bleak),
        ("radio/bleak/__init__.pyi", "Radio", bleak.Radio),
        ("radio/memory.pyi", "Air", memory.Air),
        ("radio/memory.pyi", "_BoardRadio", memory._BoardRadio),
    ],
)
def test_functions(stub, owner, code):
    stubs = functions(stub, owner)
    names = {"send_nowait": Policy.send_nowait}
    for name, node in stubs.items():
        function = names.get(name) or getattr(code, name)
        assert promised(node) == actual(function), name
        assert isinstance(node, ast.AsyncFunctionDef) == inspect.iscoroutinefunction(function), name
    public = {
        name
        for name, function in vars(code).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
    assert public <= set(stubs)


@pytest.mark.parametrize(
    ("stub", "owner", "made"),
    [
        ("link.pyi", "Link", lambda: picolink.connect("x", radio=memory.Air(), engine="python")),
        ("radio/bleak/__init__.pyi", "Radio", bleak.Radio),
        ("radio/memory.pyi", "Air", memory.Air),
    ],
)
def test_attributes(stub, owner, made):
    thing = made()
    names = attributes(stub, owner)
    for name in names:
        getattr(thing, name)
    assert {name for name in vars(thing) if not name.startswith("_")} <= {*names, *functions(stub, owner)}
