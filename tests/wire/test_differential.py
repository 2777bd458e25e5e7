"""A short form of tests/campaigns/differential.py: others read what the gateway passes on as it was meant."""

from tests.fakes.differential import Findings, OddApp, request, response
from tests.fakes.mutation import Mutator
from tests.fakes.playbook import Play
from tests.fakes.strict_app import StrictApp

MESSAGES = 300


async def test_nobody_disagrees_about_requests(whole: Play) -> None:
    whole.leaves_cycles = True
    await whole.start(limits='body = "1MB"')
    findings, mutator = Findings(), Mutator(1)
    async with StrictApp(whole.app) as app:
        for _ in range(MESSAGES):
            await request(whole, app, mutator.request(), findings)
    assert findings.disagreements == []
    assert findings.counts["requests forwarded"] > MESSAGES // 3


async def test_nobody_disagrees_about_responses(whole: Play) -> None:
    whole.leaves_cycles = True
    await whole.start()
    findings, mutator = Findings(), Mutator(2)
    async with OddApp(whole.app) as app:
        for _ in range(MESSAGES):
            await response(whole, app, mutator.response(), findings)
    assert findings.disagreements == []
    assert findings.counts["responses relayed whole"] > MESSAGES // 8
