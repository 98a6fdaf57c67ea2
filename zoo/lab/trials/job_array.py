"""Trials as a job array: a numbered list, and a run of one of them by its number, without a supervising process."""

from collections.abc import Sequence

from zoo.lab.runs.folder import has_begun
from zoo.lab.trials.processes import limited_threads, threads_per_trial
from zoo.lab.trials.trial import Measure, Trial, run_trial


def listed(work: Sequence[tuple[Measure, Trial]]) -> str:
    """A line for each trial: its number from 1, its folder, and whether it has begun or is finished."""
    width = len(str(len(work)))
    lines = [f"{number:>{width}}  {trial.folder}  {_state(trial)}" for number, (_, trial) in enumerate(work, 1)]
    return "\n".join(line.rstrip() for line in lines)


def run_only(work: Sequence[tuple[Measure, Trial]], number: int) -> Trial:
    """Runs one trial in this process unless it is finished, and returns it.

    Other processes and other machines may run other trials at the same time, if they share the file system: only the
    trial's own folder is locked. A stopped trial resumes.

    Args:
        work: the trials, in the order of `listed`.
        number: of the trial, from 1.

    Raises:
        ValueError: there is no trial of this number, or it failed; the message says why.
        Stopped: on Ctrl-C and SIGTERM, when the run has saved.
    """
    if not 1 <= number <= len(work):
        raise ValueError(f"--only must be from 1 to {len(work)}, got {number}: --plan lists the trials")
    measure, trial = work[number - 1]
    with limited_threads(threads_per_trial()):
        failure = run_trial(measure, trial)
    if failure:
        raise ValueError(f"trial {number} of {len(work)} failed: {failure}")
    return trial


def _state(trial: Trial) -> str:
    return "finished" if trial.is_finished() else "begun" if has_begun(trial.folder) else ""
