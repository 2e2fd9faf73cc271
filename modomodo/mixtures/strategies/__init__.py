"""The strategies that a study calls by name: records in, the next mixtures out.

    request (records, usable domains, count, seed, target, options) → a list of proposals

How many mixtures a strategy yields and how they are called is known without running it, so that the whole
workflow can be laid out before the first run. A strategy of your own is one function:

    @strategies.register("favourite")
    def favourite(request):
        return [Proposal({domain: float(domain == "SAT") for domain in request.domains})]
"""

from modomodo.mixtures.strategies import acquire, heuristics, race, search, seeds
from modomodo.mixtures.strategies.base import Proposal, Request, strategies

__all__ = ["Proposal", "Request", "acquire", "heuristics", "race", "search", "seeds", "strategies"]
