"""Serving: steered generation in stock vLLM, per request, failing closed.

`plugin` is what vLLM loads in every process; `steerer` is the effect, `tracking` knows which token is which, `resident`
holds the gates of all loaded requests. `admission` and `gatekeeper` are the server's side: who is steered by what.
"""
