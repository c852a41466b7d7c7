# What makes 32 pixels of an image file, where a config's own images are in memory
file_loading = [
    dict(type='snnssl_mm.LoadIntactImage'),
    # Averages photographs; images below 32 pixels it would enlarge in blocks.
    dict(type='ResizeEdge', scale=32, edge='short', interpolation='area'),
    dict(type='CenterCrop', crop_size=32),
]
