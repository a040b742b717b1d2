"""The HTTP service beside running scanners: it reads and writes the store, and nothing else.

`settings` what an operator sets · `app` puts everything together · `routes/` one file per subject ·
`events` the live streams · `guard` who may ask what. Needs the extra `api`.
"""
