"""Ready-made integrations with scanners and bots; each module only needs the package it integrates.

`callbacks`: scanners that take a list and call back. `freqtrade`: an ordered pair list as a file or
over HTTP for its RemotePairList, learning from closed trades. `freqtrade_pairlist`: the same
inside the bot, as a pair list handler (needs freqtrade).
"""
