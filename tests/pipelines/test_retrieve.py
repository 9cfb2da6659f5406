"""Crops by words: the files of the track, what captions tell, the score by hand, and what a submission must be."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_models
import tiny_vlms
from conftest import Command
from make_records import drawn, read_rows, taxonomy, write_crops, write_instances
from secondlook.io import records
from secondlook.models.features import load, to_unit
from secondlook.pipelines.retrieve import pedestrians
from secondlook.pipelines.retrieve.metric import score_list
from secondlook.pipelines.retrieve.pedestrians import BITS, MEANINGS, caption_of, known_bits, parse_bits
from secondlook.pipelines.retrieve.vehicles import BRANDS, COLOURS, TYPES, Vehicle, parse_vehicle

MAN = "0,0,1,0,1,0,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0"


def test_the_vocabularies_have_the_sizes_of_the_track() -> None:
    assert (len(COLOURS), len(TYPES), len(BRANDS), BITS) == (11, 6, 65, 21)
    assert len({*COLOURS, *TYPES, *BRANDS}) == 82


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("white Audi.", Vehicle("white", "Audi")),
        ("A white Audi.", Vehicle("white", "Audi")),
        ("This is an orange Golden Dragon Bus.", Vehicle("orange", "Golden Dragon", "Bus")),
        ("SUV.", Vehicle(type="SUV")),
        ("An SUV.", Vehicle(type="SUV")),
        ("Minivan", Vehicle(type="Minivan")),
        ("Mini", Vehicle(brand="Mini")),
        ("Hongyan.", Vehicle(brand="Hongyan")),
        ("Balong Heavy Truck.", Vehicle(brand="Balong Heavy Truck")),
        ("red Balong Heavy Truck Truck", Vehicle("red", "Balong Heavy Truck", "Truck")),
        ("This is a grey Chery Sedan.", Vehicle("grey", "Chery", "Sedan")),
        ("a red ROEWE", Vehicle("red", "ROEWE")),
        ("A red Shuanghuan", Vehicle("red", "Shuanghuan")),
        ("an orange BMW.", Vehicle("orange", "BMW")),
        ("this is a  red ROEWE.", Vehicle("red", "ROEWE")),
        ("THIS IS AN SUV.", Vehicle(type="SUV")),
        ("Audi", Vehicle(brand="Audi")),
    ],
)
def test_vehicle_phrases(phrase: str, expected: Vehicle) -> None:
    assert parse_vehicle(phrase) == expected
    assert parse_vehicle(expected.phrase) == expected


@pytest.mark.parametrize(
    "phrase", ["", "A .", "white Tesla", "Audi white", "Sedan Audi", "whiteAudi", "white Audi Sedan Bus"]
)
def test_phrases_outside_the_vocabulary(phrase: str) -> None:
    with pytest.raises(ValueError, match=r"`|nothing"):
        parse_vehicle(phrase)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({20: None}, "20 bits instead of 21"),
        ({3: 1}, "exactly one of age over 60, age 18 to 60, age under 18"),
        ({4: 0}, "exactly one of front, side, back"),
        ({14: 1}, "exactly one of short sleeve, long sleeve"),
        ({15: 1, 17: 1}, "at most one of stripe, logo, plaid, splice"),
        ({10: 1, 11: 1}, "at most one of shoulder bag, backpack"),
    ],
)
def test_bits_that_cannot_be(change: dict[int, int | None], said: str) -> None:
    bits: list[Any] = MAN.split(",")
    for place, value in change.items():
        bits[place] = value
    with pytest.raises(ValueError, match=said):
        parse_bits(",".join(str(bit) for bit in bits if bit is not None))


@st.composite
def people(draw: st.DrawFn) -> tuple[int, ...]:
    """Draw bits that can be at once."""
    bits = [draw(st.integers(0, 1)) if place in {0, 7, 8, 9, 12, 19, 20} else 0 for place in range(BITS)]
    for group in ((1, 2, 3), (4, 5, 6), (13, 14)):
        bits[draw(st.sampled_from(group))] = 1
    for group in ((15, 16, 17, 18, None), (10, 11, None)):
        place = draw(st.sampled_from(group))
        if place is not None:
            bits[place] = 1
    return tuple(bits)


@settings(max_examples=300, deadline=None)
@given(people(), st.integers(0, 10_000))
def test_captions_tell_nothing_wrong_and_always_sex_age_and_view(bits: tuple[int, ...], seed: int) -> None:
    caption = caption_of(bits, np.random.default_rng(seed))
    known = known_bits(caption)
    assert {place: bits[place] for place in known} == known, caption
    assert set(range(7)) <= set(known)
    if not any(bits[place] for place in (7, 8, 9, 10, 11, 12, 19)):
        assert set(known) == set(range(BITS)), "nothing takes the place of anything"


@pytest.mark.parametrize(
    ("caption", "told", "open_"),
    [
        pytest.param(
            "A walking woman who is a minor, and is standing sideways and with a handbag. "
            "She is wearing a hat,glasses.",
            {"female": 1, "age under 18": 1, "side": 1, "handbag": 1, "hat": 1, "glasses": 1, "long coat": 0},
            {"short sleeve", "stripe", "skirt or dress", "backpack", "holds objects in front"},
            id="a hat hides the sleeves, a handbag the backpack",
        ),
        pytest.param(
            "A male pedestrian who is aged over 60, with his body back to the camera and carrying a backpack. "
            "He is in a tee shirt with short sleeves with a logo on the upper.",
            {
                "female": 0,
                "age over 60": 1,
                "back": 1,
                "backpack": 1,
                "handbag": 0,
                "short sleeve": 1,
                "logo": 1,
                "hat": 0,
            },
            {"holds objects in front"},
            id="sleeves leave nothing open but what a bag hides",
        ),
    ],
)
def test_captions_by_hand(caption: str, told: dict[str, int], open_: set[str]) -> None:
    known = {MEANINGS[place]: value for place, value in known_bits(caption).items()}
    assert {name: known[name] for name in told} == told
    assert not open_ & set(known)


@pytest.mark.parametrize(
    "caption", ["", "white Audi", "A man. He is in a shirt.", "A man who is a minor, and is standing sideways. Well."]
)
def test_texts_that_are_no_caption(caption: str) -> None:
    with pytest.raises(ValueError, match="the "):
        known_bits(caption)


# --- the score, by hand -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "relevant", "clean", "official", "per_min"),
    [
        ((1, 3, 6), 3, 13 / 18, 0.722222481481395, 13 / 18),
        ((2, 5), 25, 0.45, 0.45000012499993747, 0.09),
        ((), 4, 0.0, 0.0, 0.0),
        ((1,), 1, 1.0, 1.0, 1.0),
        ((1, 10), 2, 0.6, 0.6000002499998749, 0.6),
        (tuple(range(1, 11)), 10, 1.0, 1.000000192896806, 1.0),
        ((10,), 1, 0.1, 0.1, 0.1),
    ],
)
def test_average_precision(hits: tuple[int, ...], relevant: int, clean: float, official: float, per_min: float) -> None:
    names = [f"right{rank}" if rank in hits else f"wrong{rank}" for rank in range(1, 11)]
    wanted = {f"right{rank}" for rank in hits} | {f"elsewhere{number}" for number in range(relevant - len(hits))}
    found = score_list(names, wanted)
    assert found.clean == pytest.approx(clean, abs=1e-12)
    assert found.official == pytest.approx(official, abs=1e-15)
    assert found.per_min == pytest.approx(per_min, abs=1e-12)
    assert found.per_all == pytest.approx(clean * len(hits) / relevant, abs=1e-12)
    assert (found.first, found.any) == (float(1 in hits), float(bool(hits)))


def test_more_hits_can_score_lower() -> None:
    one = score_list(["a", *"0123456789"][:10], {"a", "z"})
    two = score_list(["a", *"01234567", "z"], {"a", "z"})
    assert (one.clean, two.clean) == (1.0, pytest.approx(0.6))
    assert two.per_min > one.per_min, "the form that remembers what was not found knows better"


# --- the commands -------------------------------------------------------------------------------------------------


def track(folder: Path, rows: list[str]) -> Path:
    path = folder / "val_label.txt"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_each_refused_row_has_its_reason(secondlook: Command, tmp_path: Path) -> None:
    twenty = ",".join(MAN.split(",")[:20])
    two_ages = MAN.replace("0,0,1,0", "0,1,1,0", 1)
    rows = {
        "abcdefghij.jpg$white Audi.$A white Audi.": "",
        f"000001.jpg${MAN}$A man who is a minor.": "",
        "bcdefghijk.jpg$SUV.$An SUV.": "",
        "cdefghijkl.jpg$SUV.": "fields",
        "cdefghijkl.jpg$SUV.$An SUV.$more": "fields",
        f"000002.jpg${twenty}$A man.": "bits",
        f"000003.jpg${two_ages}$A man.": "bits",
        "defghijklm.jpg$white Tesla.$A white Tesla.": "unknown_words",
        "efghijklmn.jpg$SUV.$  ": "empty_text",
        "bcdefghijk.jpg$Sedan.$A Sedan.": "duplicate_image",
        "../x$SUV.$An SUV.": "bad_name",
        "": "fields",
    }
    done = secondlook("retrieve", "check", track(tmp_path, list(rows)), "--rejects", tmp_path / "rejects.csv")
    assert done.code == 0, done.err
    assert "val_label.txt: 3 rows, 9 refused" in done.out
    assert "colour+brand" in done.out
    with (tmp_path / "rejects.csv").open(newline="") as file:
        refused = {int(row["line"]): row["reason"] for row in csv.DictReader(file)}
    assert refused == {number: reason for number, reason in enumerate(rows.values(), start=1) if reason}
    (tmp_path / "images").mkdir()
    (tmp_path / "images/abcdefghij.jpg").write_bytes(b"")
    absent = secondlook("retrieve", "check", track(tmp_path, list(rows)[:3]), "--images", tmp_path / "images")
    assert "1 rows, 2 refused" in absent.out
    assert "no_image 2" in absent.out


def test_articles_count_alike_in_any_case(secondlook: Command, tmp_path: Path) -> None:
    rows = [
        "abcdefghij.jpg$a red ROEWE$a red ROEWE",
        "bcdefghijk.jpg$A red Shuanghuan$A red Shuanghuan",
        "cdefghijkl.jpg$this is an SUV.$this is an SUV.",
        "defghijklm.jpg$An SUV.$An SUV.",
    ]
    done = secondlook("retrieve", "check", track(tmp_path, rows), "--rejects", tmp_path / "rejects.csv")
    counts = [line.split() for line in done.out.splitlines()[1:]]
    assert "4 rows, 0 refused" in done.out, done.out
    assert counts == [["vehicle", "colour+brand", "2"], ["vehicle", "type", "2"]]
    augmented = tmp_path / "augmented.txt"
    augmented.write_text("abcdefghij.jpg$a red ROEWE$a red ROEWE$a red ROEWE SUV\n", encoding="utf-8")
    done = secondlook("retrieve", "check", augmented)
    assert "colour+brand -> colour+brand+type" in done.out, done.out


def submission(folder: Path, entries: list[tuple[str, list[str]]]) -> Path:
    path = folder / "submission.json"
    results = [{"text": text, "image_names": names} for text, names in entries]
    path.write_text(json.dumps({"results": results}), encoding="utf-8")
    return path


TEXTS = ["This is a grey Chery Sedan.", "A man who is a minor, and is standing sideways. He is in a long sleeve shirt."]
NAMES = [f"vehicle_{number:07d}.jpg" for number in range(12)]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        pytest.param([(TEXTS[0], NAMES[:10]), (TEXTS[1], NAMES[2:])], "", id="sound"),
        pytest.param(
            [(TEXTS[1], NAMES[:10]), (TEXTS[0], NAMES[:10])], "line 1 must be 'This is a grey", id="wrong order"
        ),
        pytest.param([(TEXTS[0], NAMES[:10])], "has 1 entries for 2 queries", id="one missing"),
        pytest.param([(TEXTS[0], NAMES[:9]), (TEXTS[1], NAMES[:10])], "has 9 images; it needs 10", id="nine names"),
        pytest.param(
            [(TEXTS[0], [*NAMES[:9], NAMES[0]]), (TEXTS[1], NAMES[:10])], "vehicle_0000000.jpg twice", id="a name twice"
        ),
        pytest.param(
            [(TEXTS[0], NAMES[:10]), (TEXTS[1], [*NAMES[:9], "x.jpg"])], "line 2 .*x.jpg is not an image", id="another"
        ),
    ],
)
def test_submissions_are_held_to_the_rules(
    secondlook: Command, tmp_path: Path, entries: list[tuple[str, list[str]]], said: str
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    (tmp_path / "gallery.txt").write_text("\n".join(NAMES), encoding="utf-8")
    places = ("--texts", tmp_path / "texts.txt", "--gallery", tmp_path / "gallery.txt")
    done = secondlook("retrieve", "validate", submission(tmp_path, entries), *places)
    assert done.code == (1 if said else 0), done.err
    if said:
        assert pd.Series([done.err]).str.contains(said).all()


def test_scores_by_kind_and_form(secondlook: Command, tmp_path: Path) -> None:
    rows = [f"{name}{'x' * 9}.jpg$white Audi$A white Audi." for name in "ab"]
    rows += [f"{name}{'x' * 9}.jpg$SUV.$An SUV." for name in "cdefghij"]
    rows += [
        f"{number:06d}.jpg${MAN}$A man who is a minor, and is standing sideways. He is in a shirt." for number in (1, 2)
    ]
    names = [row.partition("$")[0] for row in rows]
    texts = [row.rpartition("$")[2] for row in rows]
    first = [names[1], *names[2:10], names[0]]  # hits at 1 and 10 for the Audis
    ranked = [first, first, *([[*names[2:10], *names[:2]]] * 8), *([names[:10]] * 2)]
    path = submission(tmp_path, list(zip(texts, ranked, strict=True)))
    done = secondlook("retrieve", "score", path, "--labels", track(tmp_path, rows), "--out", tmp_path / "score.csv")
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "score.csv", keep_default_na=False).set_index(["kind", "form"])
    assert table["queries"].tolist() == [12, 2, 10, 2, 2, 8]
    assert table.loc[("vehicle", "colour+brand"), "clean"] == pytest.approx(0.6)
    assert table.loc[("vehicle", "type"), "clean"] == 1
    assert table.loc[("pedestrian", ""), "clean"] == 0
    assert table.loc[("all", ""), "clean"] == pytest.approx((2 * 0.6 + 8) / 12, abs=1e-6)
    assert table.loc[("all", ""), "official"] - table.loc[("all", ""), "clean"] < 1e-6


def test_the_masks_of_bits_have_names() -> None:
    assert MEANINGS[pedestrians.SKIRT] == "skirt or dress"
    assert MEANINGS[pedestrians.HOLDS] == "holds objects in front"
    assert MEANINGS[pedestrians.LONG_SLEEVE] == "long sleeve"


# --- search --------------------------------------------------------------------------------------------------------


@pytest.fixture
def searched(secondlook: Command, tmp_path: Path) -> Path:
    """A task of six crops in two shards, embedded by the image side of a tiny CLIP."""
    results = tmp_path / "results/colours"
    colours = ["red", "green", "blue"]
    rows, crops = [], []
    for number in range(6):
        name = f"o{number}"
        rows.append({"instance_id": name, "given": colours[number % 3], "shard": number % 2})
        crops.append({"instance_id": name, "pixels": drawn(colours[number % 3], number)})
    write_instances(results / "ingest/instances.parquet", rows, colours)
    tiny_vlms.tiny_clip(tmp_path / "clip")
    told = json.dumps(
        {"kind": "transformers", "model": str(tmp_path / "clip"), "pooling": "head", "precision": "float32"}
    )
    for shard in (0, 1):
        path = write_crops(results / f"crop/0000{shard}.parquet", crops[shard::2], colours)
        done = secondlook("embed", path, "--out", results / f"embed/clip/0000{shard}.parquet", "--options", told)
        assert done.code == 0, done.err
    return results


@pytest.mark.slow
def test_search_finds_what_the_model_finds_most_alike(secondlook: Command, searched: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    asked = ("--encoder", "clip", "--text", "red", "--text", "a blue sign", "--k", "4")
    done = secondlook(
        "retrieve", "search", searched, *asked, "--out", tmp_path / "a.csv", "--sheet", tmp_path / "a.html"
    )
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["rank"].tolist() == [1, 2, 3, 4] * 2
    assert "a blue sign" in done.out

    model, tokenizer = CLIPModel.from_pretrained(tmp_path / "clip"), AutoTokenizer.from_pretrained(tmp_path / "clip")
    with torch.inference_mode():
        found = model.get_text_features(**tokenizer(["a blue sign"], return_tensors="pt"))
    text = to_unit(getattr(found, "pooler_output", found).numpy())
    parts = [load(searched / f"embed/clip/0000{shard}.parquet", taxonomy(["red", "green", "blue"])) for shard in (0, 1)]
    ids, vectors = (
        np.concatenate([part.instance_ids for part in parts]),
        np.concatenate([part.vectors for part in parts]),
    )
    cosine = (to_unit(vectors) @ text.T).ravel()
    expected = ids[np.argsort(-cosine, kind="stable")][:4]
    rows = table[table["text"] == "a blue sign"]
    assert rows["instance_id"].tolist() == expected.tolist()
    assert rows["score"].to_numpy() == pytest.approx(np.sort(cosine)[::-1][:4], abs=1e-3)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 8


@pytest.mark.parametrize(
    ("encoder", "change", "said"),
    [
        ("none", {}, "holds no vectors"),
        ("clip", {"pooling": "mean"}, "cannot be compared with words"),
        ("clip", {"kind": "timm"}, "cannot be compared with words"),
        ("clip", {"model": "nowhere"}, "the checkpoint cannot be loaded"),
    ],
)
def test_vectors_that_know_no_words_are_refused(
    secondlook: Command,
    searched: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    change: dict[str, str],
    said: str,
) -> None:
    told = records.made_by
    monkeypatch.setattr(records, "made_by", lambda path: {**told(path), "options": {**told(path)["options"], **change}})
    done = secondlook("retrieve", "search", searched, "--encoder", encoder, "--text", "red")
    assert done.code in {1, 2}
    assert said in done.err


def test_open_clip_compares_words_too(secondlook: Command, searched: Path, tmp_path: Path) -> None:
    import open_clip

    folder = tiny_models.tiny_open_clip(tmp_path / "open", vocabulary=49408, context=77)
    told = json.dumps({"kind": "open_clip", "model": str(folder), "precision": "float32"})
    for shard in (0, 1):
        out = searched / f"embed/open/0000{shard}.parquet"
        assert secondlook("embed", searched / f"crop/0000{shard}.parquet", "--out", out, "--options", told).code == 0
    done = secondlook("retrieve", "search", searched, "--encoder", "open", "--text", "red", "--out", tmp_path / "o.csv")
    assert done.code == 0, done.err
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    text = to_unit(model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(["red"])).detach().numpy())
    parts = [load(searched / f"embed/open/0000{shard}.parquet", taxonomy(["red", "green", "blue"])) for shard in (0, 1)]
    vectors, ids = np.concatenate([p.vectors for p in parts]), np.concatenate([p.instance_ids for p in parts])
    order = np.argsort(-(to_unit(vectors) @ text.T).ravel(), kind="stable")
    assert pd.read_csv(tmp_path / "o.csv")["instance_id"].tolist() == ids[order].tolist()


def test_zero_shot_votes_for_the_name_that_is_nearest(secondlook: Command, searched: Path, tmp_path: Path) -> None:
    options = {"kind": "clip_zeroshot", "encoder": "clip", "templates": ["{}", "a {}"], "temperature": 0.05}
    objects = searched / "embed/clip/00000.parquet"

    def vote(**change: Any) -> list[dict[str, Any]]:
        told = json.dumps({**options, **change})
        out = tmp_path / "votes.parquet"
        done = secondlook("label", objects, "--options", told, "--name", "words", "--out", out)
        assert done.code == 0, done.err
        return read_rows(out)

    import torch
    from transformers import AutoTokenizer, CLIPModel

    model, tokenizer = CLIPModel.from_pretrained(tmp_path / "clip"), AutoTokenizer.from_pretrained(tmp_path / "clip")
    classes = []
    for name in ("red", "green", "blue"):
        with torch.inference_mode():
            found = model.get_text_features(**tokenizer([name, f"a {name}"], padding=True, return_tensors="pt"))
        classes.append(to_unit(getattr(found, "pooler_output", found).numpy()).mean(axis=0))
    part = load(objects, taxonomy(["red", "green", "blue"]))
    cosine = to_unit(part.vectors) @ to_unit(np.stack(classes)).T
    expected = np.exp(cosine / 0.05) / np.exp(cosine / 0.05).sum(axis=1, keepdims=True)
    rows = vote()
    assert np.array([row["probabilities"] for row in rows]) == pytest.approx(expected, abs=2e-3)
    assert [row["status"] for row in vote(min_margin=1.0)] == ["abstained"] * 3
    refused = secondlook(
        "label", objects, "--options", json.dumps({**options, "templates": ["no place"]}), "--out", "x.parquet"
    )
    assert (refused.code, "templates" in refused.err) == (2, True)
