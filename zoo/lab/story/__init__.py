"""The story view: a pair as its traces show it, and as a class's docstring has it. A test holds the two together."""

from zoo.lab.story.difference import Difference
from zoo.lab.story.lines import Line, told, traced
from zoo.lab.story.program import Program
from zoo.lab.story.tell import Story, story
from zoo.lab.story.terms import Terms

__all__ = ["Difference", "Line", "Program", "Story", "Terms", "story", "told", "traced"]
