"""What a run leaves for a reader: summary.md and kl.csv."""

import csv
import inspect
from collections.abc import Mapping
from pathlib import Path

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.data import Split
from zoo.lab.runs.folder import Settings
from zoo.lab.training.experiment import Experiment

FILES = {
    "reconstructions.png": "test data over the mean of p(x given the posterior mean)",
    "samples.png": "means of p(x given z) for z from the prior",
    "traversals.png": "one unit of z at a time from -3 to 3, most informative first",
    "kl.png, kl.csv": "KL of every latent unit on the test set",
    "terms.csv": "every term of the objective at every step",
    "units.csv": "KL of every latent unit at every hundredth step, on its batch",
    "settings.json, weights.safetensors": "what was run, and what came of it",
    "checkpoint.safetensors": "the whole state at the last step, from which a killed run goes on",
}
"""What a run leaves, where there is such a file."""


def write_kl(evaluation: Evaluation, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["site", "unit", "kl_nats"])
        for site, kl in evaluation.kl.items():
            writer.writerows([site, unit, value] for unit, value in enumerate(kl.tolist()))


def summarise(
    experiment: Experiment,
    data: Split,
    settings: Settings,
    evaluation: Evaluation,
    shown: str,
    files: Mapping[str, str],
    seconds: float,
    command: str,
) -> str:
    objective = type(experiment.elbo)
    headline = (inspect.getdoc(objective) or objective.__name__).splitlines()[0]
    figures = {
        "-ELBO": -evaluation.elbo,
        **{f"reconstruction, E[log p({site})]": value for site, value in evaluation.reconstruction.items()},
        **{f"KL of {site}": kl.sum().item() for site, kl in evaluation.kl.items()},
    }
    rows = "\n".join(f"| {name} | {value:.2f} |" for name, value in figures.items())
    active = ", ".join(
        f"{(kl > 0.1).sum().item()} of {len(kl)} in {site}" for site, kl in evaluation.kl.items() if len(kl) > 1
    )
    epochs = settings.steps * settings.batch_size / len(data.train)
    return f"""# {settings.recipe} on {settings.data}

    {command}

The story, and the guide:

```
{shown}
```

Trained for {settings.steps:,} steps of {settings.batch_size} ({epochs:.1f} epochs of {len(data.train):,} datapoints) at
learning rate {settings.lr:g}, seed {settings.seed}, in {seconds:.0f} s on {settings.device}. Objective: {headline}

On all {evaluation.num_data:,} test datapoints, which training never saw, in nats per datapoint, unweighted:

| | nats |
| --- | ---: |
{rows}

Units with more than 0.1 nats: {active or "the guide couples its units, so their KL has one number"}.

Read this as one run of one seed with settings that nobody tuned on this data: another seed gives other figures, and
says by how much. The figures use one draw of the latents per datapoint; data are scored as in `zoo.likelihoods`, so
they compare with other figures only where those treat grey pixels, or the order of words, the same way.

| file | what it shows |
| --- | --- |
{chr(10).join(f"| {name} | {what} |" for name, what in files.items())}
"""
