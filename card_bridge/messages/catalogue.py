"""The two catalogues, read from gettext files once at the start."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from babel.messages.pofile import read_po

from card_bridge.errors import ConfigurationError

LANGUAGES = ("zh-TW", "en")
Translator = Callable[..., str]
"""translate(key, **values): the text for a dotted key. Raises KeyError for a key no catalogue has."""


class Catalogues:
    """Both languages' texts by dotted key."""

    def __init__(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._texts = MappingProxyType(dict(texts))

    @classmethod
    def load(cls, folder: Path = Path(__file__).parent) -> "Catalogues":
        """Raises: ConfigurationError if a key lacks a text in a language, or two languages differ in their fields."""
        texts = {lang: _read(folder / f"{lang}.po") for lang in LANGUAGES}
        first, second = (texts[lang] for lang in LANGUAGES)
        faults = sorted(first.keys() ^ second.keys())
        faults += [key for key in first.keys() & second.keys() if _fields(first[key]) != _fields(second[key])]
        faults += [key for lang in LANGUAGES for key, text in texts[lang].items() if not text]
        if faults:
            raise ConfigurationError("messages: " + ", ".join(faults))
        return cls(texts)

    def translator(self, lang: str) -> Translator:
        """The texts of one language; an unknown language gets zh-TW."""
        texts = self._texts[lang if lang in self._texts else "zh-TW"]

        def translate(key: str, **values: object) -> str:
            return texts[key].format_map(values) if values else texts[key]

        return translate

    def keys(self) -> frozenset[str]:
        return frozenset(self._texts["zh-TW"])


def choose_language(*wishes: str) -> str:
    """The first wish that names a language of ours, as a tag or as an Accept-Language header; zh-TW if none does."""
    for wish in wishes:
        for part in wish.split(","):
            tag = part.partition(";")[0].strip().lower().replace("_", "-")
            if tag.startswith("zh"):
                return "zh-TW"
            if tag.startswith("en"):
                return "en"
    return "zh-TW"


def _read(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    return {str(message.id): str(message.string) for message in catalogue if message.id}


def _fields(text: str) -> set[str]:
    return {part.partition("}")[0] for part in text.split("{")[1:]}
