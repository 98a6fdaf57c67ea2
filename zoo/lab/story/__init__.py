"""The story view: a pair as its traces show it, and the lines of a class's docstring, which a test holds equal."""

from zoo.lab.story.difference import Difference
from zoo.lab.story.lines import Line, docstring_lines, trace_lines
from zoo.lab.story.program import Program
from zoo.lab.story.tell import Story, story
from zoo.lab.story.terms import Terms

__all__ = ["Difference", "Line", "Program", "Story", "Terms", "docstring_lines", "story", "trace_lines"]
