"""Every option of every command, with values that people type by mistake.

WORKS has a command line for each command that would do its work; OPTIONS what is wrong as the value of each of its
options; LINES whole command lines. In the folder of the command lie: run (finished), stopped (a run that is not),
file.txt, broken.npz, empty (a folder), full (a folder with a file).
"""

HUGE = "1" + 22 * "0"
LONG = 300 * "x"  # longer than a file's name can be
GREEK, BYTES = "\N{GREEK SMALL LETTER BETA}", "\udcff"  # the second is a byte that is not UTF-8, as argv has it

FROM_0 = ("-1", "0.5", "nan", "inf", "x", "", " ", HUGE, GREEK, "1,5", "0x10")
FROM_1 = ("0", *FROM_0)
RATE = ("0", "-0.1", "nan", "inf", "-inf", "fast", "", " ", "1e999", GREEK, "0,1")
EPOCHS = (*RATE, "1e300", "1e-999")
SEED = (*FROM_0, "4294967296")
JOBS = (*FROM_1, "257")
NAME = ("", " ")
BACKEND = ("", " ", "threading", "joblib", "Loky", "loky,dask", GREEK, BYTES)
PRECISION = (*NAME, "fp16", "BF16", "16", GREEK)
SCHEDULER = ("", " ", "tcp://127.0.0.1:1", "here", GREEK)  # without --backend dask
DEVICE = ("", "gpu", "cuda:99", "meta", "CPU ", GREEK, BYTES)
CHECKPOINT = ("", "soon", "0", "-5", "0s", "1.5s", "60 s", "s", "nan", "inf", GREEK, HUGE, HUGE + "s")
DATA = ("", " ", "digitz", "no/such", "file.txt", "broken.npz", "empty", "full", GREEK, BYTES, LONG)
DATA_OPTION = ("", "size", "=3", "size=32", "siz=3", GREEK, "size=")
SET = ("", "beta", "=3", "bta=3", "beta=", "beta=high", "beta=nan", "beta=inf", "beta=-1", "z_dim=0", "z_dim=-3",
       f"z_dim={HUGE}", "z_dim=2.5", "z_dim=none", "network=rnn", "network=conv", GREEK, f"beta={GREEK}")  # fmt: skip
FOLDER = ("", " ", "file.txt", "file.txt/x", LONG)
NEW_FOLDER = (*FOLDER, "full", "run", "stopped")
PICTURE = ("", " ", "empty", "no/x.png", "file.txt/x.png", LONG + ".png")
FOLDER_OF_DATA = ("", " ")
FORMAT = ("", " ", "jpg", "PNG", ".png", GREEK)
RUN = ("", " ", "nowhere", "file.txt", "file.txt/x", "empty", "full", "stopped", GREEK, BYTES, LONG)
RECIPE = ("", " ", "vea", "VAE ", "beta-vae/", GREEK, BYTES, "run")

TRAINING = {
    "--data": DATA,
    "--data-dir": FOLDER_OF_DATA,
    "--data-option": DATA_OPTION,
    "--set": SET,
    "--steps": FROM_1,
    "--epochs": EPOCHS,
    "--batch-size": (*FROM_1, "1501"),
    "--lr": RATE,
    "--device": DEVICE,
    "--checkpoint-every": CHECKPOINT,
    "--precision": PRECISION,
}

WORKS: dict[str, list[str]] = {
    "list": [],
    "show": ["vae"],
    "story": ["beta-vae"],
    "train": ["beta-vae", "--steps", "3"],
    "evaluate": ["run"],
    "reproduce": ["joint-vae/mnist"],
    "sweep": ["beta-vae", "--steps", "3"],
    "traverse": ["run"],
    "explore": ["run"],
    "push": ["run", "owner/name"],
    "compare-guides": ["vae", "--steps", "3"],
    "matrix": [],
    "metrics": [],
    "data": [],
    "estimators": [],
    "density-ratio": [],
    "figure2": [],
    "bench": [],
}

OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "list": {},
    "show": {},
    "story": {
        **{option: TRAINING[option] for option in ("--data", "--data-dir", "--data-option", "--set")},
        "--swap": (*NAME, "flwo", GREEK, "mean-field,flow"),
        "--graph": (*PICTURE, "x.nosuch", "x"),
        "--diff": RECIPE,
    },
    "train": {
        **TRAINING,
        "--seed": SEED,
        "--out": NEW_FOLDER,
        "--resume": RUN[:7] + RUN[8:],
        "--threads": (*FROM_1, "Auto", "1025"),
        "--format": FORMAT,
    },
    "evaluate": {
        "--data-dir": FOLDER_OF_DATA,
        "--estimator": (*NAME, "exat", "Exact", GREEK),
        "--num-samples": ("1", *FROM_1),
        "--format": FORMAT,
    },
    "reproduce": {
        "--seeds": (*FROM_1, "1001"),
        "--budget": (*NAME, "tiny", "Full", GREEK),
        "--jobs": JOBS,
        "--backend": BACKEND,
        "--scheduler": SCHEDULER,
        "--only": (*FROM_1, "1000"),
        "--hours": RATE,
        "--runs": FOLDER,
        "--out": FOLDER,
        "--weights": FOLDER,
        "--device": DEVICE,
        "--precision": PRECISION,
        "--data-dir": FOLDER_OF_DATA,
    },
    "sweep": {
        **TRAINING,
        "--seeds": (*FROM_1, "1001"),
        "--grid": ("", "beta", "beta=", "beta=,", "bta=1", "beta=1,1", "beta=x", "beta=nan", "z_dim=0,1", GREEK),
        "--jobs": JOBS,
        "--backend": BACKEND,
        "--scheduler": SCHEDULER,
        "--only": (*FROM_1, "4"),
        "--out": FOLDER,
        "--format": FORMAT,
    },
    "explore": {
        "--out": (*PICTURE[:3], "file.txt/x.html", LONG + ".html"),
        "--images": (*FROM_1, "101"),
        "--data-dir": FOLDER_OF_DATA,
    },
    "push": {"--data-dir": FOLDER_OF_DATA},
    "traverse": {
        "--site": (*NAME, "w", GREEK),
        "--unit": (*FROM_0, "99"),
        "--datapoint": (*FROM_0, "999999"),
        "--prior": SEED,
        "--values": (*NAME, "wid", GREEK),
        "--beside": RUN,
        "--out": FOLDER,
        "--format": FORMAT,
        "--data-dir": FOLDER_OF_DATA,
    },
    "compare-guides": {
        **TRAINING,
        "--guides": (*NAME, ",", "flwo", "flow,flow", "flow,", GREEK),
        "--images": FROM_1,
        "--samples": FROM_1,
        "--gap-images": FROM_1,
        "--seed": SEED,
        "--jobs": JOBS,
        "--backend": BACKEND,
        "--scheduler": SCHEDULER,
        "--out": FOLDER,
        "--format": FORMAT,
    },
    "matrix": {"--out": (*PICTURE,)},
    "metrics": {},
    "data": {
        "--data-dir": FOLDER_OF_DATA,
        "--sheet": DATA,
        "--out": (),  # read with --sheet alone: see LINES
        "--data-option": (),
    },
    "estimators": {"--seeds": ("1", *FROM_1, "10001")},
    "density-ratio": {},
    "figure2": {"--out": (*PICTURE, "x.nosuch")},
    "bench": {
        "--turns": (*FROM_1, "10001"),
        "--steps": (*FROM_1, "100001"),
        "--rows": ("", "x", "Steps", GREEK),
        "--device": DEVICE,
        "--data-dir": ("", " "),
        "--peers": ("", " ", "nosuch/python", "file.txt", "empty"),
    },
}

POSITIONAL: dict[str, tuple[str, tuple[str, ...]]] = {
    "show": ("recipe", RECIPE),
    "story": ("recipe", RECIPE),
    "train": ("recipe", RECIPE),
    "sweep": ("recipe", RECIPE),
    "compare-guides": ("recipe", RECIPE),
    "evaluate": ("run", RUN),
    "traverse": ("run", RUN),
    "explore": ("run", RUN),
    "push": ("run", RUN),
    "reproduce": ("reproduction", ("", " ", "joint-vae/mnits", "vae", GREEK, BYTES)),
}
"""What the first argument is, and what is wrong in its place."""

LINES: tuple[tuple[list[str], str, str], ...] = (
    # The command line, the place that the message names, and the value that it shows.
    (["trian"], "command", "trian"),
    ([GREEK], "command", GREEK),
    ([""], "command", ""),
    (["train", "vae", "digits"], "argument", "digits"),
    (["evaluate"], "RUN", ""),
    (["traverse"], "RUN", ""),
    (["sweep"], "RECIPE", ""),
    (["list", "recipes"], "argument", "recipes"),
    (["train", "--nosuch", "3"], "option", "--nosuch"),
    (["train", "--step", "3"], "option", "--step"),
    (["train", "-x"], "option", "-x"),
    (["train", "--download=yes"], "--download", ""),
    (["train", "--compile=1"], "--compile", ""),
    (["evaluate", "run", "--metrics=no"], "--metrics", ""),
    (["data", "--sheet", "digits", "--out", "empty"], "--out", "empty"),
    (["data", "--sheet", "digits", "--out", "no/x.png"], "--out", "no"),
    (["data", "--sheet", "digits", "--out", "x.nosuch"], "--out", "nosuch"),
    (["data", "--sheet", "digits", "--data-option", "size=3"], "--data-option", "size=3"),
    (["data", "--sheet", "shapes", "--data-option", "held_out=2"], "held_out", "2"),
    (["data", "--sheet", "pinwheel", "--data-option", "arms=0"], "arms", "0"),
    (["data", "--sheet", "mnist"], "--data-dir", "mnist"),
    (["train", "--steps", "3", "--epochs", "2"], "--steps", "--epochs"),
    (["sweep", "vae", "--steps", "3", "--epochs", "2"], "--steps", "--epochs"),
    (["compare-guides", "vae", "--steps", "3", "--epochs", "2"], "--steps", "--epochs"),
    (["train", "--set", "beta=1", "--set", "beta=2", "beta-vae"], "--set", "beta"),
    (["sweep", "beta-vae", "--set", "beta=1", "--grid", "beta=1,2"], "--grid", "beta"),
    (["sweep", "beta-vae", "--grid", "beta=1", "--grid", "beta=2"], "--grid", "beta"),
    (["train", "--resume", "stopped", "--out", "elsewhere"], "--out", "stopped"),
    (["train", "--resume", "stopped", "--epochs", "2"], "--epochs", "stopped"),
    (["train", "--resume", "stopped", "--seed", "9"], "seed", "9"),
    (["train", "--resume", "stopped", "--lr", "9"], "lr", "9"),
    (["train", "--resume", "stopped", "--data", "pinwheel"], "data", "pinwheel"),
    (["train", "--resume", "stopped", "--precision", "bf16"], "precision", "bf16"),
    (["train", "dip-vae", "--resume", "stopped"], "recipe", "dip-vae"),
    (["train", "--resume", "stopped", "--set", "z_dim=3"], "hyperparameters", "z_dim"),
    (["traverse", "run", "--datapoint", "0", "--prior", "0"], "--datapoint", "--prior"),
    (["traverse", "run", "--unit", "0", "--site", "nosuch"], "site", "nosuch"),
    (["sweep", "vae", "--backend", "dask", "--scheduler", "nosuch://x"], "--scheduler", "nosuch://x"),
    (["sweep", "vae", "--backend", "ray", "--scheduler", "tcp://127.0.0.1:1"], "--scheduler", "RAY_ADDRESS"),
    (["sweep", "vae", "--plan", "--only", "1"], "--plan", "--only"),
    (["reproduce", "--only", "1"], "--only", "reproduction"),
    (["matrix", "--table", "--out", "file.json"], "file.json", "file.json"),
    (["story", "vae", "--latex=yes"], "--latex", ""),
    *(([command, option], option, option) for command, option in (
        ("train", "--steps"), ("train", "--out"), ("sweep", "--grid"), ("evaluate", "--num-samples"),
        ("traverse", "--site"), ("reproduce", "--budget"), ("data", "--sheet"), ("bench", "--turns"),
    )),
)  # fmt: skip

ACCEPTED: dict[tuple[str, str, str], str] = {}
"""What is accepted on purpose, by command, option or argument, and value, with the reason."""
