"""The house can be seen: few rooms, imports that go one way, short functions with few arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import regraft

ROOT = Path(regraft.__file__).parent
MOST_ARGUMENTS, MOST_LINES, MOST_ENTRIES = 6, 20, 22


class Function(NamedTuple):
    """A function of the source, and the class that it is in."""

    module: str  # regraft.data.manifest
    owner: str
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def arguments(self) -> list[str]:
        """Its arguments by name or place, without what it belongs to."""
        taken = self.node.args
        names = [one.arg for one in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
        return [name for name in names if name not in ("self", "cls")]

    @property
    def lines(self) -> int:
        """Its lines below the docstring."""
        body = self.node.body[1:] if ast.get_docstring(self.node) else self.node.body
        return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]

    @property
    def public(self) -> bool:
        """Whether users call it: by a name of `regraft`, or by a command, whose arguments are its options."""
        command = any(ast.unparse(one).startswith("app.command(") for one in self.node.decorator_list)
        named = self.owner or self.node.name
        return command or self.module == f"regraft.{regraft._HOMES.get(named)}"


def modules() -> dict[str, ast.Module]:
    paths = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    return {name.removesuffix(".__init__"): ast.parse(path.read_text("utf-8")) for name, path in paths.items()}


def functions() -> Iterator[Function]:
    def within(module: str, owner: str, node: ast.AST) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(module, owner, child)
            yield from within(module, child.name if isinstance(child, ast.ClassDef) else owner, child)

    for name, tree in modules().items():
        yield from within(name, "", tree)


def imported(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules of the package that one imports when it is loaded, or for a type checker."""
    found = set[str]()
    conditional = (inner for node in tree.body if isinstance(node, ast.If) for inner in node.body)
    for node in (*tree.body, *conditional):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{one.name}" for one in node.names}
            found |= inner & known or {str(node.module)}
    return (found & known) - {name, "regraft"}


def test_only_what_users_call_takes_more_than_six_arguments() -> None:
    long = {
        f"{one.module}.{one.node.name}": one.arguments
        for one in functions()
        if len(one.arguments) > MOST_ARGUMENTS and not one.public
    }
    assert long == {}


def test_of_a_hundred_functions_95_have_at_most_20_lines() -> None:
    lines = sorted(one.lines for one in functions())
    assert len(lines) > 1000
    assert lines[int(0.95 * len(lines))] <= MOST_LINES


def test_the_rooms_at_the_top_can_be_seen_at_once() -> None:
    entries = [path.name for path in ROOT.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES


def test_no_module_imports_itself_by_a_detour() -> None:
    trees = modules()
    order = TopologicalSorter({name: imported(name, tree, set(trees)) for name, tree in trees.items()})
    assert len(list(order.static_order())) >= len(trees) - 1  # raises CycleError, with the circle
