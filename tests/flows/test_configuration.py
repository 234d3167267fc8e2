"""Settings, policy and catalog: what is accepted, and what the refusal says."""

import re
from pathlib import Path

import pytest
import yaml

from domain.errors import Code, RequestRejected
from flows.catalog import load_catalog
from flows.policy import load_policy
from flows.settings import load_settings


@pytest.fixture
def policy_file(lethe_home) -> Path:
    return lethe_home / "policy.yaml"


def changed(path: Path, **changes: object) -> Path:
    value = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump(value))
    return path


def test_the_policy_of_the_repository_is_valid(policy_file):
    assert [rule.name for rule in load_policy(policy_file).methods.order]


def test_comments_and_the_order_of_keys_do_not_change_the_digest_and_a_value_does(policy_file):
    digest = load_policy(policy_file).sha256()
    value = yaml.safe_load(policy_file.read_text())
    policy_file.write_text(yaml.safe_dump(value, sort_keys=True))
    assert load_policy(policy_file).sha256() == digest
    value["comparison"]["controls"] += 1
    policy_file.write_text(yaml.safe_dump(value))
    assert load_policy(policy_file).sha256() != digest
    assert re.fullmatch(r"[0-9a-f]{64}", digest)


GERMANY = {"country": "DE", "timezone": "Europe/Berlin", "target_days": 21}


def test_an_unknown_key_of_the_policy_is_named(policy_file):
    value = yaml.safe_load(policy_file.read_text())["deadlines"] | {"contry": "DE"}
    with pytest.raises(RequestRejected) as refused:
        load_policy(changed(policy_file, deadlines=value))
    assert refused.value.code is Code.POLICY_INVALID
    assert refused.value.sentence == (
        "policy.yaml, deadlines.contry: this key is unknown; correct its spelling or remove it."
    )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"version": 2}, "version"),
        ({"deadlines": GERMANY | {"country": "XX"}}, "deadlines"),
        ({"deadlines": GERMANY | {"subdivision": "Bavaria"}}, "deadlines"),
        ({"attacks": {}}, "attacks"),
        ({"thresholds": {"x": float("nan")}}, "thresholds.x"),
        ({"methods": {"budget_seconds": 1, "order": []}}, "methods.order"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(policy_file, changes, place):
    with pytest.raises(RequestRejected) as refused:
        load_policy(changed(policy_file, **changes))
    assert refused.value.place == f"policy.yaml, {place}"


def test_a_key_that_stands_twice_is_refused_with_its_line(policy_file):
    policy_file.write_text("version: 1\nversion: 1\n")
    with pytest.raises(RequestRejected) as refused:
        load_policy(policy_file)
    assert refused.value.place == "policy.yaml, line 2"


def test_an_anchor_is_refused(policy_file):
    policy_file.write_text("version: &one 1\nretention: *one\n")
    with pytest.raises(RequestRejected, match="policy_invalid"):
        load_policy(policy_file)


def test_a_missing_policy_is_one_sentence(tmp_path):
    with pytest.raises(RequestRejected) as refused:
        load_policy(tmp_path / "none.yaml")
    assert refused.value.sentence == (
        "none.yaml: it cannot be read; run in its folder, or name it in LETHE_POLICY."
    )


def test_catalog_paths_are_taken_from_the_folder_of_the_catalog(lethe_home):
    catalog = load_catalog(lethe_home / "catalog.yaml")
    assert catalog.corpus("letters").path == str(lethe_home / "letters.txt")
    assert catalog.model("assistant").path == lethe_home / "model"


def test_reference_models_are_taken_from_the_folder_of_the_catalog(tmp_path):
    file = tmp_path / "catalog.yaml"
    file.write_text(
        "corpora: {c: {path: c}}\nmodels: {m: {path: m, corpora: [c], references: [early, ../older]}}"
    )
    found = load_catalog(file).model("m").references
    assert found == (tmp_path / "early", tmp_path.parent / "older")


def test_a_model_path_has_one_spelling_whatever_the_catalog_writes(tmp_path):
    (tmp_path / "here").mkdir()
    file = tmp_path / "here" / "catalog.yaml"
    file.write_text("corpora: {c: {path: c}}\nmodels: {m: {path: ../there/./m, corpora: [c]}}\n")
    assert load_catalog(file).model("m").path == (tmp_path / "there" / "m").resolve()


def test_a_model_of_an_unlisted_corpus_is_refused(lethe_home):
    path = lethe_home / "catalog.yaml"
    path.write_text(path.read_text().replace("[letters]", "[lost]"))
    with pytest.raises(RequestRejected) as refused:
        load_catalog(path)
    assert refused.value.code is Code.CATALOG_INVALID
    assert "corpus lost is not listed" in refused.value.sentence


def test_everything_lies_in_home_unless_it_is_named(lethe_home, monkeypatch):
    settings = load_settings()
    home = lethe_home / "home"
    assert settings.database == f"sqlite:///{home}/lethe.db"
    assert settings.signing_key_file == home / "keys" / "signing-key.pem"
    monkeypatch.setenv("LETHE_DATABASE", "postgresql://somewhere/lethe")
    assert load_settings().database == "postgresql://somewhere/lethe"


def test_a_misspelt_variable_is_refused(lethe_home, monkeypatch):
    monkeypatch.setenv("LETHE_DATABSE", "sqlite:///elsewhere.db")
    with pytest.raises(RequestRejected) as refused:
        load_settings()
    assert refused.value.code is Code.SETTING_INVALID
    assert "LETHE_DATABSE" in refused.value.sentence
    assert "elsewhere" not in refused.value.sentence


def test_the_passphrase_is_not_printed(lethe_home, monkeypatch):
    monkeypatch.setenv("LETHE_SIGNING_KEY_PASSPHRASE", "open-sesame")
    settings = load_settings()
    assert "open-sesame" not in repr(settings)
    assert settings.passphrase() == b"open-sesame"
