"""Codes and tokens as a state machine: whatever the order of events, a code gives tokens at most once."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from hypothesis.strategies import sampled_from

from ca_core.kernel.database import Database, sqlite_url
from idp.sessions.model import Session
from support.fakes import FakeClock, SeededRng
from support.openid_provider import VERIFIER, ProviderHouse
from support.tables import create_tables


class Grants(RuleBasedStateMachine):
    """The model: for each code when it dies, whether it was presented; for each token what it hangs on."""

    codes: Bundle[str] = Bundle("codes")
    tokens: Bundle[str] = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        url = sqlite_url(Path(self._folder.name) / "grants.db")
        create_tables(url)
        self.database = Database.open(url)
        self.clock = FakeClock()
        self.house = ProviderHouse(self.database, self.clock, SeededRng())
        self.house.consent()
        self.session = self.log_in()
        self.presented: set[str] = set()
        self.code_of: dict[str, str] = {}
        self.born: dict[str, float] = {}
        self.session_of: dict[str, str] = {}
        self.ended: set[str] = set()

    def teardown(self) -> None:
        self.database.dispose()
        self._folder.cleanup()

    def log_in(self) -> Session:
        return self.house.log_in()

    def now(self) -> float:
        return self.clock.now.timestamp()

    @rule(target=codes)
    def issue(self) -> str:
        self.session = self.log_in()
        code = self.house.code()
        self.born[code] = self.now()
        self.session_of[code] = self.session.id
        return code

    @rule(code=codes, verifier=sampled_from((VERIFIER, "w" * 43)), target=tokens)
    def present(self, code: str, verifier: str) -> str:
        response = self.house.redeem(code, code_verifier=verifier)
        is_live = self.now() < self.born[code] + 60
        is_first = code not in self.presented
        is_good = is_live and is_first and verifier == VERIFIER and self.session_of[code] not in self.ended
        if is_first and is_live:
            self.presented.add(code)
        elif code in self.presented:
            self.revoke(code)
        assert (response.status_code == 200) is is_good
        if not is_good:
            assert response.json()["error"] == "invalid_grant"
            return multiple()  # type: ignore[return-value] # adds nothing to the bundle
        token = str(response.json()["access_token"])
        self.code_of[token] = code
        self.born[token] = self.now()
        return token

    def revoke(self, code: str) -> None:
        for token, its_code in list(self.code_of.items()):
            if its_code == code:
                del self.code_of[token]

    @rule(token=tokens)
    def use(self, token: str) -> None:
        code = self.code_of.get(token)
        is_good = code is not None and self.session_of[code] not in self.ended and self.now() < self.born[token] + 600
        assert (self.house.userinfo(token).status_code == 200) is is_good

    @rule(code=consumes(codes))
    def log_out(self, code: str) -> None:
        self.house.provider.sessions.end(self.session_of[code])
        self.ended.add(self.session_of[code])

    @rule(seconds=sampled_from((1, 30, 59, 61, 300)))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def a_token_for_each_good_presentation(self) -> None:
        assert self.house.live_tokens() == len(self.code_of)


TestGrants = Grants.TestCase
TestGrants.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
