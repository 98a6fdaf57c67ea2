"""The page in headless Chromium, opened from a file: sliders move, and pixels and codes equal PyTorch's."""

import numpy as np
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField
from tests.lab.explore.javascript import as_lists
from tests.lab.explore.test_page import TEXTS, content, pair_of
from zoo import ProdLDA
from zoo.lab.analysis.interventions import decoded
from zoo.lab.data import Dataset
from zoo.lab.explore import page
from zoo.lab.explore.information import kl_by_unit
from zoo.lab.explore.pair import encode, latents_of
from zoo.papers import configure, pretrained

PROBE = """
    const pixels = (canvas) => Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
    const move = (id, value) => {
      const slider = document.getElementById(id);
      slider.value = value;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
"""

PIXELS = (
    PROBE
    + """
    const shown = [];
    for (const code of CODES) {
      explorer.take(code);
      await new Promise(requestAnimationFrame);  // the picture is there; its traversal, nine more, is not waited for
      shown.push(pixels(document.getElementById("image")));
    }
    await explorer.settled();
    const found = (explorer.content.tests || []).map((test, n) => explorer.encode(datapoint(n), test.label));
    const codes = found.map((code) => Object.fromEntries(Object.entries(code).map(([k, v]) => [k, Array.from(v)])));
    return { shown, codes };
"""
)


def check(model, made, opened):
    """The pixels of 20 codes are PyTorch's within 1/255; returns what the page encodes its test images to."""
    sites, draws = latents_of(model, 20, seed=11)
    codes = as_lists(draws, [*sites.units, *sites.classes])
    result = opened(made).evaluate(PIXELS.replace("CODES", str(codes)))
    shown = np.array(result["shown"]).reshape(20, -1, 4) / 255
    with torch.no_grad():
        expected = decoded(model, draws).flatten(1).numpy()
    assert expected.std() > 0.1
    for channel in range(3):
        np.testing.assert_allclose(shown[..., channel], expected, atol=1 / 255)
    assert (shown[..., 3] == 1).all()
    return result["codes"]


def same_codes(guide, data, made, codes):
    """The codes of the page's test images are PyTorch's posterior means within 1e-4."""
    numbers = [test["number"] for test in content(made.html)["tests"]]
    expected = encode(guide, data.batch(torch.tensor(numbers)).x)
    assert len(codes) == len(numbers) == 10
    for site in codes[0]:
        np.testing.assert_allclose([code[site] for code in codes], expected[site], atol=1e-4)


@pytest.mark.parametrize(
    ("recipe", "hyperparameters"),
    [("joint-vae/digits", {}), ("natural-clustering/digits", {}), ("vae", {"z_dim": 2})],
)
def test_pixels_and_codes_are_pytorchs(recipe, hyperparameters, opened):
    model, guide, data = pair_of(recipe, **hyperparameters)
    made = page(model, guide, kl={}, data=data, **TEXTS)
    same_codes(guide, data, made, check(model, made, opened))


def test_pixels_are_pytorchs_for_the_pretrained_pair(opened):
    torch.set_default_dtype(torch.float32)  # as it was trained
    pair = pretrained("joint-vae/mnist")
    kl, over = kl_by_unit(pair.model, pair.guide, num=50)
    _, draws = latents_of(pair.model, 10, seed=5)
    images = Dataset("decoded", decoded(pair.model, draws).numpy(), np.arange(10))  # so that no files are needed
    made = page(pair.model, pair.guide, data=images, kl=kl, **{**TEXTS, "kl_over": over})
    assert len(made.html) < 6e6
    same_codes(pair.guide, images, made, check(pair.model, made, opened))


MOVES = (
    PROBE
    + """
    const image = document.getElementById("image");
    await explorer.settled();
    const [first, second] = explorer.content.units.slice(0, 2).map(({ site, index }) => `unit-${site}-${index}`);
    const seen = [pixels(image)];
    for (const [id, value] of [[first, -2], [first, 2], [second, 1.5]]) {
      move(id, value);
      await explorer.settled();
      seen.push(pixels(image));
    }
    const strip = () => Array.from(document.querySelectorAll("#steps canvas"), pixels);
    const title = document.getElementById("strip-title").textContent;
    const steps = strip();
    document.querySelectorAll("#steps button")[0].click();
    await explorer.settled();
    const value = document.getElementById(second).value;
    const pressed = Array.from(document.querySelectorAll("#steps button"), (b) => b.getAttribute("aria-pressed"));
    seen.push(pixels(image));
    document.getElementById("class-c-4").click();
    await explorer.settled();
    seen.push(pixels(image));
    document.querySelectorAll("#test-buttons button")[3].click();
    await explorer.settled();
    const code = Object.fromEntries(Object.entries(explorer.code).map(([k, v]) => [k, Array.from(v)]));
    const labels = Array.from(document.querySelectorAll(".unit"), (row) => row.textContent);
    return { seen, steps, title, value, pressed, code, labels, said: document.getElementById("said").textContent };
"""
)


def test_sliders_buttons_and_the_traversal_change_the_picture(opened):
    model, guide, data = pair_of("joint-vae/digits")
    nats = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.4, 0.8, 0.5, 0.6, 0.7, 0.0])
    made = page(model, guide, kl={"z": nats, "c": torch.tensor([2.0])}, data=data, **TEXTS)
    found = opened(made).evaluate(MOVES)
    number = [test["number"] for test in content(made.html)["tests"]]
    x = data.batch(torch.tensor(number)).x
    means = encode(guide, x)
    code = {"z": means["z"][:1].clone(), "c": torch.eye(10)[means["c"][:1].argmax(-1)]}

    def picture():
        with torch.no_grad():
            return 255 * model.decoder(code["z"], code["c"]).sigmoid().flatten().numpy()

    def shown(pixels):
        return np.array(pixels).reshape(-1, 4)[:, 0]

    seen = iter(found["seen"])
    np.testing.assert_allclose(shown(next(seen)), picture(), atol=1)  # the first test image, encoded
    before = picture()
    for unit, value in ((2, -2.0), (2, 2.0), (5, 1.5)):  # the first two sliders by KL
        code["z"][:, unit] = value
        assert abs(picture() - before).max() > 1
        np.testing.assert_allclose(shown(next(seen)), picture(), atol=1)
    assert found["labels"][0].startswith("z[2]")
    assert found["labels"][0].endswith("0.90 nats")
    limit = content(made.html)["units"][1]["limit"]
    assert found["title"].startswith(f"Traversal: z[5] from \u2212{limit:.2f} to {limit:.2f}")
    for value, step in zip(np.linspace(-limit, limit, 9), found["steps"], strict=True):
        code["z"][:, 5] = value
        np.testing.assert_allclose(shown(step), picture(), atol=1)
    code["z"][:, 5] = -limit  # the first image of the strip was chosen
    assert float(found["value"]) == -limit
    assert found["pressed"] == ["true", *["false"] * 8]
    np.testing.assert_allclose(shown(next(seen)), picture(), atol=1)
    code["c"] = torch.eye(10)[[4]]
    np.testing.assert_allclose(shown(next(seen)), picture(), atol=1)
    np.testing.assert_allclose(found["code"]["z"], means["z"][3], atol=1e-4)  # the fourth test image
    best = int(means["c"][3].argmax())
    assert found["code"]["c"] == torch.eye(10)[best].tolist()
    assert found["said"] == f"encoder: c = {best} with probability {means['c'][3, best]:.2f}"


def test_the_page_is_used_with_the_keyboard_alone(opened):
    model, guide, data = pair_of("joint-vae/digits")
    page_of_pair = opened(page(model, guide, kl={}, data=data, **TEXTS))
    focused = "return document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    page_of_pair.press("Tab")
    assert page_of_pair.evaluate(focused).startswith("class-c-")  # the chosen class
    chosen = int(page_of_pair.evaluate(focused).removeprefix("class-c-"))
    page_of_pair.press("ArrowRight")
    assert page_of_pair.evaluate("return explorer.code.c.indexOf(1)") == (chosen + 1) % 10
    page_of_pair.press("Tab", 3)  # past the two buttons
    assert page_of_pair.evaluate(focused) == "unit-z-0"
    assert page_of_pair.evaluate("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    before = page_of_pair.evaluate("return Number(document.activeElement.value)")
    page_of_pair.press("ArrowRight", 3)
    assert page_of_pair.evaluate("return explorer.code.z[0]") == pytest.approx(before + 0.15, abs=1e-6)  # steps of 0.05
    page_of_pair.press("Tab")
    assert page_of_pair.evaluate("return document.getElementById('strip-title').textContent").startswith(
        "Traversal: z[1]"
    )
    assert page_of_pair.evaluate("return document.activeElement.getAttribute('aria-valuetext')").startswith("z[1] = ")


@pytest.mark.parametrize("recipe", ["joint-vae/digits", "decomposition/pinwheel"])
def test_nothing_is_loaded_and_nothing_is_wider_than_a_phone(recipe, opened):
    _, data, experiment = configure(recipe, device="cpu")
    made = page(experiment.model.eval(), experiment.guide.eval(), kl={}, data=data.test, **TEXTS)
    phone = opened(made, width=320, height=640)
    assert phone.evaluate("return [innerWidth, document.documentElement.scrollWidth]") == [320, 320]
    assert [url.partition(":")[0] for url in phone.requests] == ["file"]  # the page itself


def test_n_vaes_sliders_are_those_of_the_class(opened):
    model, guide, data = pair_of("natural-clustering/digits")
    made = page(model, guide, kl={}, data=data, **TEXTS)
    script = """
        document.getElementById("class-y-7").click();
        await explorer.settled();
        const rows = Array.from(document.querySelectorAll(".unit"));
        return rows.filter((row) => row.offsetHeight > 0).map((row) => row.querySelector("label").textContent);
    """
    own = [f"z_c[{7 * model.c_dim + k}]" for k in range(model.c_dim)]
    assert sorted(opened(made).evaluate(script)) == sorted([*own, "z_s[0]"])


PLANE = """
    await explorer.settled();
    const plane = document.querySelector("#plane svg");
    const box = plane.getBoundingClientRect();
    const at = { clientX: box.left + 0.75 * box.width, clientY: box.top + 0.25 * box.height, pointerId: 1, buttons: 1 };
    plane.setPointerCapture = () => {};
    plane.dispatchEvent(new PointerEvent("pointerdown", at));
    await explorer.settled();
    const clicked = Array.from(explorer.code.z);
    plane.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
    await explorer.settled();
    return { clicked, moved: Array.from(explorer.code.z), x: Array.from(explorer.decode(explorer.code)),
      said: document.querySelector("#view figcaption").textContent };
"""


def test_two_latent_dimensions_make_a_plane_and_points_are_drawn_as_points(opened):
    _, data, experiment = configure("decomposition/pinwheel", device="cpu")
    model, guide = experiment.model.eval(), experiment.guide.eval()
    made = page(model, guide, kl={}, data=data.test, **TEXTS)
    found = opened(made).evaluate(PLANE)
    limit = content(made.html)["units"][0]["limit"]
    np.testing.assert_allclose(found["clicked"], [limit / 2, limit / 2], atol=1e-2 * limit)
    np.testing.assert_allclose(found["moved"], [found["clicked"][0] - limit / 40, found["clicked"][1]], rtol=1e-6)
    with torch.no_grad():
        mean = model.decoder(torch.tensor(found["moved"]))[:2]  # the other two are scales
    np.testing.assert_allclose(found["x"], mean, atol=1e-5)
    assert found["said"].startswith(
        f"circle: the mean of p(x | z), ({mean[0]:.2f}, {mean[1]:.2f})".replace("-", "\u2212")
    )
    cloud = content(made.html)["cloud"]
    assert len(cloud["codes"]) == len(cloud["x"]) == min(400, len(data.test))


def test_topics_are_shown_by_their_words(opened):
    words = ("<b>god</b>", "space", "windows", "game", "key")
    model = ProdLDA(nn.Linear(3, 5), groups=[3], num_data=4).eval()
    guide = Amortized(nn.Linear(5, 4), z=MeanField(3), num_data=4).eval()
    x = np.array([[2.0, 0, 0, 1, 0], [0, 3, 0, 0, 1], [1, 0, 2, 0, 0], [0, 0, 0, 1, 1]])
    made = page(model, guide, kl={}, data=Dataset("posts", x, vocabulary=words), **TEXTS)
    script = """
        explorer.take({ z: [2, -1, 0.5] });
        await explorer.settled();
        const rows = Array.from(document.querySelectorAll("#view li"));
        return rows.map((row) => [row.childNodes[1].textContent, row.lastChild.textContent]);
    """
    with torch.no_grad():
        shares = model.decoder(torch.tensor([2, -1, 0.5]).softmax(-1)).softmax(-1)
    order = shares.argsort(descending=True).tolist()
    assert opened(made).evaluate(script) == [[words[w], f"{100 * shares[w]:.2f} %"] for w in order]
