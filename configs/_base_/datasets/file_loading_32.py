# Loading of image files at 32 pixels, for configs whose images are in memory
file_loading = [
    dict(type='snnssl_mm.LoadIntactImage'),
    # 'area' averages photographs, but enlarges images below 32 pixels in blocks.
    dict(type='ResizeEdge', scale=32, edge='short', interpolation='area'),
    dict(type='CenterCrop', crop_size=32),
]
