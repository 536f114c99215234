"""Claims of cells on people whom they are about to create."""

import threading
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from apiflask import APIFlask

from notifier.cells import claims
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.models import Claim
from tests.stored import rows


def test_of_claims_at_once_one_holds(app: APIFlask) -> None:
    people = [f"p{number}" for number in range(50)]
    together = threading.Barrier(4)

    def claim(region: str) -> dict[str, str]:
        with app.app_context():
            together.wait()
            return claims.keep(dict.fromkeys(people, region), region)

    regions = ["asia", "eu", "mars", "us"]
    with ThreadPoolExecutor(4) as threads:
        taken = dict(zip(regions, threads.map(claim, regions), strict=True))
    kept = {row.user_id: row.region for row in rows(Claim)}
    assert kept.keys() == set(people)
    assert taken == {
        region: {user_id: holder for user_id, holder in kept.items() if holder != region} for region in regions
    }


def test_a_claim_holds_against_other_cells_and_is_forgotten_when_it_has_lapsed(app: APIFlask) -> None:
    assert claims.keep({"ann": "eu", "bob": "us"}, "us") == {}
    assert claims.keep({"ann": "eu", "bob": "eu"}, "eu") == {"bob": "us"}
    assert claims.keep({"bob": "asia"}, "us") == {}
    with transaction() as session:
        session.execute(sa.update(Claim).where(Claim.user_id == "bob").values(at=now() - claims.LASTS))
    assert claims.prune_old() == 1
    assert [(row.user_id, row.region) for row in rows(Claim)] == [("ann", "eu")]
    assert claims.keep({"bob": "eu"}, "eu") == {}
