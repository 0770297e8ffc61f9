"""The page is one HTML file that needs nothing else."""

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command, fail, succeed
from node import needs_node, run_node

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.errors import InputError
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.page.build import STATIC, build_page, describe, join_modules


class Elements(html.parser.HTMLParser):
    """Collects each element's name, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.is_inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self.is_inside = True

    def handle_endtag(self, tag: str) -> None:
        self.is_inside = False

    def handle_data(self, data: str) -> None:
        if self.is_inside:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def text(self, tag: str, name: str | None = None) -> str:
        (text,) = [text for each, attributes, text in self.found if each == tag and attributes.get("id") == name]
        return text


def network(**options: Any) -> RowLSTM:
    torch.manual_seed(0)
    return RowLSTM(hidden_size=4, **options).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def page() -> str:
    return build_page(network(), {"test_acc": 0.5}, load_sklearn_digits().images[:10])


def test_page_holds_the_network(page: str) -> None:
    model = json.loads(Elements(page).text("script", "model"))
    assert model["accuracy"] == 0.5
    assert model["options"]["hidden_size"] == 4
    assert base64.b64decode(model["digits"]) == load_sklearn_digits().images[:10].tobytes()
    values = np.frombuffer(base64.b64decode(model["data"]), "<f2")
    for name, weight in network().state_dict().items():
        place = model["weights"][name]
        stored = values[place["offset"] : place["offset"] + weight.numel()].reshape(place["shape"])
        np.testing.assert_array_equal(stored, weight.half().numpy())
    assert [(each["layer"], each["direction"]) for each in model["units"]] == [(1, "forward"), (1, "backward")]
    assert all(sorted(each["order"]) == [0, 1, 2, 3] for each in model["units"])


def test_policy_allows_the_page_and_nothing_else(page: str) -> None:
    elements = Elements(page)
    (policy,) = [
        attributes["content"] or ""
        for _, attributes, _ in elements.found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(elements.text(tag).encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_page_names_no_address(page: str) -> None:
    # the names of SVG and the like are no addresses, and are never fetched
    assert set(re.findall(r"\w+://[^\s\"'`)<]+", page)) <= {"http://www.w3.org/2000/svg"}
    for tag, attributes, _ in Elements(page).found:
        assert not {"src", "srcset", "action", "style", *(() if tag == "a" else ("href",))} & attributes.keys(), tag
        assert not any(name.startswith("on") for name in attributes), tag


def test_data_cannot_end_its_element() -> None:
    text = build_page(
        network(), {"test_acc": "</script><script>alert(1)</script><!--"}, np.zeros((0, 28, 28), np.uint8)
    )
    assert "</script><script>alert" not in text
    assert json.loads(Elements(text).text("script", "model"))["accuracy"].startswith("</script>")


def test_weights_beyond_float16_are_refused() -> None:
    large = network()
    large.head.weight[0, 0] = 1e6
    with pytest.raises(InputError, match=r"head\.weight holds values above 65504"):
        describe(large, {}, np.zeros((0, 28, 28), np.uint8), 1.0)


def test_modules_are_joined_after_those_that_they_import(tmp_path: Path) -> None:
    (tmp_path / "b.js").write_text("export const first = 1;\n")
    (tmp_path / "c.js").write_text('import { first } from "./b.js";\nexport function second() {\n  return first;\n}\n')
    (tmp_path / "a.js").write_text(
        'import {\n  first,\n} from "./b.js";\nimport { second } from "./c.js";\n\nsecond();\n'
    )
    code = join_modules(tmp_path / "a.js")
    assert code.index("const first") < code.index("function second") < code.index("\nsecond()")
    assert code.count("const first") == 1
    assert "import" not in code
    assert "export" not in code


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("export const first = 2;\n", "declared twice: first"),
        ('export { first } from "./b.js";\n', "cannot join"),
        ('const text = "</script>";\n', "would end the element"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(tmp_path: Path, code: str, problem: str) -> None:
    (tmp_path / "b.js").write_text("export const first = 1;\n")
    (tmp_path / "a.js").write_text('import { first } from "./b.js";\n' + code)
    with pytest.raises(ValueError, match=problem):
        join_modules(tmp_path / "a.js")


def test_scripts_are_short() -> None:
    for path in STATIC.rglob("*.js"):
        assert len(path.read_text().splitlines()) <= 200, path


@needs_node
def test_worker_answers_the_newest_drawing_with_predictions_and_gates(tmp_path: Path) -> None:
    model = describe(network(), {}, np.zeros((0, 28, 28), np.uint8), 1.0)
    digit = load_sklearn_digits().images[3].flatten().tolist()
    blank = {"width": 50, "height": 40, "ink": [0] * 2000}
    messages = [
        {"type": "load", "model": model},
        {"type": "read", "id": 1, "image": [0] * 784},
        {"type": "read", "id": 2, "image": digit, "wait": "predictions"},
        {"type": "trace", "id": 3},
        {"type": "read", "id": 4, "drawing": blank, "wait": "answer"},
    ]
    script = join_modules(STATIC / "worker.js")
    data = {"script": script, "messages": messages}
    ready, answer, predictions, traced, empty = run_node(tmp_path / "static", Path(__file__).parent / "work.js", data)
    assert ready == {"type": "ready"}
    assert (answer["type"], answer["id"]) == ("answer", 2)
    assert answer["image"] == digit
    assert len(answer["deskewed"]) == 784
    assert answer["digit"] == int(np.argmax(answer["probabilities"]))
    assert (predictions["type"], predictions["id"], len(predictions["predictions"])) == ("predictions", 2, 280)
    np.testing.assert_allclose(predictions["predictions"][-10:], answer["probabilities"], rtol=0, atol=1e-6)
    assert 1 <= predictions["settles"] <= 28
    assert (traced["type"], traced["id"]) == ("traced", 3)
    assert [(place["layer"], place["direction"]) for place in traced["places"]] == [(1, "forward"), (1, "backward")]
    assert {name: len(values) for name, values in traced["places"][0]["values"].items()} == dict.fromkeys("ifgoch", 112)
    assert (empty["id"], empty["status"], empty["digit"]) == (4, "empty", None)


@needs_node
def test_worker_leaves_a_drawing_that_takes_long_for_a_newer_one(tmp_path: Path) -> None:
    large = RowLSTM(hidden_size=128, num_layers=2).requires_grad_(False).eval()
    model = describe(large, {}, np.zeros((0, 28, 28), np.uint8), 1.0)
    bar = np.zeros((300, 300), np.uint8)
    bar[140:156, 130:170] = 255  # may be cut into digits in many ways
    drawing = {"width": 300, "height": 300, "ink": bar.flatten().tolist()}
    messages = [
        {"type": "load", "model": model},
        {"type": "read", "id": 1, "drawing": drawing, "pause": 1},
        {"type": "read", "id": 2, "image": [0] * 784, "wait": "predictions"},
    ]
    data = {"script": join_modules(STATIC / "worker.js"), "messages": messages, "slow": True}
    answers = run_node(tmp_path / "static", Path(__file__).parent / "work.js", data)
    assert [(answer["type"], answer.get("id")) for answer in answers] == [
        ("ready", None),
        ("answer", 2),
        ("predictions", 2),
    ]


def test_command_writes_a_page_and_never_over_a_file(command: Command) -> None:
    out, _ = succeed(command, "page")
    written = Path("mnist-lstm.html")
    assert "mnist-lstm.html" in out
    assert f"{written.stat().st_size / 1e6:.1f} MB" in out
    assert written.stat().st_size <= 2_700_000
    model = json.loads(Elements(written.read_text(encoding="utf-8")).text("script", "model"))
    card = json.loads((Path(load_classifier.__code__.co_filename).parents[1] / "pretrained" / "card.json").read_text())
    assert model["accuracy"] == card["test_acc"]
    before = written.read_bytes()
    assert "exists already and is not overwritten" in fail(command, "page")
    assert written.read_bytes() == before


def test_command_takes_a_checkpoint(command: Command, trained: Path) -> None:
    succeed(command, "page", "own.html", "--ckpt_path", "best")
    model = json.loads(Elements(Path("own.html").read_text(encoding="utf-8")).text("script", "model"))
    assert model["options"]["hidden_size"] == 16
    assert model["accuracy"] is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["page.txt"], "must end in .html"),
        (["nowhere/page.html"], "cannot be written"),
        (["page.html", "--ckpt_path", "none.ckpt"], "no such file"),
    ],
)
def test_command_refuses_bad_arguments(command: Command, args: list[str], message: str) -> None:
    assert message in fail(command, "page", *args)
    assert not Path("page.html").exists()


@pytest.mark.parametrize("scan_order", ["pixels", "permuted"])
def test_networks_that_read_by_pixel_are_refused(scan_order: str) -> None:
    by_pixel = network(scan_order=scan_order)
    with pytest.raises(InputError, match=f"scan_order {scan_order}: the page shows networks that read rows or columns"):
        build_page(by_pixel, {}, np.zeros((0, 28, 28), np.uint8))
