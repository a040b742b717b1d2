"""Ready-made connections to scanners and bots; each module needs only what it connects to.

`callbacks`: scanners that take a list and call back. `freqtrade`: an ordered pair list as a file or
over HTTP for its RemotePairList, learning from closed trades. `freqtrade_pairlist`: the same
inside the bot, as a pair list handler (needs freqtrade).
"""
