"""Problem details (RFC 9457)."""

import json
from collections.abc import Mapping

from starlette.responses import Response

from ca_core.kernel.web.responses import NO_STORE

PROBLEM_JSON = "application/problem+json"


def problem(
    status: int,
    code: str,
    *,
    title: str,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
    **members: str | int | bool | None,
) -> Response:
    """A refusal that a program reads by `code` and a person by `title` and `detail`.

    code: stable, part of the API. title, detail: already in the reader's language, nothing internal.
    members: extension members; those that are None are left out.
    """
    body: dict[str, str | int | bool] = {"status": status, "code": code, "title": title}
    if detail:
        body["detail"] = detail
    body.update({name: value for name, value in members.items() if value is not None})
    return Response(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        status_code=status,
        media_type=PROBLEM_JSON,
        headers={**NO_STORE, **(headers or {})},
    )
