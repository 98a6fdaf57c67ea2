"""The story view: the sites of a pair's traces, and the lines of a class's docstring, compared in a test."""

from zoo.lab.story.difference import Difference
from zoo.lab.story.lines import Line, docstring_lines, trace_lines
from zoo.lab.story.program import Program
from zoo.lab.story.tell import Story, story
from zoo.lab.story.terms import Terms

__all__ = ["Difference", "Line", "Program", "Story", "Terms", "docstring_lines", "story", "trace_lines"]
