# Stops at the first NaN; for configs whose other hooks are all of another library
custom_hooks = [dict(type='snnssl_mm.NonFiniteHook')]
