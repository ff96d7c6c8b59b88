"""How keys, tokens and passwords look in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from detect_secrets.filters import heuristic
from detect_secrets.plugins import (
    artifactory,
    aws,
    azure_storage_key,
    basic_auth,
    discord,
    github_token,
    gitlab_token,
    high_entropy_strings,
    jwt,
    keyword,
    mailchimp,
    npm,
    openai,
    private_key,
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)
from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector

from dsvm.ledger.contents import SETTINGS

# What has a form of its own: such a thing is never there by chance
FORMS: tuple[RegexBasedDetector, ...] = (
    artifactory.ArtifactoryDetector(),
    aws.AWSKeyDetector(),
    azure_storage_key.AzureStorageKeyDetector(),
    basic_auth.BasicAuthDetector(),
    discord.DiscordBotTokenDetector(),
    github_token.GitHubTokenDetector(),
    gitlab_token.GitLabTokenDetector(),
    jwt.JwtTokenDetector(),
    mailchimp.MailchimpDetector(),
    npm.NpmDetector(),
    openai.OpenAIDetector(),
    private_key.PrivateKeyDetector(),
    pypi_token.PypiTokenDetector(),
    sendgrid.SendGridDetector(),
    slack.SlackDetector(),
    square_oauth.SquareOAuthDetector(),
    stripe.StripeDetector(),
    telegram_token.TelegramBotTokenDetector(),
    twilio.TwilioKeyDetector(),
)
# Words before a value, and values that no person writes: only where no artefact has the file
GUESSES: tuple[BasePlugin, ...] = (
    keyword.KeywordDetector(),
    high_entropy_strings.Base64HighEntropyString(limit=4.5),
    high_entropy_strings.HexHighEntropyString(limit=3.0),
)
# The same that detect-secrets does not know
OTHER_FORMS = {
    "Hugging Face Token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "Google API Key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b"),
    "Anthropic Token": re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    "Token": re.compile(r"""(?i)\b\w*(?:(?:auth|access|api)_?token|bearer)["']?\s*[=: ]\s*["']?[\w.+/=-]{16,}"""),
}  # fmt: skip
# Files that are there for a secret, by their names
CREDENTIALS = (
    (re.compile(r"[._]netrc"), re.compile(r"(?:^|\s)password\s+\S")),
    (re.compile(r"\.?pgpass(?:\.conf)?"), re.compile(r"^[^#:]+:[^:]+:[^:]+:[^:]+:\S")),
    (re.compile(r"\.git-credentials"), re.compile(r"://[^/\s:]+:[^/\s@]+@")),
    (re.compile(r"\.dockercfg|config\.json|auth\.json"), re.compile(r'"(?:auth|identitytoken)"\s*:\s*"[^"]')),
    (re.compile(r"\.npmrc|\.yarnrc(?:\.yml)?"), re.compile(r"_(?:authToken|auth|password)\s*=\s*[^\s$]")),
    (re.compile(r"config|kubeconfig"), re.compile(r"^\s*(?:client-key-data|token)\s*:\s*\S{16,}")),
)
CONFIGURATION = "x.ini"  # a file whose values need no quotes, to `keyword`
LONGEST, OVERLAP = 1000, 100  # characters of a piece of a line, and of what two of them share
WORDS = ("true", "false", "none", "null")  # "lock_passwd: true"
SHORTEST = 4  # characters of a password: "NOPASSWD: ALL" has none


def found_in(path: str, text: str, *, guess: bool) -> dict[int, str]:
    """Number of a line -> what seems to stand in it; `guess` also by words and by entropy."""
    name = PurePosixPath(path).name
    patterns = [(plugin.secret_type, list(plugin.denylist)) for plugin in FORMS]
    patterns += [(kind, [pattern]) for kind, pattern in OTHER_FORMS.items()]
    patterns += [("Credentials", [pattern]) for names, pattern in CREDENTIALS if names.fullmatch(name)]
    found: dict[int, str] = {}
    pieces = list(_pieces(text))
    short = "\n".join(piece for _, piece in pieces)
    for kind, several in patterns:
        for pattern in several:
            if pattern.pattern.startswith("^") or pattern.search(short):
                for number, piece in pieces:
                    if (match := pattern.search(piece)) and not _is_template(match[0]):
                        found.setdefault(number, kind)
    return dict(sorted((found | _guessed(path, pieces, found) if guess else found).items()))


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Numbers of lines and what stands there, long ones in pieces: patterns take the square of its length for some."""
    for number, line in enumerate(text.splitlines(), 1):
        for start in range(0, max(len(line) - OVERLAP, 1), LONGEST - OVERLAP):
            yield number, line[start : start + LONGEST]


def _guessed(path: str, pieces: Sequence[tuple[int, str]], found: Mapping[int, str]) -> dict[int, str]:
    guessed = {}
    file = path if SETTINGS.fullmatch(path) is None else CONFIGURATION
    for number, line in pieces:
        if number in found or line.lstrip().startswith("#"):
            continue
        for plugin in GUESSES:
            for secret in plugin.analyze_line(file, line, number):
                if not _is_none(str(secret.secret_value), line, plugin):
                    guessed[number] = plugin.secret_type
    return guessed


def _is_template(secret: str) -> bool:
    return "${" in secret or "{{" in secret or "<" in secret or bool(heuristic.is_templated_secret(secret))


def _is_none(secret: str, line: str, plugin: BasePlugin) -> bool:
    """Whether it is what stands for a secret, or is of another kind."""
    return (
        len(secret) < SHORTEST
        or secret.lower() in WORDS
        or _is_template(secret)
        or heuristic.is_sequential_string(secret)
        or heuristic.is_potential_uuid(secret)
        or heuristic.is_likely_id_string(secret, line, plugin)
        or heuristic.is_prefixed_with_dollar_sign(secret)
        or heuristic.is_indirect_reference(line)
        or heuristic.is_not_alphanumeric_string(secret)
    )
