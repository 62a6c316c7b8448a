"""The faults that tests/mutants.py puts in, in a table for each area of the source.

An entry is (promise or 0, name, file, text, replacement). The text occurs in the file; of several
occurrences the last is replaced. The promises are those of docs/SEMANTICS.md.
"""

from . import outside_rollout, planner, rollout

MUTANTS = [*planner.MUTANTS, *rollout.MUTANTS, *outside_rollout.MUTANTS]
