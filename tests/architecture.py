"""Reads the imports of the tree and says which ones break the rules of the house."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Import", "imports_of", "read_tree", "violations"]

# The part of the tree → its number, the longest name first. A file imports lower numbers or its own part.
LAYERS = {
    "tidings.nats.errors": 0,
    "tidings.nats.version": 0,
    "tidings.nats.wire": 1,
    "tidings.nats.core": 2,
    "tidings.nats.jetstream": 3,
    "tidings.nats.services": 3,
    "tidings.nats.server": 4,
    "tidings.nats": 4,  # client.py, contexts.py, system.py, the face
    "tidings.nats.compat": 5,  # nats-py's module tree by re-export
    "tidings.messaging": 1,
    "tidings.brokers": 5,
    "tidings.pubsub": 5,
    "tidings.asyncapi": 6,
    "tidings.observability": 6,
    "tidings.testing": 6,
    "tidings.app": 7,
    "tidings.asgi": 7,
    "tidings.cli": 8,
    "tidings": 9,  # the face of the framework
}
# Each folder below is a part of its own.
FOLDERS_OF_PARTS = ("tidings.brokers",)
NOT_IN_WIRE = {"asyncio", "socket", "ssl", "time", "threading"}
MAX_LINES = 600


@dataclass(frozen=True)
class Import:
    """One import: in which module, of which, on which line."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def read_tree(root: Path) -> dict[str, str]:
    """Path below `root` → text, of every source file of the package."""
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for suffix in ("py", "pyx")
        for path in sorted(root.rglob(f"tidings/**/*.{suffix}"))
    }


def violations(tree: Mapping[str, str]) -> list[str]:
    """What in `tree` breaks a rule, each as a sentence."""
    modules = {module_of(path) for path in tree}
    found = [item for path, text in tree.items() for item in imports_of(path, text, modules)]
    return [
        *(f"{name} has no number: give it one in LAYERS" for name in sorted(modules) if not part_of(name)),
        *(complaint for item in found if (complaint := complaint_about(item))),
        *(f"a circle: {' → '.join(circle)}" for circle in circles(found)),
        *(
            f"{path} has {lines} lines, the most is {MAX_LINES}"
            for path, text in tree.items()
            if path.endswith(".py") and (lines := text.count("\n")) > MAX_LINES
        ),
    ]


def module_of(path: str) -> str:
    """``tidings/nats/__init__.py`` is ``tidings.nats``."""
    return re.sub(r"(/__init__)?\.pyx?$", "", path).replace("/", ".")


def part_of(module: str) -> str:
    """The part of the tree that `module` belongs to; empty when it is in none."""
    for parent in FOLDERS_OF_PARTS:
        if module.startswith(parent + "."):
            return ".".join(module.split(".")[: parent.count(".") + 2])
    names = [name for name in LAYERS if is_within(module, name)]
    part = max(names, key=len, default="")
    # Nothing is in the face of the framework but the face itself.
    return part if part != "tidings" or module == "tidings" else ""


def layer_of(part: str) -> int:
    return LAYERS[max((name for name in LAYERS if is_within(part, name)), key=len)]


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def complaint_about(item: Import) -> str:
    """Why `item` may not be; empty when it may."""
    source, target = item.source, item.target
    if is_within(source, "tidings.nats.wire") and target.split(".")[0] in NOT_IN_WIRE:
        return f"{item}: wire/ knows no socket, clock, task or thread"
    here, there = part_of(source), part_of(target)
    if not is_within(target, "tidings") or not here or here == there:
        return ""
    if is_within(source, "tidings.nats") and not is_within(target, "tidings.nats"):
        return f"{item}: tidings.nats imports nothing outside itself"
    if is_within(source, "tidings.messaging") and is_within(target, "tidings.nats"):
        return f"{item}: messaging knows no broker"
    if is_within(source, "tidings.brokers") and is_within(target, "tidings.brokers"):
        return f"{item}: no broker imports another"
    if not there:
        return f"{item}, which there is not"
    if layer_of(there) >= layer_of(here):
        return f"{item}: {there} ({layer_of(there)}) is not below {here} ({layer_of(here)})"
    return ""


def imports_of(path: str, text: str, modules: set[str]) -> Iterator[Import]:
    """Every import in a file: at its head, in functions, for type checkers, and by `import_module`."""
    source = module_of(path)
    if path.endswith(".pyx"):
        for line, words in enumerate(text.splitlines(), 1):
            if match := re.match(r"\s*(?:from\s+([\w.]+)\s+)?c?import\s+(.+)", words):
                names = re.findall(r"[\w.]+", re.sub(r"\s+as\s+\w+", "", match[2]))
                for target in sorted({target_of(match[1], name, modules) for name in names}):
                    yield Import(source, target, line)
        return
    package = source if path.endswith("__init__.py") else source.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        for target in targets_of(node, package, modules):
            yield Import(source, target, node.lineno)  # type: ignore[attr-defined]


def targets_of(node: ast.AST, package: str, modules: set[str]) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            parents = package.split(".")
            above = parents[: len(parents) - level + 1] if level else []
            base = ".".join([*above, *filter(None, [module])])
            return sorted({target_of(base, name.name, modules) for name in names})
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def target_of(base: str | None, name: str, modules: set[str]) -> str:
    """What ``from base import name`` imports: a module of that name, or something in `base`."""
    if not base:
        return name
    return full if (full := f"{base}.{name}") in modules else base


def circles(imports: list[Import]) -> list[list[str]]:
    """The circles of modules that import each other, each named once (Tarjan's components)."""
    edges: dict[str, set[str]] = {}
    for item in imports:
        if item.source != item.target:
            edges.setdefault(item.source, set()).add(item.target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(edges.get(module, ())):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            cut = stack.index(module)
            members, stack[cut:] = stack[cut:], []
            if len(members) > 1:
                found.append(sorted(members))

    for module in sorted(edges):
        if module not in index:
            visit(module)
    return found
