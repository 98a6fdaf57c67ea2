"""A whole story in LaTeX: distributions, factorisations and objective; needs amsmath and amssymb."""

import re

from zoo.lab.story.factors import escaped, latex, latex_factor, latex_name
from zoo.lab.story.program import Program, TracedSite
from zoo.lab.story.terms import Terms

_GREEK = {"θ": r"\theta", "φ": r"\phi"}
_WORD = re.compile(
    r"(?P<function>[A-Za-z_]\w*)\((?:(?P<of>[^();]*); )?(?P<letter>[θφ])(?P<own>_n)?\)"  # logits(z, c; θ)
    r"|(?<![\w.])(?P<word>[^\W\d]\w*)"
    r"|(?P<space> (?=\[)|(?<=\w) )"  # rate 1
    r"|(?<=\d)e(?P<power>[+-]\d+)"  # 1e-05
)

# Terms by their objective's class (any class where it is empty) and by their names in its report, in LaTeX. {sites}
# are the sites in the name, {kl} is the sum of their KLs, {log_p} a site's log density, {z} are all latents.
_TERMS = (
    ("", r"log p\((?P<sites>\w+)\)", r"+ \mathbb{{E}}_q[{log_p}]"),
    ("", r"\(D - 1\) log p\((?P<sites>\w+)\)", r"+ \beta (D - 1)\, \mathbb{{E}}_q[{log_p}]"),
    ("", r"-gamma \|KL\((?P<sites>.+)\) - C\|", r"- \gamma_{{{sites}}} \left| {kl} - C_{{{sites}}} \right|"),
    ("TypeInformation", r"I\(x; (?P<sites>\w+)\)", r"+ \mathrm{{information}}\, I(x; {sites})"),
    (
        "TypeInformation",
        r"-KL\(q\((?P<sites>\w+)\) \|\| p\)",
        r"- \mathrm{{balance}}\, \mathrm{{KL}}(q({sites}) \,\|\, p({sites}))",
    ),
    (
        "TypeInformation",
        r"-KL\(q\((?P<sites>\w+) \| x\) \|\| q\(\w+ \| x \+ r\)\)",
        r"- \mathrm{{smoothness}}\, \mathrm{{KL}}(q({sites} \mid x) \,\|\, q({sites} \mid x + r))",
    ),
    ("NaturalClusteringELBO", r"-KL\((?P<sites>z_c)\)", r"- \beta_c\, {kl}"),
    ("BetaVAE", r"-KL\((?P<sites>\w+)\)", r"- \beta\, {kl}"),
    ("Decomposition", r"-KL\((?P<sites>\w+)\)", r"- \beta\, {kl}"),
    ("HFVAE", r"-KL\(z_de\)", r"- \sum_{{g, d}} \mathrm{{KL}}(q(z_{{g,d}}) \,\|\, p(z_{{g,d}}))"),
    ("BetaTCVAE", r"-KL\(z_d\)", r"- \sum_d \mathrm{{KL}}(q(z_d) \,\|\, p(z_d))"),
    ("", r"-KL\((?P<sites>\w+)\)", r"- {kl}"),
    ("", r"-KL\(q\((?P<sites>\w+) \| x\) \|\| p\)", r"- {kl}"),
    ("", r"log q\((?P<sites>\w+) \| x\)", r"+ \log q_\phi({sites} \mid x)"),
    ("HFVAE", r"-I\(x; z\)", r"- \alpha\, I(x; {z})"),
    ("InfoVAE", r"-I\(x; z\)", r"- (1 - \alpha)\, I(x; {z})"),
    ("InformationDropout", r"-I\(x; z\)", r"- \beta\, I(x; {z})"),
    ("", r"-I\(x; z\)", r"- I(x; {z})"),
    ("AnchoredCorEx", r"I\(x; z_a\)", r"+ \lambda\, I(x; z_a)"),
    ("BetaTCVAE", r"-TC", r"- \beta\, \mathrm{{TC}}({z})"),
    ("", r"-TC", r"- \gamma\, \mathrm{{TC}}({z})"),
    ("", r"-TC between", r"- \beta\, \mathrm{{KL}}(q({z}) \,\|\, {product})"),
    ("", r"-TC within", r"- \gamma \sum_g \mathrm{{TC}}(z_g)"),
    ("", r"-Cov_ij\^2", r"- \lambda_{{od}} \sum_{{i \neq j}} \mathrm{{Cov}}_{{ij}}^2"),
    ("", r"-\(Cov_ii - 1\)\^2", r"- \lambda_d \sum_i (\mathrm{{Cov}}_{{ii}} - 1)^2"),
    ("InfoVAE", r"-KL\(q\(z\) \|\| p\)", r"- \lambda\, \mathrm{{KL}}(q({z}) \,\|\, p({z}))"),
    ("InfoVAE", r"-KL", r"- (1 - \alpha)\, \mathrm{{KL}}(q({z} \mid x) \,\|\, p({z}))"),
    ("InfoVAE", r"-MMD\(q, p\)", r"- (\alpha + \lambda - 1)\, \mathrm{{MMD}}(q({z}), p({z}))"),
    ("Decomposition", r"-MMD\(q, p\)", r"- \alpha\, \mathrm{{MMD}}(q({z}), p({z}))"),
    ("Decomposition", r"-KL\(q \|\| p\)", r"- \alpha\, \mathrm{{KL}}(q({z}) \,\|\, p({z}))"),
    ("Decomposition", r"-KL\(p \|\| q\)", r"- \alpha\, \mathrm{{KL}}(p({z}) \,\|\, q({z}))"),
)


def whole_story(model: Program, guide: Program | None = None, terms: Terms | None = None) -> str:
    """Distributions and factorisations, and with a guide the objective, as an aligned display."""
    blocks = [_program(program) for program in (model, guide) if program]
    if guide and terms:
        blocks.append(_objective(model, guide, terms))
    body = " \\\\[1ex]\n".join(" \\\\\n".join(block) for block in blocks)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _program(program: Program) -> list[str]:
    """Its name and the number of datapoints, a line for each site, and the factorisation where there is one."""
    sizes = [f"{plate.full_size:,}".replace(",", "{,}") for plate in program.plates if plate.name == "data"]
    datapoints = "".join(f", for each of $N = {size}$ datapoints" for size in sizes)
    factorised = latex(program).replace(" = ", " &= ", 1)
    return [
        rf"&\text{{{escaped(program.name)}{datapoints}}}",
        *map(_statement, program.sites),
        *([factorised] if "&=" in factorised else []),
    ]


def _objective(model: Program, guide: Program, terms: Terms) -> list[str]:
    """Its name, a line for each term, and its hyperparameters."""
    first, *more = (_term(model, guide, terms.objective, term.name) for term in terms.terms)
    lines = [
        rf"&\text{{{escaped(terms.objective)}, which training maximises}}",
        rf"\mathcal{{L}} &= {first.removeprefix('+ ')}",
        *(rf"&\quad {term}" for term in more),
    ]
    numbers = [f"{_hyperparameter(name)} = {_number(value)}" for name, value in terms.hyperparameters.items()]
    return [*lines, r"&\quad\text{at the start: }" + r",\quad ".join(numbers)] if numbers else lines


def _statement(site: TracedSite) -> str:
    r"""A site's line, such as x \mid z, c &\sim \mathrm{Bernoulli}(\mathrm{logits}_\theta(z, c))."""
    names = {name: latex_name(name) for name in (site.name, *site.parents)}
    given = r" \mid " + ", ".join(names[parent] for parent in site.parents) if site.parents else ""
    if site.relation == "=":
        return rf"{names[site.name]} &= {_expression(site.expression, names)}"
    return rf"{names[site.name]}{given} &\sim {_expression(site.expression, names)}"


def _expression(text: str, names: dict[str, str]) -> str:
    def written(match: re.Match[str]) -> str:
        if match["function"]:
            subscript = _GREEK[match["letter"]] + (",n" if match["own"] else "")
            of = ", ".join(names.get(name, name) for name in (match["of"] or "").split(", ") if name)
            return rf"\mathrm{{{escaped(match['function'])}}}_{{{subscript}}}" + (f"({of})" if of else "")
        if match["power"]:
            return _power(match["power"])
        word = match["word"] or match[0]
        if word != " ":
            return names.get(word, word if len(word) == 1 else rf"\mathrm{{{escaped(word)}}}")
        return r"\,"

    odd = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in names if not name.isidentifier()]  # as net.weight
    return re.sub("|".join([*odd, _WORD.pattern]), written, text)


def _term(model: Program, guide: Program, objective: str, name: str) -> str:
    """A term with its sign and its weight; one of an unknown objective by its name, as text."""
    for owner, pattern, template in _TERMS:
        if owner in ("", objective) and (match := re.fullmatch(pattern, name)):
            sites = (match.groupdict().get("sites") or "").split("+")
            latents = [latex_name(site.name) for site in guide.sites if site.relation == "~"]
            return template.format(
                kl=" + ".join(_kl(model, guide, site) for site in sites if site),
                log_p=rf"\log {_factor(model, sites[0])}" if sites[0] else "",
                sites=" + ".join(map(latex_name, filter(None, sites))),
                z=", ".join(latents),
                product=r"\, ".join(f"q({latent})" for latent in latents),
            )
    return rf"+ \text{{{escaped(name)}}}"


def _factor(program: Program, site: str) -> str:
    return next(
        (latex_factor(program, s) for s in program.sites if s.name == site), f"{program.letter}({latex_name(site)})"
    )


def _kl(model: Program, guide: Program, site: str) -> str:
    """The KL of one site; the mean over q where a factor depends on a latent."""
    kl = rf"\mathrm{{KL}}({_factor(guide, site)} \,\|\, {_factor(model, site)})"
    latents = {s.name for s in guide.sites}
    parents = {parent for s in (*model.sites, *guide.sites) if s.name == site for parent in s.parents}
    return rf"\mathbb{{E}}_q[{kl}]" if parents & latents else kl


def _number(value: float) -> str:
    r"""As in 0.5, and 1 \cdot 10^{5}."""
    digits, _, exponent = f"{value:.3g}".partition("e")
    return digits + (_power(exponent) if exponent else "")


def _power(exponent: str) -> str:
    return rf" \cdot 10^{{{int(exponent)}}}"


def _hyperparameter(name: str) -> str:
    r"""The symbol of a hyperparameter, such as \lambda_{od}, or C_{z} for capacity.z."""
    name, _, of = name.partition(".")
    letter = "C" if name == "capacity" else latex_name(name.rstrip("_"))
    return letter + (f"_{{{' + '.join(map(latex_name, of.split('+')))}}}" if of else "")
