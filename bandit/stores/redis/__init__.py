"""The store on Redis or Valkey: for scanners on several hosts. Start in `store`."""
