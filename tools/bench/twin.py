"""Write the *empty twin* of a DAG file: the same file with Airflow's own empty operators where it uses the provider.

What Airflow does for a DAG (imports, params, schedule, tasks and the lines between them) stays, so that what is left between the
two when they are parsed is the provider's.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, TypeGuard

from airflow.providers.common.compat.sdk import BaseOperator, Param
from airflow.triggers.base import BaseTrigger

from tools.bench.importtime import PACKAGE

SUFFIX = "_twin"
_KNOWN_TO_ALL = inspect.signature(BaseOperator.__init__).parameters.keys()
_STAND_INS = '''
from airflow.providers.common.compat.sdk import Param, XComArg
from airflow.providers.standard.operators.empty import EmptyOperator

def _after(given, task):
    """Have a task run after those whose results its original is given."""
    XComArg.apply_upstream_relationship(task, given)
    return task
'''
_EMPTY_TRIGGER = """
from airflow.triggers.base import BaseEventTrigger

class EmptyTrigger(BaseEventTrigger):
    def serialize(self):
        return __name__ + ".EmptyTrigger", {}

    async def run(self):
        yield
"""


class NoTwinError(ValueError):
    """A DAG file uses something of the provider while it is parsed for which there is no empty stand-in."""


def twin_of(source: str) -> str:
    """Return the source of a DAG file's twin, whose DAGs are called as the originals are, with ``_twin`` behind.

    :param source: a DAG file of ``@dag`` functions.
    :raises NoTwinError: the twin would still need the provider.
    """
    tree = ast.parse(source)
    maker = _Maker(dict(_provided(tree)))
    maker.visit(tree)
    left = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & maker.provided.keys()
    if left:
        raise NoTwinError(f"there is no empty stand-in for {', '.join(sorted(left))}")
    stand_ins = _STAND_INS + (_EMPTY_TRIGGER if maker.triggers else "")
    after_future = next(at for at, node in enumerate(tree.body) if not _leads(node))
    tree.body[after_future:after_future] = ast.parse(stand_ins).body
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _provided(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yield what the file imports from the provider: the name that it has there, and the thing itself."""
    for node in ast.walk(tree):
        if _of_provider(node):
            module = importlib.import_module(node.module or "")
            yield from ((alias.asname or alias.name, getattr(module, alias.name)) for alias in node.names)


def _of_provider(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE


def _leads(node: ast.stmt) -> bool:
    """The docstring and ``__future__`` must come first."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


class _Maker(ast.NodeTransformer):
    """Take the provider out of a DAG file."""

    def __init__(self, provided: dict[str, Any]) -> None:
        self.provided = provided
        self.triggers = False

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        return None if _of_provider(node) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        marks = {_root(mark) for mark in node.decorator_list}
        if "task" in marks:  # its body does not run while the file is parsed
            node.body = node.body[:1] if ast.get_docstring(node) else [ast.Pass()]
        if "dag" in marks:
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call):
                    mark.keywords.append(ast.keyword("dag_id", ast.Constant(node.name + SUFFIX)))
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        partial = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(partial, ast.Call) and isinstance(partial.func, ast.Attribute) and self._operator(partial.func):
            return _mapped(partial.keywords, [*node.args, *(each.value for each in node.keywords)])
        if not isinstance(node.func, ast.Name) or node.func.id not in self.provided:
            return node
        if self._operator(node.func):
            kept, given = _parted(node.keywords)
            return _after(given, ast.Call(ast.Name("EmptyOperator"), [], kept))
        thing = self.provided[node.func.id]
        if inspect.isclass(thing) and issubclass(thing, BaseTrigger):
            self.triggers = True
            return ast.Call(ast.Name("EmptyTrigger"), [], [])
        return _written(eval(ast.unparse(node), {node.func.id: thing}))  # of files in this repository

    def _operator(self, node: ast.expr) -> bool:
        thing = self.provided.get(_root(node))
        return inspect.isclass(thing) and issubclass(thing, BaseOperator)


def _mapped(partial: list[ast.keyword], over: list[ast.expr]) -> ast.expr:
    """An empty operator cannot be mapped over an argument that it doesn't have, but over whole sets of arguments."""
    kept, given = _parted(partial)
    unmapped = ast.Call(ast.Attribute(ast.Name("EmptyOperator"), "partial"), [], kept)
    return _after([*given, *over[1:]], ast.Call(ast.Attribute(unmapped, "expand_kwargs"), over[:1], []))


def _after(given: list[ast.expr], task: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("_after"), [ast.List(given), task], [])


def _parted(keywords: list[ast.keyword]) -> tuple[list[ast.keyword], list[ast.expr]]:
    """What every operator takes, and the rest, of which only the tasks that it comes from matter."""
    kept = [each for each in keywords if each.arg in _KNOWN_TO_ALL]
    return kept, [each.value for each in keywords if each not in kept and not isinstance(each.value, ast.Constant)]


def _root(node: ast.expr) -> str:
    """``task`` of ``task``, ``task(...)`` and ``task.branch(...)``."""
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _written(value: Any) -> ast.expr:
    """Write out what the provider computed for the DAG."""
    if isinstance(value, dict):
        return ast.Dict([_written(key) for key in value], [_written(each) for each in value.values()])
    if isinstance(value, Param):
        about = {"description": value.description, **value.schema}
        return ast.Call(
            ast.Name("Param"),
            [_written(value.value)],
            [ast.keyword(name, _written(each)) for name, each in about.items()],
        )
    return ast.parse(repr(value), mode="eval").body
