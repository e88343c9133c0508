"""Every other way to unlearn: trained, reinforced, prompted, filtered, steered; one registry, one way to ask.

    from unsee.methods.task import FitData, Request, fit

    fitted = fit("npo", Request(loaded, FitData(forget, retain), out))
    answers = fitted.answerer.answers(samples)

Losses, plans, rewards and updates are pure functions in files of their own; `docs/methods.md` has the equations.
"""
