"""YAML files that people write, read so that every complaint can name the line.

Law: a mistake is refused with file and line before anything is decided by the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from holovitals_pipelines.model.errors import ConfigurationError

Path = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not read; write the value again", problem_mark=mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True, slots=True)
class Lined:
    """A file's data, and the line each part of it begins on."""

    data: Any
    lines: Mapping[Path, int]
    place: str
    code: str
    """The error code of everything that is wrong with such a file."""
    remedy: str

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest part around it that is in the file.

        What is not in the file is passed over: pydantic also names the member of a union that it took.
        """
        found: Path = ()
        for part in path:
            found = (*found, part) if (*found, part) in self.lines else found
        return self.lines.get(found, 1)

    def refusal(self, path: Path, message: str) -> ConfigurationError:
        """The error that says what is wrong at `path`."""
        return ConfigurationError(
            f"{_dotted(path)}{message}", code=self.code, place=f"{self.place}:{self.line(path)}", remedy=self.remedy
        )

    def validated(self, model: type[_Model]) -> _Model:
        """The data as `model`. Raises ConfigurationError with every problem and its line; the place names the first."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            problems = sorted(
                (self.line(tuple(problem["loc"])), f"{_dotted(tuple(problem['loc']))}{problem['msg']}")
                for problem in error.errors(include_url=False, include_input=False, include_context=False)
            )
        first, message = problems[0]
        others = "".join(f"; line {line}: {text}" for line, text in problems[1:])
        raise ConfigurationError(
            message + others, code=self.code, place=f"{self.place}:{first}", remedy=self.remedy
        ) from None


def read_yaml(text: str, *, place: str, code: str, remedy: str) -> Lined:
    """Parse one YAML document. Raises ConfigurationError for anything but plain YAML with unrepeated string keys."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        lines: dict[Path, int] = {}
        data = _data(loader, root, (), lines) if root is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None)
        raise ConfigurationError(
            f"the file is not YAML: {problem or 'a character it may not hold'}",
            code=code,
            place=f"{place}:{mark.line + 1}" if mark else place,
            remedy="mend the line named",
        ) from None
    finally:
        loader.dispose()
    return Lined(data, lines, place, code, remedy)


def _data(loader: _Loader, node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_data(loader, item, (*path, index), lines) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    found: dict[str, Any] = {}
    for key_node, value in node.value:
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or key in found:
            problem = "a key that is not plain text" if not isinstance(key, str) else f"{key!r} is written twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        lines[(*path, key)] = key_node.start_mark.line + 1
        found[key] = _data(loader, value, (*path, key), lines)
    return found


def _dotted(path: Path) -> str:
    return f"{'.'.join(str(part) for part in path)}: " if path else ""
