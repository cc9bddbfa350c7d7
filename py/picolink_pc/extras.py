"""Packages that only some commands need: pip gets them when an extra is named, as in picolink[virtual]."""

import importlib.util
import sys
from pathlib import Path

import click

# The one that is looked for, by extra.
_PACKAGES = {
    "virtual": "bumble",
    "pc": "bleak",
    "gateway": "aiomqtt",
    "web": "websockets",
    "keys": "cryptography",
    "plots": "matplotlib",
}


class MissingExtraError(click.ClickException):
    """Says in one line what brings the packages."""


def require(extra: str, purpose: str) -> None:
    """Raises MissingExtraError unless the packages of the extra are there.

    purpose: what needs them, in the plural, such as "virtual boards".
    """
    if not is_there(extra):
        raise MissingExtraError(f"{purpose} need more packages: {how_to_install(extra)}")


def is_there(extra: str) -> bool:
    """Are the packages of the extra there?"""
    return importlib.util.find_spec(_PACKAGES[extra]) is not None


def how_to_install(extra: str) -> str:
    """The command that adds the extra to the environment in which this runs."""
    if Path(sys.prefix, "pipx_metadata.json").exists():
        return f'pipx runpip picolink install "picolink[{extra}]"'
    return f'pip install "picolink[{extra}]"'
