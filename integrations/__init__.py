"""Other people's tools on erased models, one file each; docs/attack.md says how each is run."""
