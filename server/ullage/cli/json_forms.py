"""The forms of what commands write with `--json`, as their help shows them. Fields may be added; none changes."""

FIT_JSON = """\
--json writes one object. Sizes are bytes, contexts are tokens, null is unknown:
  memory            the protocol's MemoryReading: kind, total, used, available,
                    modelLoaded, devices, at
  models            a list, of one where a model or a file was named:
    model, provider, file   provider is null for a file, file is null for a model
    weightsBytes      still to be loaded: 0 where the model is loaded
    modelLimit        what the model was made for
    reserveBytes      the buffer that stays free
    reason            a sentence where the model can't be sized, else null
    cacheTypes        a list:
      cacheType         f16, q8_0, q4_0, …
      bestTokens        the largest context that fits; null: none, or unknown
      limitedBy         memory, model, minimum, maximum, provider or null
      bytesPerToken, fixedBytes, explanation
      computeBytes      an upper bound of the compute buffer at bestTokens, where
                        totalBytes leaves it out; null: totalBytes holds it
      sizes             a list of {tokens, totalBytes, fits}; totalBytes is weights
                        still to be loaded and cache, and for a file an upper bound
                        of the compute buffer; fits is true, false or null
Where it fails, the object is {error}: a sentence.
Exit code: 0, or 1 where nothing fits or could be sized.
"""

DOCTOR_JSON = """\
--json writes one object. Sizes are bytes, null is unknown:
  ok                whether nothing is wrong
  hardware          {memory, unreadable}: the protocol's MemoryReading, and what of it
                    could not be read; or null
  servers           a list of {provider, address, answers}: each that was tried
  models            the protocol's Model list, or null
  embedded          {engine, model}: version and file name, null: not installed
  storage           {folder, bytes, freeBytes, exposed, setAside, writers}, or null
    exposed           names of what others on this machine may look into
    setAside          damaged databases that were kept: {file, bytes}
    writers           who writes a context: {contextId, pid, client, since, alive}
  versions          by name: ullage, python, sqlite, pygls, lsprotocol, xllamacpp
  settings          a list of {path, source, reason}: values that are not in force
  problems          a list of {part, text}: what is wrong and how to mend it; part is
                    server, hardware, models, storage, versions or settings
Exit code: 0 where nothing is wrong, else 1.
"""
