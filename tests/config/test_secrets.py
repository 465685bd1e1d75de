"""What is a secret in a config, and what is shown of it."""

from typing import Any

import pytest

from places.config.secrets import (
    MASK,
    is_secret,
    masked,
    refuse_secrets,
    without_credentials,
    without_secrets,
)
from places.errors import ConfigError

SECRET_KEYS = [
    *("api_key", "apiKey", "wandb_api_key", "hf_token", "http_password", "password", "db_passwd"),
    *("aws_secret_access_key", "aws_access_key_id", "client_secret", "account_key", "private-key"),
    *("sas_token", "connection_string", "AZURE_STORAGE_CONNECTION_STRING", "authorization", "auth"),
    *("passphrase", "credentials", "smtp_pwd", "cookie", "bearer", "api_keys", "secret_value"),
]
OTHER_KEYS = [
    *("token_pooling", "special_tokens", "num_tokens", "tokenizer", "password_file", "monitor"),
    *("secret_name", "token_env", "key", "author", "root", "authors", "keys", "credentials_path"),
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_keys_of_secrets_are_refused_without_their_value(key: str) -> None:
    for config in (
        {"trainer": {"logger": {"init_args": {key: "hush77"}}}},
        {"trainer": {"logger": [{"init_args": {}}, {"dict_kwargs": {key: "hush77"}}]}},
        {"trainer.logger": {key: {"value": "hush77"}}},
        {f"model.net.init_args.{key}": ["hush77"]},
    ):
        with pytest.raises(ConfigError, match=f"{key}.* looks like a secret") as caught:
            refuse_secrets(config, "a.yaml")
        assert "hush77" not in str(caught.value)
        assert "given in:  a.yaml" in str(caught.value)
        assert "hush77" not in str(masked(config))
        assert MASK in str(masked(config))


@pytest.mark.parametrize("key", OTHER_KEYS)
def test_other_keys_are_not(key: str) -> None:
    config = {"model": {"net": {"init_args": {key: "word"}}}, "list": [{key: ["word"]}]}
    refuse_secrets(config, "a.yaml")
    assert masked(config) == config


@pytest.mark.parametrize("value", [None, "", True, False, [], {}])
def test_nothing_is_no_secret(value: object) -> None:
    refuse_secrets({"logger": {"api_key": value}}, "a.yaml")


def test_a_number_may_be_a_password_but_is_no_token() -> None:
    assert is_secret("logger.password", 1234)
    assert not is_secret("net.class_token", 1)
    assert not is_secret("net.token.class_path", "my.Token")


URLS = [  # with its secrets and without
    ("http://me:hush77@host/places", "http://host/places"),
    ("https://hush77@host:8080/places", "https://host:8080/places"),
    ("HTTPS://me:hush77@host/places", "HTTPS://host/places"),
    ("http://me:hush/77@host/places", "http://host/places"),
    ("http://me:hush?77@host/places", "http://host/places"),
    ("http://me:p@hush77@host/places", "http://host/places"),
    ("http://host/places?sig=hush77", "http://host/places"),
    ("http://host/places/?hush77", "http://host/places"),
    ("http://host/places#hush77", "http://host/places"),
    ("http://me:hush77@[::1]:80/places?hush77", "http://[::1]:80/places"),
    ("s3://key:hush77@bucket/places", "s3://bucket/places"),
    ("s3://bucket/places?X-Amz-Signature=hush77", "s3://bucket/places"),
    ("az://container/places?sv=1&sig=hush77", "az://container/places"),
    ("simplecache::https://me:hush77@host/places", "simplecache::https://host/places"),
    ("postgresql://me:hush77@host/runs", "postgresql://host/runs"),
]


@pytest.mark.parametrize(("url", "shown"), URLS)
def test_urls_with_secrets_are_refused_anywhere(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
    configs: list[dict[str, Any]] = [
        {"data": {"init_args": {"root": url}}},
        {"data.root": url},
        {"trainer": {"logger": [{"init_args": {"tracking_uri": url}}]}},
        {"ckpt_path": url},
    ]
    for config in configs:
        with pytest.raises(ConfigError, match="in its URL, which would be saved") as caught:
            refuse_secrets(config, "a.yaml")
        assert "hush" not in str(caught.value)
        assert 3 <= len(str(caught.value).splitlines()) <= 4
        assert "hush" not in str(masked(config))
    assert shown in str(masked(configs[0]))


@pytest.mark.parametrize(
    "text",
    [
        *("host=db user=me password=hush77", "AccountName=a;AccountKey=hush77;", "PWD: hush77"),
        *('{"api_key": "hush77"', "{'http_password':'hush77'}", "secret = hush77"),
    ],
)
def test_passwords_in_a_text_are_refused(text: str) -> None:
    for config in ({"trainer": {"logger": {"tracking_uri": text}}}, {"data": {"root": text}}):
        with pytest.raises(ConfigError, match="a password in its text, which would be") as caught:
            refuse_secrets(config, "a.yaml")
        assert "hush77" not in f"{caught.value} {masked(config)}".lower()


@pytest.mark.parametrize(
    "text",
    [
        *("https://host:8080/a@b", "s3://bucket/places", "sftp://me@host/places", "a@b:c?d#e"),
        *("file:///data/places", "abfs://box@account.dfs.core.windows.net/places", "runs/a?b"),
        *("{epoch}-{token:.2f}", "no password", "the secret of it", "password: ", "api_key"),
        *("http://[2001:db8::1]:80/places", "what? http://host/a is it"),
    ],
)
def test_urls_without_secrets_are_not(text: str) -> None:
    refuse_secrets({"data": {"root": text}}, "a.yaml")
    assert masked({"root": text}) == {"root": text}


def test_it_is_said_what_to_do_instead() -> None:
    def hints(key: str, url: str) -> str:
        with pytest.raises(ConfigError) as caught:
            refuse_secrets({key: url}, "the command line")
        return str(caught.value)

    assert "machine host login USER password PASSWORD" in hints("data.root", "http://a:b@host:80/x")
    assert "~/.netrc" in hints("data.root", "http://a:b@host:80/x")
    assert "AWS_SECRET_ACCESS_KEY" in hints("data.root", "s3://a:b@bucket/x")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in hints("data.root", "gs://a:b@bucket/x")
    assert "FSSPEC_SMB_..." in hints("data.root", "smb://a:b@host/x")
    assert "--ckpt_path URL" in hints("ckpt_path", "http://host/a.ckpt?b")
    assert "environment" in hints("trainer.logger.tracking_uri", "http://a:b@host")


def test_what_refers_to_itself_has_an_end() -> None:
    config: dict[str, Any] = {"a": {}}
    for _ in range(60):  # 2^60 ways through it
        config = {"a": config, "b": config}
    config["c"] = config
    refuse_secrets(config, "a.yaml")


def test_texts_lose_the_secrets_of_the_url_in_any_spelling() -> None:
    url = "https://me:hush%2F77@host/a?sig=hush%2B88"
    text = f"{url}: hush%2F77 hush/77 hush+88 https://cdn/b?X-Amz-Signature=other99) #1"
    assert without_secrets(text, url) == "https://host/a *** *** *** https://cdn/b) #1"
