"""Steps of other libraries on the same network, in an interpreter of their own: python -m zoo bench --peers PYTHON.

This file is run by that interpreter, which need not have this project: `PYTHON peers.py '{"peer": "numpyro", ...}'`. It
prints "ready"; then it reads a number of steps from each line, takes them, and prints the seconds that they took.
"""

import importlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

Run = Callable[[int], Any]  # takes that many steps


def serve(run: Run) -> None:
    """Answers every number of steps on standard input by the seconds that `run` takes for them."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print to stderr, not among the answers
    print("ready", file=answers)
    for line in sys.stdin:
        began = time.perf_counter()
        run(int(line))
        print(time.perf_counter() - began, file=answers)


def by_numpyro(task: Mapping[str, Any]) -> Run:
    """NumPyro's SVI, jitted, on the same architecture, on jax's default device."""
    jax, jnp, np, stax, numpyro, dist = map(
        importlib.import_module,
        ["jax", "jax.numpy", "numpy", "jax.example_libraries.stax", "numpyro", "numpyro.distributions"],
    )
    pixels, width, z_dim, size = task["pixels"], task["width"], task["z_dim"], task["batch"]
    shape = (pixels, pixels, 1)
    if task["network"] == "mlp":
        dense = [stax.Dense(width), stax.Relu, stax.Dense(width), stax.Relu]
        trunk = stax.serial(stax.Flatten, *dense)
        decode = stax.serial(*dense, stax.Dense(pixels**2))
    else:
        side = pixels // 8

        def halve(channels: int) -> Any:
            return stax.serial(stax.Conv(channels, (4, 4), (2, 2), "SAME"), stax.Relu)

        def double(channels: int) -> Any:
            return stax.ConvTranspose(channels, (4, 4), (2, 2), "SAME")

        unflatten = (lambda rng, s: ((s[0], side, side, 64), ()), lambda _, x, **__: x.reshape(-1, side, side, 64))
        trunk = stax.serial(halve(32), halve(64), halve(64), stax.Flatten, stax.Dense(256), stax.Relu)
        decode = stax.serial(
            *[stax.Dense(256), stax.Relu, stax.Dense(64 * side**2), stax.Relu, unflatten],
            *[double(32), stax.Relu, double(32), stax.Relu, double(1)],
        )
    encode = stax.serial(trunk, stax.FanOut(2), stax.parallel(stax.Dense(z_dim), stax.Dense(z_dim)))

    def model(x: Any) -> None:
        decoder = numpyro.module("decoder", decode, (len(x), z_dim))
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(z_dim), 1.0).to_event(1))
            logits = decoder(z).reshape(x.shape)
            # Grey pixels are scored as in zoo.likelihoods.
            numpyro.factor("x", (x * logits - jnp.logaddexp(0.0, logits)).sum((1, 2, 3)))

    def guide(x: Any) -> None:
        loc, log_var = numpyro.module("encoder", encode, (len(x), *shape))(x)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(0.5 * log_var)).to_event(1))

    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(task["lr"]), numpyro.infer.TraceMeanField_ELBO())
    update = jax.jit(svi.update)
    state = svi.init(jax.random.PRNGKey(0), jnp.zeros((size, *shape)))
    noise = np.random.default_rng(0).random((8, size, *shape), np.float32)
    batches = itertools.cycle(noise)

    def run(steps: int) -> float:
        nonlocal state
        for _ in range(steps):
            state, loss = update(state, next(batches))
            value = float(loss)
        return value

    run(1)  # compiles
    return run


def by_pythae(task: Mapping[str, Any]) -> Run:
    """Pythae's BaseTrainer and VAE on the images of `task["images"]`, an .npy of bytes: its epochs, data included."""
    np, torch, models, trainers, data = map(
        importlib.import_module, ["numpy", "torch", "pythae.models", "pythae.trainers", "pythae.data.datasets"]
    )
    base, output = map(importlib.import_module, ["pythae.models.nn", "pythae.models.base.base_utils"])
    nn = torch.nn
    torch.manual_seed(0)
    x = torch.from_numpy(np.load(task["images"])).float() / 255
    pixels, width, z_dim = x[0].numel(), task["width"], task["z_dim"]

    class Encoder(base.BaseEncoder):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
            self.trunk, self.head = nn.Sequential(*layers), nn.Linear(width, 2 * z_dim)

        def forward(self, x: Any) -> Any:
            loc, log_var = self.head(self.trunk(x)).chunk(2, dim=-1)
            return output.ModelOutput(embedding=loc, log_covariance=log_var)

    class Decoder(base.BaseDecoder):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(z_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, pixels)]
            self.layers = nn.Sequential(*layers, nn.Sigmoid(), nn.Unflatten(-1, tuple(x.shape[1:])))

        def forward(self, z: Any) -> Any:
            return output.ModelOutput(reconstruction=self.layers(z))

    config = models.VAEConfig(input_dim=tuple(x.shape[1:]), latent_dim=z_dim, reconstruction_loss="bce")
    trainer = trainers.BaseTrainer(
        models.VAE(config, Encoder(), Decoder()),
        data.BaseDataset(x, torch.zeros(len(x))),
        training_config=trainers.BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=task["batch"],
            learning_rate=task["lr"],
            optimizer_params={"fused": True},
            no_cuda=True,
        ),
    )
    trainer.prepare_training()
    handler = trainer.callback_handler
    handler.on_train_begin(training_config=trainer.training_config, model_config=config)

    def run(steps: int) -> None:
        if steps * task["batch"] != len(x):
            raise ValueError(f"an epoch has {len(x) // task['batch']} steps, got {steps}")
        arguments = {"training_config": trainer.training_config, "epoch": 1}
        handler.on_epoch_begin(**arguments, train_loader=trainer.train_loader, eval_loader=None)
        trainer.train_step(1)

    return run


PEERS = {"numpyro": by_numpyro, "pythae": by_pythae}

if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    serve(PEERS[wanted["peer"]](wanted))
